"""Forked children: the goroutine that forks is the program's first, all others are gone, and ecru starts anew."""

import multiprocessing
import os
import sys

import processes
import pytest

from ecru import _native as native

LIVE = """
import os, sys, gc, threading, time
import ecru
from ecru import _native as native

def live():
    chan = native.Chan()
    native.go(chan.send, 7)
    assert chan.recv() == 7
    native.sleep(0.001)
    assert native.spawn(native.goroutine_count).result() >= 1
    lock = native.Lock()
    with lock: assert not lock.acquire(timeout=0.001)
    gc.collect()
    thread = threading.Thread(target=ecru.run, args=(lambda: native.spawn(native.sleep, 0.001).result(),))
    thread.start()
    thread.join()
    print("lived", native.current() is None, flush=True)

def wait_for(pid):
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def forked(code: str) -> processes.Ended:
    return processes.run(LIVE + code, flags=("-W", "ignore::DeprecationWarning"))


def test_a_child_of_the_main_goroutine_starts_anew():
    ended = forked("""
chan = native.Chan()
tasks = [native.spawn(chan.recv) for _ in range(10)] + [native.spawn(native.sleep, 100) for _ in range(10)]
native.yield_()
pid = os.fork()
if pid == 0:
    assert native.goroutine_count() == 0
    live()
    sys.exit(3)
wait_for(pid)
print(native.goroutine_count())
live()
""")
    assert (ended.out, ended.code, ended.err) == (["lived True", "3", "20", "lived True"], 0, "")


def test_a_child_of_a_goroutine_starts_anew():
    ended = forked("""
chan = native.Chan()
tasks = [native.spawn(chan.recv) for _ in range(10)]
def f():
    pid = os.fork()
    if pid == 0:
        live()
        native.go(chan.send, 1) # those who waited are gone
        print(chan.recv())
        sys.exit(3)
    return pid
wait_for(native.spawn(f).result())
print(native.goroutine_count())
""")
    assert (ended.out, ended.code, ended.err) == (["lived True", "1", "3", "10"], 0, "")


def test_a_goroutine_that_forked_ends_with_its_child():
    ended = forked("""
def f(how):
    pid = os.fork()
    if pid: return wait_for(pid)
    live()
    how()
native.spawn(f, lambda: None).result()
native.spawn(f, lambda: 1 / 0).result()
native.spawn(f, lambda: sys.exit("over")).result()
""")
    assert ended.out == ["lived True", "0", "lived True", "1", "lived True", "1"], ended
    assert "ZeroDivisionError" in ended.err
    assert ended.err.endswith("over\n")


def test_what_was_current_at_the_fork_stays_current():
    ended = forked("""
def f():
    with native.Token(timeout=100) as token:
        pid = os.fork()
        if pid == 0:
            assert 90 < token.remaining < 100
            live()
            token.cancel()
            try: native.sleep(100)
            except native.Cancelled: print("cancelled", flush=True)
    if pid == 0: os._exit(3)
    wait_for(pid)
f()
native.spawn(f).result()
""")
    assert (ended.out, ended.code, ended.err) == (["lived True", "cancelled", "3"] * 2, 0, "")


@pytest.mark.parametrize("scope", ["native.Token()", "contextlib.nullcontext()"])
@pytest.mark.parametrize("starts", ["inside", "outside"])
@pytest.mark.parametrize("forks", ["f()", "native.spawn(f).result()", "ecru.gather(f)"])
def test_what_a_child_leaves_is_cancelled_and_waited_for(forks, starts, scope):
    ended = forked(f"""
import atexit, contextlib
def left():
    try: native.sleep(100)
    finally: print("cleaned up", flush=True)
def start():
    native.go(left)
    native.yield_()
def f():
    with {scope}:
        pid = os.fork()
        if pid == 0 and {starts!r} == "inside": start()
    if pid: return wait_for(pid)
    if {starts!r} == "outside": start()
    sys.exit(3)
atexit.register(lambda: (native.sleep(0.001), print("at exit", flush=True)))
native.go(int); native.yield_()
{forks}
""")
    assert (ended.out, ended.code, ended.err) == (["at exit", "cleaned up", "3", "at exit"], 0, "")


def test_daemon_threads_of_a_child_are_left():
    ended = forked("""
ecru.patch()
pid = os.fork()
if pid == 0:
    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    time.sleep(0.01)
    sys.exit(3)
wait_for(pid)
""")
    assert (ended.out, ended.code, ended.err) == (["3"], 0, "")


def test_locks_are_free_after_reinitialisation():
    ended = forked("""
lock = native.Lock()
lock.acquire()
waiting = native.spawn(lock.acquire)
native.yield_()
os.register_at_fork(after_in_child=lock._at_fork_reinit)
pid = os.fork()
if pid == 0:
    with lock: live()
    os._exit(3)
wait_for(pid)
lock.release()
print(waiting.result())
""")
    assert (ended.out, ended.code, ended.err) == (["lived True", "3", "True"], 0, "")


def test_what_runs_in_a_child_before_the_runtime_starts_anew_may_wait():
    """A hook of the program's own, registered before ours; nobody but a plain thread's lock has started the runtime."""
    ended = processes.run(
        """
import os, threading
seen = []
def hook():
    seen.append((lock.acquire(timeout=0.001), native.sleep(0.001), native.wait_fd(writing, "w", 10)))
    lock.release()
    seen.append((lock.acquire(), lock.locked(), lock.release()))
    try: native.spawn(int)
    except native.Error as error: seen.append(error.args[0])
