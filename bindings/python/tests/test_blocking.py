"""run_blocking, rule G3: what blocks its thread blocks nobody else."""

import _thread
import contextlib
import contextvars
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import processes
import pytest

import ecru
from ecru import _blocking, _native

LONG = 30.0  # never reached


def test_g3_results_and_errors_come_back() -> None:
    assert ecru.run_blocking(pow, 2, 5, mod=7) == 4
    with pytest.raises(KeyError, match="x") as caught:
        ecru.run_blocking({}.__getitem__, "x")
    assert caught.traceback[-1].name == "run" or len(caught.traceback) >= 2
    with pytest.raises(SystemExit):
        ecru.run_blocking(sys.exit, 3)


def test_g3_it_runs_in_another_thread() -> None:
    assert ecru.run_blocking(threading.get_ident) != threading.get_ident()


def test_g3_others_run_meanwhile() -> None:
    gate = threading.Event()
    blocked = ecru.spawn(ecru.run_blocking, gate.wait, LONG)
    for _ in range(10):
        ecru.yield_()
    assert not blocked.done
    gate.set()
    assert blocked.result() is True


def test_g3_several_block_side_by_side() -> None:
    barrier = threading.Barrier(8)
    assert sorted(ecru.map(lambda _: ecru.run_blocking(barrier.wait, LONG), range(8))) == list(range(8))


def test_g3_more_than_the_pool_take_turns() -> None:
    mutex = threading.Lock()
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        with mutex:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with mutex:
            running -= 1

    ecru.gather(*[lambda: ecru.run_blocking(work)] * 200)
    assert 1 < most <= ecru.blocking_threads()


def test_g3_a_cancelled_caller_does_not_wait() -> None:
    gate, ended, began = threading.Event(), threading.Event(), ecru.Event()

    def work() -> None:
        began.set()
        gate.wait()
        ended.set()

    task = ecru.spawn(ecru.run_blocking, work)
    began.wait()
    task.cancel()
    assert isinstance(task.exception(), ecru.Cancelled)
    assert not ended.is_set()
    gate.set()
    assert ecru.run_blocking(ended.wait, LONG)


class Waiting:
    """Waits through ecru for what never comes: began, and said, as what it was raised."""

    def __init__(self) -> None:
        self.began, self.said = ecru.Event(), ecru.Chan[type[BaseException]](1)

    def __call__(self) -> None:
        self.began.set()
        try:
            ecru.Chan[int]().recv()
        except BaseException as error:
            self.said.try_send(type(error))


def test_g3_what_the_function_waits_for_through_ecru_is_cancelled_with_the_caller() -> None:
    work = Waiting()
    task = ecru.spawn(ecru.run_blocking, work)
    work.began.wait()
    task.cancel()
    assert isinstance(task.exception(), ecru.Cancelled)
    assert work.said.recv() is ecru.Cancelled


def test_g3_an_interrupted_caller_cancels_it_too() -> None:
    work = Waiting()

    def interrupt() -> None:
        work.began.wait()
        _native.interrupt_first(KeyError("stands for Ctrl-C"))

    ecru.go(interrupt)
    with pytest.raises(KeyError):
        ecru.run_blocking(work)
    assert work.said.recv() is ecru.Cancelled


def test_g3_a_caller_that_is_interrupted_before_it_waits_cancels_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    work, submit = Waiting(), _blocking._Pool.submit

    def submit_and_fail(pool: _blocking._Pool, job: _blocking._Job[None]) -> None:
        submit(pool, job)
        work.began.wait()
        raise KeyError("stands for Ctrl-C")

    monkeypatch.setattr(_blocking._Pool, "submit", submit_and_fail)
    with pytest.raises(KeyError):
        ecru.run_blocking(work)
    assert work.said.recv() is ecru.Cancelled


def test_g3_a_job_that_comes_as_an_idle_worker_gives_up_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocking, "select", lambda *_, **__: None)  # the time is up
    pool, job = _blocking._Pool(), _blocking._Job(int)
    pool._threads = pool._idle = 1
    pool._jobs.send(job)
    assert pool._next() is job
    assert pool._next() is None
    assert pool._threads == 0


