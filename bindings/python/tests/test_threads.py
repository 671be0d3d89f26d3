"""ecru._threads: what ecru._native is where goroutines are threads has the same names, and says what it is."""

import os
import subprocess
import sys

import pytest
from conftest import HERE, KNOWN, known

import ecru
from ecru import _native, _threads

# and socket_...: ecru.patch() replaces nothing there, greenlets are the interpreter's own, and no type is one in C.
# Threads need no workers.
NOT_THERE = {"get_ident", "identity_of", "thread_of", "heed_greenlets", "method_of"} | {
    *("enter_worker", "leave_worker", "maxprocs", "on_lacking", "open_workers", "want_workers"),
}


def in_threads(code: str, *flags: str) -> str:
    """What a program says where goroutines are threads."""
    environment = {**os.environ, "ECRU_PYTHON_BACKEND": "threads"}
    command = [sys.executable, "-X", "faulthandler", *flags, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def names(module: object) -> set[str]:
    """Those anybody might use."""
    return {name for name in dir(module) if not name.startswith("_") and not name.startswith("socket_")} - NOT_THERE


@pytest.mark.skipif(ecru.implementation == "threads", reason="there is nothing to compare with")
def test_it_has_the_names_of_the_extension_module() -> None:
    assert names(_native) - names(_threads) == set()
    for name in names(_native):
        expected = getattr(_native, name)
        if isinstance(expected, type):
            assert names(expected) - names(getattr(_threads, name)) == set(), name


@pytest.mark.skipif(ecru.implementation == "threads", reason="there is nothing to compare with")
def test_its_types_are_called_the_same() -> None:
    for name in names(_native):
        if isinstance(getattr(_native, name), type) and name != "Mutex":  # which is the interpreter's own there
            assert getattr(_threads, name).__module__ == getattr(_native, name).__module__ == "ecru", name


def test_it_says_what_it_is() -> None:
    assert in_threads("import ecru; print(ecru.implementation, ecru._native.__name__)") == "threads ecru._threads\n"


def test_what_is_no_backend_is_an_error() -> None:
    environment = {**os.environ, "ECRU_PYTHON_BACKEND": "greenlets"}
    done = subprocess.run(
        [sys.executable, "-c", "import ecru"], env=environment, capture_output=True, text=True, timeout=40
    )
    assert done.stderr.endswith('ImportError: ECRU_PYTHON_BACKEND: "stacks" or "threads", not "greenlets"\n')


def test_goroutines_are_threads_and_blocking_ones_hold_nobody_up() -> None:
    program = """
import threading, time, ecru
ecru.patch()
meeting = threading.Barrier(20)
def body():
    meeting.wait(30)
    time.sleep(0.001)
    return threading.get_native_id()
ids = [task.result() for task in [ecru.spawn(body) for _ in range(20)]]
print(len(set(ids)), threading.get_native_id() in ids, sorted(ecru.patched()))
"""
    assert in_threads(program) == "20 False []\n"


def test_there_are_no_workers() -> None:
    program = """
import ecru
ecru.set_workers(1)
try: ecru.set_workers(2)
except RuntimeError as error: print(ecru.workers(), error)
"""
    assert in_threads(program) == "1 each goroutine is a thread of its own: there are no workers\n"


def test_threads_of_the_program_start_goroutines_once_patched() -> None:
    program = """
import threading, ecru
def begin():
    try: said.append(ecru.spawn(int, "7").result())
    except RuntimeError as error: said.append("ecru.run" in str(error))
said = []
for patches in (False, True):
    if patches: ecru.patch()
    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
print(said)
"""
    assert in_threads(program) == "[True, 7]\n"


def test_threads_for_what_blocks_are_a_forked_childs_own() -> None:
    program = """
import os, ecru
ecru.run_blocking(int)
while not ecru._blocking._calls._idle: ecru.sleep(0.001)
pid = os.fork()
if pid == 0:
    ecru.go(ecru.sleep, 100)
    print(ecru.run_blocking(pow, 2, 3), flush=True)
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert in_threads(program, "-W", "ignore::DeprecationWarning") == "8\n3\n"


def test_what_blocks_at_the_interpreters_end_runs_right_there() -> None:
    program = """
import ecru
class Keeper:
    def __del__(self, print=print, run=ecru.run_blocking): print(run(pow, 2, 3))
keeper = Keeper()
ecru.run_blocking(int)
"""
    assert in_threads(program) == "8\n"


def test_what_the_guard_has_lost_sight_of_does_not_outlive_its_home() -> None:
    """As when a handler of signals raises within it: what is registered has the home's address."""
    program = """
from ecru import _native as native
from ecru._abi import ffi, lib
from ecru._threads import _home
native.spawn(int).join()
guard = _home.here.home.guard
guard.begin()
token, guard._registration = guard._token, ffi.NULL
guard.stop()
print(lib.ecru_token_err(token) != 0)
"""
    assert in_threads(program) == "True\n"


# An error is raised where the interpreter calls handlers of signals: at every call, and after every return from C. Not
# after that of what `with` enters: up to 3.13 none is called between it and the block (nor is its return told of), and
# 3.14 does so by a defect of its own (gh-148874): no __exit__ follows, and any lock it took stays taken.
INTERRUPTING = """
import itertools, sys, threading, ecru
from ecru import _native as native
from ecru._abi import lib
class Interrupted(Exception): pass
def has_entered(event, function):
    return event == "c_return" and function.__name__ == "__enter__"
def interrupted_at(place, call):
    "Whether there was such a place: calls are counted from 1."
    left = place
    def count(frame, event, argument):
        nonlocal left
        left -= event in ("call", "c_return") and frame.f_code is not code and not has_entered(event, argument)
        if left == 0:
            sys.setprofile(None)
            raise Interrupted
    code = interrupted_at.__code__
    sys.setprofile(count)
    try: call()
    except Interrupted: return True
    finally: sys.setprofile(None)
    return False
def none_is_left():
    while native.goroutine_count(): native.sleep(0.0001)
native.spawn(int).join()
outer = lib.ecru_token_current()
def everywhere(call, *checks):
    for place in itertools.count(1):
        if not interrupted_at(place, call): break
        assert lib.ecru_token_current() == outer, place
        with native.Token(timeout=20):
            for check in checks: check()
    print(place > 10)
"""
INTERRUPTED = {
    "a crew whose goroutine waits": """
def begin():
    crew.start(chan.recv)
def all_end():
    chan.close()
    crew.wait()
    begin_anew()
def begin_anew():
    global crew, chan
    crew, chan = native.Crew(), native.Chan()
begin_anew()
everywhere(begin, all_end, none_is_left)
""",
    "a crew whose goroutine ends": """
def wait():
    crew = native.Crew()
    crew.start(int)
    crew.wait()
everywhere(wait, none_is_left)
""",
    "a task": "everywhere(lambda: native.spawn(int), none_is_left)",
    "a lock": """
def give_up():
    lock = native.Lock()
    lock.acquire()
    assert not lock.acquire(timeout=0.0001)
everywhere(give_up)
""",
    "a mutex": """
def take():
    with mutex: pass
mutex = native.Mutex()
everywhere(lambda: [take() for _ in range(10)], take)
""",
    "a descriptor with a timeout": """
import socket
a, b = socket.socketpair()
io = native.IO(a.detach())
def give_up():
    try: io.recv(1, timeout=0.0001)
    except TimeoutError: pass
everywhere(give_up)
b.close()
""",
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_wherever_an_interruption_comes_nothing_stays_undone(name: str) -> None:
    assert in_threads(INTERRUPTING + INTERRUPTED[name]) == "True\n"


def test_what_is_listed_as_different_exists() -> None:
    for name in [name for where in KNOWN for name in known(where, interpreter=None)]:
        file, _, test = name.partition("::")
        text = (HERE / file).read_text()
        assert f"def {test.partition('[')[0]}(" in text or not test, name