os.register_at_fork(after_in_child=hook)
from ecru import _native as native
lock = native.Lock()
lock.acquire()
reading, writing = os.pipe()
thread = threading.Thread(target=lock.acquire, args=(True, 0.001))
thread.start()
thread.join()
pid = os.fork()
if pid == 0:
    print(seen, native.spawn(int).result(), flush=True)
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
        flags=("-W", "ignore::DeprecationWarning"),
    )
    assert (ended.out, ended.code, ended.err) == (
        ["[(False, None, 'w'), (True, True, None), 1002] 0", "3"],
        0,
        "",
    )


def test_a_ticker_of_before_the_fork_ticks_on():
    ended = forked("""
ticker, stopped = ecru.Ticker(0.01), ecru.Ticker(0.01)
stopped.stop()
ticker.wait()
pid = os.fork()
if pid == 0:
    for _ in range(3): ticker.wait()
    assert ecru.select(ticker, timeout=30) is not None
    assert list(stopped) == []
    ticker.stop()
    sys.exit(3)
wait_for(pid)
ticker.wait()
""")
    assert (ended.out, ended.code, ended.err) == (["3"], 0, "")


def test_children_of_children():
    ended = forked("""
native.go(native.sleep, 100)
def generation(n):
    live()
    if n == 0: os._exit(3)
    pid = os.fork()
    if pid == 0: native.spawn(generation, n - 1).result()
    wait_for(pid)
    os._exit(3)
pid = os.fork()
if pid == 0: generation(3)
wait_for(pid)
""")
    assert (ended.out, ended.code, ended.err) == (["lived True"] + ["lived False"] * 3 + ["3"] * 4, 0, "")


def test_a_child_forked_in_a_thread_beside_goroutines():
    ended = forked("""
native.go(native.sleep, 100)
def f():
    pid = os.fork()
    if pid == 0:
        live()
        os._exit(3)
    wait_for(pid)
thread = threading.Thread(target=f)
thread.start()
while thread.is_alive(): native.yield_()
""")
    assert (ended.out, ended.code, ended.err) == (["lived True", "3"], 0, "")


def test_a_child_is_interrupted_like_any_program():
    ended = forked("""
native.go(native.sleep, 100)
pid = os.fork()
if pid == 0:
    import signal
    try:
        native.go(lambda: os.kill(os.getpid(), signal.SIGINT))  # without a GIL at once
        native.sleep(100)
    except KeyboardInterrupt: print("interrupted", flush=True)
    os._exit(3)
wait_for(pid)
""")
    assert (ended.out, ended.code, ended.err) == (["interrupted", "3"], 0, "")


@pytest.mark.parametrize(
    "call",
    ["ecru.run_blocking(len, (1, 2))", "(ecru.patch(), len(socket.getaddrinfo('localhost', 80)[:2]))[1]"],
    ids=["run_blocking", "patched getaddrinfo"],
)
def test_threads_for_what_blocks_are_the_childs_own(call):
    ended = forked(f"""
import socket
def call(): return {call}
begun, going_on = threading.Event(), threading.Event()
native.go(ecru.run_blocking, lambda: (begun.set(), going_on.wait()))
while not begun.is_set(): native.sleep(0.001)
print(call()) # an idle thread is left, and one that is in a call
pools = ecru._blocking._calls, ecru._blocking._look_ups
while not any(pool._idle for pool in pools): native.sleep(0.001)
pid = os.fork()
if pid == 0:
    native.go(native.sleep, 100)
    print(call(), native.spawn(call).result(), flush=True)
    os._exit(3)
wait_for(pid)
print(call())
going_on.set()
""")
    expected = str(ended.out[0])
    assert (ended.out, ended.code, ended.err) == ([expected, f"{expected} {expected}", "3", expected], 0, "")


def test_a_child_forked_in_a_call_that_blocks_has_threads_for_others():
    ended = forked("""
def f():
    pid = os.fork()
    if pid: return wait_for(pid)
    live()
    print(ecru.run_blocking(pow, 2, 3), native.spawn(ecru.run_blocking, pow, 2, 4).result(), flush=True)
    os._exit(3)
ecru.run_blocking(f)
""")
    assert (ended.out, ended.code, ended.err) == (["lived True", "8 16", "3"], 0, "")


def test_a_call_that_blocks_and_has_forked_ends_with_its_child():
    ended = forked("""
def f(how):
    pid = os.fork()
    if pid: return wait_for(pid)
    how()
ecru.run_blocking(f, lambda: None)
ecru.run_blocking(f, lambda: sys.exit(3))
ecru.run_blocking(f, lambda: 1 / 0)
ecru.run_blocking(f, lambda: ecru.go(int))
""")
    assert (ended.out, ended.code) == (["0", "3", "1", "0"], 0), ended
    assert ended.err.endswith("ZeroDivisionError: division by zero\n")


def double(x):
    return native.spawn(lambda: 2 * x).result()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_pools_of_forked_processes():
    native.go(native.sleep, 0.001)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(double, range(10)) == [2 * x for x in range(10)]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_many_forks_while_goroutines_are_busy():
    busy = [native.spawn(lambda: [native.yield_() for _ in range(1000)]) for _ in range(20)]
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(double(21))
            except BaseException:
                os._exit(1)
        native.yield_()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
    for task in busy:
        task.join()
