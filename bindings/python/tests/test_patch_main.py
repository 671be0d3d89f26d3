"""python -m ecru, and what of ecru.patch() is about the process: standard input, signals, names."""

import os
import py_compile
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from patched import SECONDS, patched, run

PROGRAM = """
import sys, threading
import ecru
print(__name__, sys.argv[1:], sorted(ecru.patched())[:1])
thread = threading.Thread(target=lambda: print(input(), sys.stdin.read()))
thread.start()
thread.join()
"""


def python_m_ecru(*arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ecru", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=SECONDS)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_a_program_runs_patched_with_its_arguments(program):
    done = python_m_ecru(str(program), "-m", "--flag", given="line\nrest")
    assert (done.stdout, done.stderr) == ("__main__ ['-m', '--flag'] ['dns']\nline rest\n", "")


def test_a_module_runs_and_the_library_may_be_left_alone(program, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}:{program.parent}")
    done = python_m_ecru("--no-patch", "-m", "program", given="line\nrest")
    assert (done.stdout, done.stderr) == ("__main__ [] []\nline rest\n", "")


MAIN_OUTLIVES = """
import pickle, sys, threading
class Kept: pass
def work():
    threading.main_thread().join()
    print(type(pickle.loads(pickle.dumps(Kept()))).__module__, sys.argv[1:])
threading.Thread(target=work).start()
"""


def make_directory(path: Path) -> list[str]:
    (path / "__main__.py").write_text(MAIN_OUTLIVES)
    return [str(path)]


def make_archive(path: Path) -> list[str]:
    with zipfile.ZipFile(path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", MAIN_OUTLIVES)
    return [str(path / "program.zip")]


def make_file(path: Path) -> list[str]:
    (path / "program.py").write_text(MAIN_OUTLIVES)
    return [str(path / "program.py")]


def make_compiled(path: Path) -> list[str]:
    (path / "program.py").write_text(MAIN_OUTLIVES)
    return [str(py_compile.compile(str(path / "program.py"), str(path / "program.pyc")))]


def make_module(path: Path) -> list[str]:
    (path / "outlives.py").write_text(MAIN_OUTLIVES)
    return ["-m", "outlives"]


def make_code(path: Path) -> list[str]:
    return ["-c", MAIN_OUTLIVES]


MAKERS = [make_directory, make_archive, make_file, make_compiled, make_module, make_code]


@pytest.mark.parametrize("make", MAKERS)
def test_main_stays_the_programs_for_threads_that_outlive_its_top_level(make, tmp_path, monkeypatch):
    arguments = make(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}:{tmp_path}")
    done = python_m_ecru("--no-patch", *arguments, "one", "-x")
    assert (done.stdout, done.stderr) == ("__main__ ['one', '-x']\n", "")


def test_a_program_may_come_from_standard_input():
    program = "import sys\nclass Kept: pass\nprint(__name__, Kept.__module__, sys.argv, sys.path[0] == '', input())\n"
    done = python_m_ecru("-", "-x", given=program)
    assert done.stderr.splitlines()[-1] == "EOFError: EOF when reading a line"
    assert '"<stdin>", line 3' in done.stderr
    done = python_m_ecru("-", "-x", given=program.replace("input()", "'end'"))
    assert (done.stdout, done.stderr) == ("__main__ __main__ ['-', '-x'] True end\n", "")


def test_its_exit_code_is_the_programs(tmp_path):
    (tmp_path / "exits.py").write_text("raise SystemExit(7)")
    assert python_m_ecru(str(tmp_path / "exits.py")).returncode == 7
    assert python_m_ecru().returncode == 2


THREADS = """
import threading
def f(*given): pass
class Own(threading.Thread):
    def run(self): pass
{starts}
"""


@pytest.mark.parametrize(
    ("starts", "name"),
    [
        ("threading.Thread(target=f, args=(max,)).start()", "__main__.f"),
        ("threading.Thread(target=max, args=(1, 2)).start()", "builtins.max"),
        ("Own().start()", "__main__.Own.run"),
        ("threading.Timer(0, f).start()", "threading.Timer.run"),
        ("import _thread, time; _thread.start_new_thread(f, (max,)); time.sleep(0.001)", "__main__.f"),
    ],
)
def test_trace_tells_of_threads_by_what_the_program_has_them_run(starts, name):
    done = python_m_ecru("--trace", "-c", THREADS.format(starts=starts))
    begins, ends = (line for line in done.stderr.splitlines() if f"s: {name}" in line)
    assert begins.endswith(f" begins: {name}")
    assert f" ends: {name} returned after " in ends


def test_trace_tells_of_what_the_program_starts():
    done = python_m_ecru("--trace", "-c", "import ecru; ecru.spawn(int).join()")
    begins, ends = (line for line in done.stderr.splitlines() if "builtins.int" in line)
    assert " begins: builtins.int" in begins
    assert " ends: builtins.int returned after " in ends


@pytest.mark.parametrize(
    "starts",
    [
        "with ecru.TaskGroup() as group: group.go(f)",
        "with ecru.TaskGroup(1) as group: group.go(f)",
        "list(ecru.map(f, [0]))",
        "ecru.gather(f)",
        "ecru.gather(f, return_exceptions=True)",
        "ecru.race(f)",
        "list(ecru.as_completed([f]))",
        "list(ecru.operators.map(f, [0], 1))",
    ],
)
def test_trace_tells_of_what_is_started_in_groups(starts):
    done = python_m_ecru("--trace", "-c", f"import ecru\ndef f(*given): pass\n{starts}")
    begins, ends = (line for line in done.stderr.splitlines() if "__main__.f" in line)
    assert " begins: __main__.f" in begins
    assert " ends: __main__.f returned after " in ends


def test_trace_tells_of_goroutines_that_end_with_the_program():
    done = python_m_ecru("--trace", "-c", "import ecru\ndef f(): ecru.sleep(None)\necru.go(f)\necru.yield_()")
    _, ends = (line for line in done.stderr.splitlines() if "__main__.f" in line)
    assert " ends: __main__.f raised Cancelled after " in ends


@patched
def test_standard_input_parks_only_its_reader():
    reader, writer = os.pipe()
    os.dup2(reader, 0)
    import ecru

    ecru.patch.undo()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    ecru.patch()
    threading.Timer(0.05, os.write, (writer, b"typed\n")).start()
    assert input() == "typed"
    threading.Timer(0.05, os.close, (writer,)).start()
    assert sys.stdin.read() == ""
    os.close(reader)


@patched
def test_blocked_signals_are_waited_for():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    assert signal.sigtimedwait({signal.SIGUSR1}, 0.02) is None
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    assert signal.sigwait({signal.SIGUSR1}) is signal.SIGUSR1
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    assert signal.sigwaitinfo({signal.SIGUSR1}).si_signo == signal.SIGUSR1


@patched
def test_signals_of_this_thread_alone_are_waited_for_too():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
    threading.Timer(0.05, signal.raise_signal, (signal.SIGUSR2,)).start()
    assert signal.sigwait({signal.SIGUSR1, signal.SIGUSR2}) is signal.SIGUSR2
    descriptors = len(os.listdir("/proc/self/fd"))
    assert signal.sigtimedwait({signal.SIGUSR1}, 0.01) is None
    assert signal.sigtimedwait({signal.SIGUSR1}, 0) is None
    assert len(os.listdir("/proc/self/fd")) == descriptors


@patched
def test_pause_parks_until_a_handler_was_called():
    seen: list[object] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    threading.Timer(0.02, seen.append, ("meanwhile",)).start()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    signal.pause()
    assert seen == ["meanwhile", signal.SIGUSR1]


@patched
def test_several_pause_at_once_beside_a_wakeup_descriptor_of_the_programs():
    import socket

    reading, writing = socket.socketpair()
    writing.setblocking(False)
    assert signal.set_wakeup_fd(writing.fileno()) == -1
    seen: list[object] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    pausing = [threading.Thread(target=signal.pause) for _ in range(3)]
    for thread in pausing:
        thread.start()
    time.sleep(0)
    os.kill(os.getpid(), signal.SIGUSR1)
    for thread in pausing:
        thread.join()
    assert seen == [signal.SIGUSR1]
    assert reading.recv(10) == bytes([signal.SIGUSR1])
    assert signal.set_wakeup_fd(-1) == writing.fileno()


@patched
def test_a_signals_handler_runs_while_the_main_goroutine_waits():
    seen: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    end = time.monotonic() + 30
    while not seen and time.monotonic() < end:
        time.sleep(1)
    assert seen == [signal.SIGUSR1]


@patched
def test_what_a_handler_raises_is_raised_in_the_main_thread():
    def handle(number, frame):
        raise LookupError(f"signal {number}")

    def strike():
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0)
        went_on.append(True)

    went_on: list[bool] = []
    before = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=strike)
    with pytest.raises(LookupError, match=f"signal {signal.SIGUSR1}"):
        thread.start()  # without a GIL at once
        time.sleep(30)
    thread.join()
    assert went_on == [True]
    assert signal.getsignal(signal.SIGUSR1) is handle
    assert signal.signal(signal.SIGUSR1, before) is handle


