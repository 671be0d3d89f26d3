"""ecru.patch(): buffered files of sockets and pipes are shared by goroutines as threads share them."""

import io
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import pytest
from patched import patched, run

from ecru._patch._buffered import Reader

LINES = [b"%d\n" % i for i in range(20)]
BLOCK = 1 << 20  # more than the system takes at once


def at_once(function: Callable[[int], Any], count: int) -> list[Any]:
    """The function's results in as many threads; what one raised is raised here."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def call(i: int) -> None:
        try:
            results.append(function(i))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
    return results


def feed(end: socket.socket) -> None:
    """One line after the other, each once all that can run wait for it."""
    for line in LINES:
        threading.Event().wait(0.001)
        end.sendall(line)


@patched
def test_a_sockets_file_is_read_by_many():
    a, b = socket.socketpair()
    with a, b, a.makefile("rb") as file:
        assert isinstance(file, io.BufferedReader)
        assert repr(file) == f"<_io.BufferedReader name={a.fileno()}>"
        threading.Thread(target=feed, args=(b,)).start()
        assert sorted(at_once(lambda _: file.readline(), len(LINES))) == sorted(LINES)
        threading.Thread(target=feed, args=(b,)).start()
        assert sorted(at_once(lambda _: next(file), len(LINES))) == sorted(LINES)


@patched
def test_a_sockets_file_is_written_by_many():
    a, b = socket.socketpair()
    received = bytearray()

    def drain() -> None:
        while data := b.recv(1 << 16):
            received.extend(data)

    def write(i: int) -> None:
        file.write(bytes([i]) * BLOCK)
        file.flush()

    drainer = threading.Thread(target=drain)
    with a, b:
        with a.makefile("wb") as file:
            drainer.start()
            at_once(write, 3)
        a.shutdown(socket.SHUT_WR)
        drainer.join()
    assert sorted(received[i * BLOCK] for i in range(3)) == [0, 1, 2]
    assert all(received[i * BLOCK : (i + 1) * BLOCK] == received[i * BLOCK : i * BLOCK + 1] * BLOCK for i in range(3))


@patched
def test_a_file_for_both_is_read_while_it_is_written():
    a, b = socket.socketpair()
    with a, b, a.makefile("rwb") as file:
        assert isinstance(file, io.BufferedRWPair)
        reader = threading.Thread(target=lambda: lines.append(file.readline()))
        lines: list[bytes] = []
        reader.start()
        file.write(b"ping\n")
        file.flush()
        assert b.recv(100) == b"ping\n"
        b.sendall(b"pong\n")
        reader.join()
        assert lines == [b"pong\n"]


@patched
def test_a_pipe_is_read_by_many():
    code = "import sys, time\nfor i in range(20):\n    print(i, flush=True)\n    time.sleep(0.001)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        stdout = process.stdout
        assert stdout is not None
        assert sorted(at_once(lambda _: stdout.readline(), len(LINES))) == sorted(LINES)


@pytest.mark.parametrize("opens", ["os.fdopen", "open", "io.open"])
def test_the_file_of_a_descriptor_parks_who_waits_for_it(opens: str) -> None:
    body = f"""
import ecru; ecru.patch()
import io, os, threading, time
def read_late(**options):
    asks, answers = os.pipe()
    thread = threading.Thread(target=lambda: (time.sleep(0.001), os.write(answers, b"line\\nmore"), os.close(answers)))
    thread.start()
    with {opens}(asks, **options) as file:
        return [file.readline(), *file]
assert read_late(mode="rb") == [b"line\\n", b"more"]
assert read_late(mode="rb", buffering=0) == [b"line\\n", b"more"]
assert read_late(mode="r", encoding="utf-16-le", errors="replace", newline="")[0][:2] == "\\u696c\\u656e"

asks, answers = os.pipe()
many = "x" * (1 << 20)
with {opens}(answers, "w", encoding="ascii") as file:
    thread = threading.Thread(target=lambda: (file.write(many), file.close()))
    thread.start()
    with {opens}(asks, "rb", 0) as raw: assert raw.readall() == many.encode()
    thread.join()
    assert (file.mode, file.name, file.encoding) == ("w", answers, "ascii")