def test_g3_one_that_has_not_begun_never_does() -> None:
    gate, ran = threading.Event(), []
    begun: ecru.Chan[None] = ecru.Chan(None)

    def occupy() -> None:
        begun.send(None)
        gate.wait(LONG)

    blockers = [ecru.spawn(ecru.run_blocking, occupy) for _ in range(ecru.blocking_threads())]
    for _ in blockers:
        begun.recv()
    with ecru.move_on_after(0.001) as scope:
        ecru.run_blocking(ran.append, 1)
    assert scope.caught
    gate.set()
    for task in blockers:
        task.join()
    ecru.run_blocking(int)
    assert ran == []


def test_g3_context_variables_are_the_callers() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(5)
    assert ecru.run_blocking(variable.get) == 5
    ecru.run_blocking(variable.set, 6)
    assert variable.get() == 5


def test_g3_it_can_be_called_from_a_thread_and_from_itself() -> None:
    assert ecru.run_blocking(lambda: ecru.run_blocking(pow, 2, 3)) == 8
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.append(ecru.run_blocking(pow, 2, 4)))
    thread.start()
    thread.join()
    assert got == [16]


@pytest.mark.usefixtures("without_collections")
def test_g3_nothing_keeps_arguments_results_or_errors() -> None:
    class Thing(Exception):
        pass

    def fail() -> None:
        raise Thing

    argument = Thing()
    gone = [weakref.ref(argument)]
    assert ecru.run_blocking(lambda thing: thing, argument) is argument
    del argument
    try:
        ecru.run_blocking(fail)
    except Thing as error:
        gone.append(weakref.ref(error))
    ecru.run_blocking(int)  # the worker has let go of the last job
    with ecru.timeout(30):
        while any(ref() for ref in gone):  # without a GIL what the worker drops comes back to its owner first
            ecru.sleep(0.001)


def test_g3_idle_workers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocking, "IDLE_SECONDS", 0.01)
    pool = _blocking._Pool()
    monkeypatch.setattr(_blocking, "_calls", pool)
    for _ in range(3):
        ecru.gather(*[lambda: ecru.run_blocking(time.sleep, 0.001)] * 5)
        while pool._threads:
            ecru.sleep(0.005)
        assert pool._idle == 0
    assert ecru.run_blocking(pow, 2, 3) == 8


def test_g3_no_thread_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_blocking, "_calls", _blocking._Pool())
    monkeypatch.setattr(_blocking, "_start_thread", start)
    with pytest.raises(RuntimeError, match="new thread"):
        ecru.run_blocking(int)


@pytest.fixture
def two_threads() -> Iterator[None]:
    ecru.set_blocking_threads(2)
    yield
    ecru.set_blocking_threads()


def nested(barrier: threading.Barrier, call: Callable[[], int]) -> int:
    barrier.wait(LONG)  # all threads are taken
    return ecru.run_blocking(call)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    "call",
    [
        lambda: ecru.run_blocking(pow, 2, 3),
        lambda: ecru.run(ecru.run_blocking, pow, 2, 3),
        lambda: ecru.run(lambda: ecru.spawn(ecru.run_blocking, lambda: ecru.run_blocking(pow, 2, 3)).result()),
        lambda: _blocking.run_look_up(ecru.run_blocking, pow, 2, 3),
    ],
    ids=["in the thread", "in its first goroutine", "in its second", "in another pool's"],
)
def test_g3_who_is_in_a_thread_of_the_pool_needs_no_other_one(call: Callable[[], int]) -> None:
    barrier = threading.Barrier(2)
    with ecru.timeout(LONG):
        assert ecru.gather(*[lambda: ecru.run_blocking(nested, barrier, call)] * 2) == [8, 8]


def test_g3_a_call_in_a_call_runs_in_its_thread_unless_goroutines_share_that() -> None:
    def both() -> tuple[int, int]:
        return _thread.get_ident(), ecru.run_blocking(_thread.get_ident)

    here, nested = ecru.run_blocking(both)
    assert here == nested
    here, nested = ecru.run_blocking(ecru.run, both)
    assert here != nested