@patched
def test_names_are_looked_up_elsewhere():
    ticks: list[int] = []
    ticking = threading.Thread(target=lambda: [ticks.append(1) or time.sleep(0) for _ in range(3)])
    ticking.start()
    assert socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    assert ticks
    assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
    assert isinstance(socket.getfqdn(), str)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("no-such-host.invalid", 80)
    with pytest.raises(TypeError):
        socket.getnameinfo("text", 0)
    ticking.join()


def test_features_are_chosen_one_by_one():
    body = """
import ecru, time, threading, socket
original = socket.socket.recv
ecru.patch(thread=False, socket=False, ssl=False, multiprocessing=False)
assert socket.socket.recv is original and "socket" not in ecru.patched()
assert threading.get_ident() == threading.main_thread().ident
real = threading.Thread(target=time.sleep, args=(0.01,)); real.start(); real.join()
print(sorted(ecru.patched()))
try:
    ecru.patch(nonsense=True)
except TypeError as error:
    print("nonsense" in str(error))
"""
    names = ["dns", "drivers", "os", "queue", "select", "signal", "stdin", "subprocess", "time"]
    assert run(body) == f"{names}\nTrue\n"


ALONE = """
import sys, ecru
names = "thread time select dns socket ssl queue os subprocess signal stdin multiprocessing drivers".split()
ecru.patch(**{name: name == sys.argv[1] for name in names})
import multiprocessing, os, subprocess
receives, sends = multiprocessing.Pipe(False)
asks, answers = os.pipe()
def child(program, **options): return subprocess.Popen(program.format(asks), shell=True, pass_fds=[asks], **options)
def sent(): sends.send(7)
def answered(): os.write(answers, b"\\n")

waiting = ecru.spawn(eval(sys.argv[2]))
ecru.yield_()
eval(sys.argv[3])()
print(waiting.result())
"""