"""
    assert run(body) == ""


@patched
def test_the_file_of_a_descriptor_is_otherwise_as_the_builtins() -> None:
    with tempfile.TemporaryFile("w+") as file:
        assert type(file) is io.TextIOWrapper
        assert type(file.buffer) is io.BufferedRandom
    for mode in ("r+b", "w+b"):
        with open(os.open(os.devnull, os.O_RDWR), mode) as file:
            assert type(file) is io.BufferedRandom
            assert (file.read(), file.write(b"both")) == (b"", 4)
    with open(os.open(os.devnull, os.O_RDWR), "r+") as file:
        assert (file.read(), file.write("both"), file.mode) == ("", 4, "r+")
    asks, answers = os.pipe()
    seeks = os.dup(asks)
    with pytest.raises(io.UnsupportedOperation), open(seeks, "r+b"):
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(seeks)  # the file was there before its buffer was not
    with pytest.raises(ValueError, match="invalid mode"), open(asks, "nonsense"):
        pass
    with open(asks, "rb", closefd=False) as kept:
        assert (kept.name, kept.mode, kept.closed) == (asks, "rb", False)
    os.set_blocking(answers, False)
    with open(answers, "wb", 0) as raw:
        while raw.write(bytes(4096)) is not None:
            pass  # until it is full: it never waits
    os.close(asks)
    with pytest.raises(OSError, match="Bad file descriptor"), open(asks, "rb"):
        pass
    assert open is io.open
    assert pickle.loads(pickle.dumps(open)) is open


FIFO = """
import ecru; ecru.patch()
import io, os, pathlib, select, tempfile, threading
directory = tempfile.TemporaryDirectory()
path = directory.name + "/fifo"
os.mkfifo(path)
"""
OPENERS = {
    "open": "open(path, 'rb')|open(path, 'wb')",
    "unbuffered": "open(path, 'rb', 0)|open(path, 'wb', 0)",
    "appending": "io.open(path.encode(), 'rb')|open(path, 'ab')",
    "pathlib": "pathlib.Path(path).open('rb')|pathlib.Path(path).open('wb')",
    "an opener": "open(path, 'rb', opener=os.open)|open(path, 'wb', opener=lambda *given: os.open(*given))",
    "os.open": "os.fdopen(os.open(path, os.O_RDONLY), 'rb')|os.fdopen(os.open(path, os.O_WRONLY), 'wb')",
    "of a directory": (
        "os.fdopen(os.open('fifo', os.O_RDONLY, dir_fd=where), 'rb')"
        "|os.fdopen(os.open('fifo', os.O_WRONLY, dir_fd=where), 'wb')"
    ),
}


@pytest.mark.parametrize("way", OPENERS)
def test_who_opens_a_fifo_by_name_and_uses_it_parks(way: str) -> None:
    reads, writes = OPENERS[way].split("|")
    body = f"""
where = os.open(directory.name, os.O_RDONLY)
many = bytes(range(256)) * 4096
received = []
def read():
    with {reads} as file: received.extend((file.readline(), file.read()))
def write():
    with {writes} as file: print(file.write(b"line\\n"), file.flush(), file.write(many))
for order in (read, write), (write, read):
    threads = [threading.Thread(target=one) for one in order]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print(received == [b"line\\n", many] * 2)
"""
    assert run(FIFO + body) == "5 None 1048576\n" * 2 + "True\n"


def test_as_many_fifos_as_anybody_wants_are_opened_at_once() -> None:
    body = """
paths = [f"{path}{number}" for number in range(100)]  # more than there are threads for what blocks
for path in paths: os.mkfifo(path)
def read(path):
    with open(path) as file: return file.read()
def write(path):
    with open(path, "w") as file: file.write(path)