def test_g3_who_is_cancelled_begins_no_call_in_a_call() -> None:
    def cancels() -> None:
        task.cancel()
        with contextlib.suppress(ecru.Cancelled):
            while True:
                ecru.check()
        try:
            ecru.run_blocking(ran.append, 1)
        finally:
            ended.close()

    ran: list[int] = []
    ended = ecru.Chan[None]()
    task = ecru.spawn(ecru.run_blocking, cancels)
    task.join()
    assert list(ended) == ran == []


@pytest.mark.usefixtures("two_threads")
def test_g3_names_are_looked_up_whoever_blocks() -> None:
    gate, begun = threading.Event(), ecru.Chan[None](None)
    blockers = [ecru.spawn(ecru.run_blocking, lambda: (begun.send(None), gate.wait(LONG))) for _ in range(2)]
    for _ in blockers:
        begun.recv()
    with ecru.timeout(LONG):
        assert _blocking.run_look_up(pow, 2, 3) == 8
    gate.set()


WAITING = """
import os, socket, subprocess, ecru
ecru.patch()
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
waits = [ecru.spawn(os.waitid, os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) for _ in range(ecru.blocking_threads())]
ecru.yield_()
print(os.system("exit 3") >> 8, len(socket.getaddrinfo("localhost", 80)) > 0, ecru.run_blocking(pow, 2, 3))
child.stdin.close()
print({task.result().si_pid for task in waits} == {child.pid})
"""


def test_g3_who_waits_for_a_process_takes_no_thread_of_others() -> None:
    ended = processes.run(WAITING)
    assert (ended.out, ended.err, ended.code) == (["3 True 8", "True"], "", 0)


class Crowd:
    """Calls of run_blocking, each of which stays until it is told to go."""

    def __init__(self, count: int) -> None:
        self.begun, self.gate = ecru.Chan[None](None), ecru.Chan[None](None)
        self.tasks = [ecru.spawn(ecru.run_blocking, self) for _ in range(count)]

    def __call__(self) -> None:
        self.begun.send(None)
        self.gate.recv()

    def wait_for(self, count: int) -> None:
        with ecru.timeout(LONG):
            for _ in range(count):
                self.begun.recv()

    def let_go(self, count: int) -> None:
        for _ in range(count):
            self.gate.send(None)


@pytest.mark.usefixtures("two_threads")
def test_g3_the_limit_holds_from_now_on() -> None:
    crowd = Crowd(6)
    crowd.wait_for(2)
    ecru.set_blocking_threads(4)
    crowd.wait_for(2)
    assert ecru.blocking_threads() == 4
    ecru.set_blocking_threads(1)
    crowd.let_go(4)
    crowd.wait_for(1)
    assert crowd.begun.try_recv() == (None, False)
    assert _blocking._calls._threads == 1
    crowd.let_go(2)
    for task in crowd.tasks:
        task.join()


@pytest.mark.skipif(_native.implementation == "threads", reason="handlers run in no goroutine of the first thread")
def test_g3_a_handler_that_raises_as_a_thread_starts_changes_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raised(Exception):
        pass

    def handler(*_: object) -> None:
        raise Raised

    start = _blocking._start_thread
    monkeypatch.setattr(_blocking, "_start_thread", lambda *call: (start(*call), signal.raise_signal(signal.SIGALRM)))
    pool, before = _blocking._Pool(), signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(5):
            with pytest.raises(Raised):
                pool.call(int)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert (pool._threads, pool._idle) == (0, 0)
    monkeypatch.undo()
    assert pool.call(lambda: 5) == 5
    assert pool._threads == 1


def test_g3_idle_threads_beyond_the_limit_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = _blocking._Pool()
    monkeypatch.setattr(_blocking, "_calls", pool)
    crowd = Crowd(3)
    crowd.wait_for(3)
    crowd.let_go(3)
    with ecru.timeout(LONG):
        while pool._idle < 3:
            ecru.sleep(0.001)
    ecru.set_blocking_threads(1)
    assert (pool._threads, pool._idle) == (1, 1)
    crowd = Crowd(2)
    crowd.wait_for(1)
    assert crowd.begun.try_recv() == (None, False)
    crowd.let_go(2)
    crowd.wait_for(1)