@pytest.mark.parametrize(
    ("feature", "waits", "wakes", "result"),
    [
        ("multiprocessing", "receives.recv", "sent", "7"),
        ("multiprocessing", "lambda: receives.poll(30)", "sent", "True"),
        ("multiprocessing", "lambda: multiprocessing.connection.wait([receives]) == [receives]", "sent", "True"),
        ("subprocess", "child('read line <&{}').wait", "answered", "0"),
        ("subprocess", "lambda: child('read line <&{}').wait(30)", "answered", "0"),
        (
            "subprocess",
            "child('read line <&{}; echo out; echo err >&2', stdout=-1, stderr=-1).communicate",
            "answered",
            r"(b'out\n', b'err\n')",
        ),
    ],
)
def test_a_feature_that_is_chosen_alone_parks(feature, waits, wakes, result):
    assert run(ALONE, feature, waits, wakes) == f"{result}\n"


@pytest.mark.parametrize(
    "early",
    ["subprocess, asyncio, multiprocessing.pool, sqlite3, ssl, http.server, logging.handlers", "gunicorn.app.wsgiapp"],
)
def test_what_never_waits_is_not_warned_of(early):
    if early.startswith("gunicorn"):
        pytest.importorskip("gunicorn")
    assert run(f"import {early}\nimport ecru; ecru.patch(); print('quiet')") == "quiet\n"


def test_other_threads_may_not_patch_first():
    body = """
import ecru, threading
def patch():
    try:
        ecru.patch()
    except RuntimeError as error:
        print(error)
thread = threading.Thread(target=patch); thread.start(); thread.join()
"""
    assert "only the main thread" in run(body)


def test_threads_of_the_system_work_as_ever_beside_goroutines():
    body = """
import ecru; ecru.patch()
import threading, queue, time, socket
start_native = ecru.get_original("_thread", "start_new_thread")
asked, answers, lock = queue.SimpleQueue(), queue.SimpleQueue(), threading.RLock()
a, b = socket.socketpair()
def native():
    assert threading.get_ident() == ecru.get_original("_thread", "get_ident")()
    thread = threading.Thread(target=lambda: answers.put("a thread of a thread"))
    thread.start(); thread.join()
    with lock:
        time.sleep(0.01)
        answers.put(asked.get())
    b.sendall(b.recv(10))
    answers.put("end")
start_native(native, ())
asked.put("question")
print(answers.get(), answers.get())
with lock:
    a.sendall(b"bytes")
print(a.recv(10), answers.get(timeout=30))
"""
    assert run(body) == "a thread of a thread question\nb'bytes' end\n"