with ecru.TaskGroup() as group:
    tasks = [group.go(read, path) for path in paths]
    ecru.yield_()
    for path in paths: group.go(write, path)
print([task.result() for task in tasks] == paths)
"""
    assert run(FIFO + body) == "True\n"


def test_who_gives_up_opening_a_fifo_leaves_it_closed() -> None:
    body = """
def give_up(opens):
    try:
        with ecru.timeout(0.01): opens()
    except ecru.DeadlineExceeded: pass
    mine = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    other = os.open(path, os.O_WRONLY)  # the thread that may still wait gets it
    os.close(mine)
    poll = select.poll()
    poll.register(other, 0)
    print(poll.poll() == [(other, select.POLLERR)])  # and closes it
    os.close(other)
give_up(lambda: open(path))
for _ in range(5): give_up(lambda: os.open(path, os.O_RDONLY))
print(os.path.realpath(path) not in [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")])
"""
    assert run(FIFO + body) == "True\n" * 7


def test_the_file_of_a_fifo_is_otherwise_as_the_builtins() -> None:
    body = """
def refused(*given, **options):
    try: open(*given, **options)
    except (OSError, ValueError, LookupError) as error: return str(error)
original = ecru.get_original("io", "open")
for given, options in [
    ((path, "rbt"), {}), ((path, "rb"), {"encoding": "ascii"}), ((path, "r", 0), {}), ((path, "xb"), {}),
    ((path, "r"), {"closefd": False}), ((path, "r"), {"encoding": "none such"}), ((path + "/no", "r"), {}),
    ((path, "r+"), {}), ((path, "r"), {"newline": "x"}), ((path, "q"), {}),
]:
    said = refused(*given, **options) # before it waits
    assert said is not None
    with open(path, "r+b", 0): # the original says some of it after it waited
        try: original(*given, **options)
        except (OSError, ValueError, LookupError) as error: assert said == str(error), given
with open(path, "r+b", 0) as both:  # who opens it for both waits for nobody
    with open(path) as reads, open(path, "w", encoding="utf-16") as writes:
        print(reads.name == writes.name == both.name == path, reads.mode, writes.mode, both.mode, writes.encoding)
        print(os.get_inheritable(reads.fileno()), os.get_blocking(reads.fileno()))
        with open(pathlib.Path(path)) as again: assert again.name == path
    both.write(b"x")
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    print(os.read(fd, 2))
    os.close(fd)
"""
    assert run(FIFO + body) == "True r w rb+ utf-16\nFalse True\nb'x'\n"


def test_what_is_no_mode_is_refused_as_by_the_builtin() -> None:
    body = """
for wrong in 5, b"r", ["r"], None:
    for place in path, os.devnull:
        said = []
        for function in open, ecru.get_original("io", "open"):
            try: function(place, wrong)
            except TypeError as error: said.append(str(error))
        print(len(said) == 2 and said[0] == said[1])
"""
    assert run(FIFO + body) == "True\n" * 8


def test_flags_of_open_are_as_the_originals() -> None:
    body = """
class Flags:
    def __index__(self): return os.O_RDWR
os.close(os.open(path, Flags()))
for wrong in "r", 1.5, None:
    said = []
    for function in os.open, ecru.get_original("os", "open"):
        try: function(path, wrong)
        except TypeError as error: said.append(str(error))
    print(len(said) == 2 and said[0] == said[1])
"""
    assert run(FIFO + body) == "True\n" * 3


def test_a_system_without_o_path_opens_files() -> None:
    body = "import os; del os.O_PATH\n" + FIFO + "os.close(os.open(os.devnull, os.O_RDONLY)); print('opened')"
    assert run(body) == "opened\n"


def test_who_comes_again_within_a_read_is_told() -> None:
    """The interpreter's rule for signal handlers and the like: better an error than a wait for oneself."""

    class Raw(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any, /) -> int:
            with pytest.raises(RuntimeError, match="reentrant"):
                file.readline()
            buffer[:2] = b"x\n"
            return 2

    file = Reader(Raw())
    assert file.readline() == b"x\n"