@pytest.mark.parametrize("count", [0, -1])
def test_g3_a_limit_of_none_is_an_error(count: int) -> None:
    with pytest.raises(ValueError, match="blocking threads: 1 or more"):
        ecru.set_blocking_threads(count)


SIGNALLED = """
import os, signal, socket, threading, ecru
{first}
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
os.kill(os.getpid(), signal.SIGTERM)
print(signal.sigwait({{signal.SIGTERM}}).name)
"""
FIRST = {
    "run_blocking": "ecru.run_blocking(int)",
    "getaddrinfo": "ecru.patch(); socket.getaddrinfo('localhost', 80)",
    "one of its own": """
begun, gate = ecru.Chan(), ecru.Chan()
ecru.go(ecru._blocking.run_apart, lambda: (begun.close(), gate.recv()))
begun.recv2()
""",
    "a thread that ran before the patch": """
def body():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    begun.set()
    gate.wait()
begun, gate = threading.Event(), threading.Event()
threading.Thread(target=body, daemon=True).start()
begun.wait()
ecru.patch()
""",
}


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_g3_threads_that_are_left_take_no_signals(first: str) -> None:
    ended = processes.run(SIGNALLED.format(first=first))
    assert (ended.out, ended.err, ended.code) == (["SIGTERM"], "", 0)


BLOCKS = """
import os, shlex, signal, subprocess, sys, threading, ecru
ecru.patch()
ecru.run_blocking(int)
tell = [sys.executable, "-c", "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"]
def thread():
    started = ecru.get_original("_thread", "start_new_thread")
    ended = ecru.Chan(1)
    started(lambda: ended.send(signal.pthread_sigmask(signal.SIG_BLOCK, ())), ())
    return ended.recv()
def masks():
    print(ecru.run_blocking(subprocess.run, tell).returncode, flush=True)
    os.system(shlex.join(tell))
    ecru.get_original("os", "system")(shlex.join(tell)) # some shells unblock all
    print(ecru.run_blocking(thread), flush=True)
masks()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
masks()
"""


def test_g3_what_a_call_starts_has_the_callers_signals() -> None:
    ended = processes.run(BLOCKS)
    nothing, one = "set()", str({signal.SIGUSR1})
    in_shell, in_original = ended.out.pop(7), ended.out.pop(7)
    assert (ended.out, ended.err, ended.code) == ([nothing, "0", nothing, nothing, nothing, one, "0", one], "", 0)
    assert in_shell == in_original


AT_THE_END = """
import atexit, os, socket, sys
atexit.register(lambda: keeper.call())
import ecru
{first}
class Keeper:
    def __init__(self, call): self.call = call
    def __del__(self): self.call()
def call(print=print, os=os, socket=socket, ecru=ecru, sys=sys): print({call}, flush=True)
keeper = Keeper(call)
"""


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="3.13t, once there was a thread, has emptied its modules before what refers to them goes",
)
@pytest.mark.parametrize("first", ["ecru.run_blocking(int)", "ecru.patch()", "ecru.patch(); ecru.run_blocking(int)"])
@pytest.mark.parametrize(
    "call",
    ["ecru.run_blocking(pow, 2, 3)", "socket.getaddrinfo('localhost', 80) and 8", "os.system('exit 8') >> 8"],
    ids=["run_blocking", "getaddrinfo", "system"],
)
def test_g3_what_the_interpreters_end_calls_runs_right_there(first: str, call: str) -> None:
    ended = processes.run(AT_THE_END.format(first=first, call=call))
    assert (ended.out, ended.err, ended.code) == (["8", "8"], "", 0)


def test_g3_the_program_ends_while_one_blocks() -> None:
    program = (
        "import ecru, time; ecru.go(ecru.run_blocking, time.sleep, 60); ecru.yield_(); ecru.sleep(0.01); print('end')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "end\n"
