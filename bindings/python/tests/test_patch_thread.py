"""ecru.patch(): threads and their locks are goroutines'."""

import concurrent.futures
import contextvars
import ctypes
import importlib
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import processes
import pytest
from patched import patched, run
from sync_helpers import dump_with

import ecru

SLEEPERS, SLEEP_SECONDS = 100, 0.3
SERIAL_SECONDS = SLEEPERS * SLEEP_SECONDS


@patched
def test_threads_sleep_at_once_on_one_thread_of_the_system():
    before, began = len(os.listdir("/proc/self/task")), time.monotonic()
    threads = [threading.Thread(target=time.sleep, args=(SLEEP_SECONDS,)) for _ in range(SLEEPERS)]
    for thread in threads:
        thread.start()
    assert threading.active_count() == SLEEPERS + 1
    assert len(os.listdir("/proc/self/task")) <= before + 4  # the runtime's own
    for thread in threads:
        thread.join()
    assert SLEEP_SECONDS <= time.monotonic() - began < SERIAL_SECONDS / 3
    assert threading.active_count() == 1


@patched
def test_several_join_a_thread_at_once():
    for daemon in (False, True):
        go_on = threading.Event()
        thread = threading.Thread(target=go_on.wait, daemon=daemon)
        thread.start()
        with ThreadPoolExecutor(5) as executor:
            ends = [executor.submit(thread.join) for _ in range(5)]
            while not all(end.running() for end in ends):
                time.sleep(0.001)
            go_on.set()
            assert [end.result(10) for end in ends] == [None] * 5
        assert not thread.is_alive()


@patched
def test_a_join_that_is_cancelled_leaves_the_thread_alone():
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.01):
        thread.join()
    with pytest.raises(OverflowError):
        thread.join(1e300)
    assert thread.is_alive()
    thread.join(0.01)
    assert thread.is_alive()
    go_on.set()
    thread.join()
    assert not thread.is_alive()


ENDS = {
    "sentinel": """
from ecru._patch._locks import Sentinel
sentinel = Sentinel()
sentinel.acquire()
join, end, is_over = sentinel.wait, sentinel.release, lambda: sentinel.wait(False)
""",
    "handle": """
from ecru._patch._joinable import ThreadHandle
handle = ThreadHandle()
handle._starting = True
join, end, is_over = handle.join, handle._set_done, handle.is_done
""",
}


@pytest.mark.parametrize("kind", ENDS)
def test_what_a_signals_handler_raises_in_a_join_takes_the_end_from_nobody(kind):
    body = """
import ecru; ecru.patch()
import signal
def fail(*_): raise InterruptedError
signal.signal(signal.SIGUSR1, fail)
def finish():
    others.append(ecru.spawn(join))
    ecru.yield_()
    end()
    signal.raise_signal(signal.SIGUSR1)  # the first who waits has been given it, and has not come to pass it on
others = []
ecru.go(finish)
try: join()
except InterruptedError: print("interrupted")
with ecru.timeout(30): others[0].join()
print(is_over())
"""
    assert run(ENDS[kind] + body) == "interrupted\nTrue\n"


def test_a_threads_end_can_be_held_as_a_lock():
    """Up to 3.12, by what threading itself does at the end of the program."""
    body = """
import signal
import ecru; ecru.patch()
from ecru._patch._locks import Sentinel
sentinel = Sentinel()
assert sentinel.wait(False) and sentinel.acquire()
assert not sentinel.acquire(False) and not sentinel.wait(False) and sentinel.locked()
other, waits = ecru.spawn(sentinel.acquire), ecru.spawn(sentinel.wait)
ecru.yield_()
sentinel.release()
with ecru.timeout(30): assert other.result()
assert sentinel.locked() and not sentinel.wait(False) and not sentinel.acquire(timeout=0)
sentinel.release()
with ecru.timeout(30): assert waits.result()
assert not sentinel.locked() and sentinel.wait(False)

def fail(*_): raise InterruptedError
signal.signal(signal.SIGUSR1, fail)
def finish():
    others.append(ecru.spawn(sentinel.acquire))
    ecru.yield_()
    sentinel.release()
    signal.raise_signal(signal.SIGUSR1)  # the first has been given it, and has not come to take it
others = []
sentinel.acquire()
ecru.go(finish)
try: sentinel.acquire()
except InterruptedError: print("interrupted")
with ecru.timeout(30): print(others[0].result(), sentinel.locked())
"""
    assert run(body) == "interrupted\nTrue True\n"


@patched
def test_the_system_knows_a_thread_by_its_identity():
    me = threading.main_thread().ident
    handled, go_on, end = [], threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: handled.append("handled"))

    def ask() -> None:
        ident = threading.get_ident()
        assert time.pthread_getcpuclockid(ident) == time.pthread_getcpuclockid(me)
        signal.pthread_kill(ident, signal.SIGUSR1)
        signal.pthread_kill(ident, 0)
        go_on.set()
        end.wait()

    thread = threading.Thread(target=ask)
    thread.start()
    go_on.wait()
    name = ctypes.create_string_buffer(b"ecru-test")
    set_name = ctypes.CDLL(None).pthread_setname_np
    assert set_name(ctypes.c_ulong(thread.ident), name) != 0  # by ctypes: the name of no thread
    end.set()
    thread.join()
    assert handled == ["handled"]
    with pytest.raises(ProcessLookupError):
        signal.pthread_kill(thread.ident, 0)
    with pytest.raises(TypeError):
        signal.pthread_kill("main", 0)


@patched
def test_signals_are_the_main_threads():
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    assert signal.set_wakeup_fd(-1) == -1
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ValueError, match="signal only works in main thread"):
            executor.submit(signal.signal, signal.SIGUSR1, signal.SIG_DFL).result()
        with pytest.raises(ValueError, match="set_wakeup_fd only works in main thread"):
            executor.submit(signal.set_wakeup_fd, -1).result()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    assert ecru.spawn(signal.signal, signal.SIGUSR1, signal.SIG_DFL).result() is signal.SIG_IGN  # no thread's


@patched
def test_signals_are_whose_who_has_forked_also_in_a_thread_of_the_system():
    def fork() -> None:
        child = os.fork()
        if child == 0:
            try:
                signal.signal(signal.SIGUSR1, signal.SIG_IGN)
                os._exit(0)
            finally:
                os._exit(99)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def start() -> None:
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()

    codes = []
    start()
    ecru.run_blocking(start)
    assert codes == [0, 0]


@patched
def test_a_reentrant_lock_says_it_is_c():
    assert type(threading.RLock()).__module__ == "_thread"


@patched
def test_a_thread_has_an_identity_storage_and_context_of_its_own():
    local, variable, seen = threading.local(), contextvars.ContextVar("variable", default=0), []
    local.value = variable_in_main = 1
    variable.set(variable_in_main)

    def look() -> None:
        me = threading.current_thread()
        seen.append(
            (
                me.ident == threading.get_ident() != threading.main_thread().ident,
                hasattr(local, "value"),
                variable.get(),
            )
        )
        assert me.ident in sys._current_frames()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(True, False, 0)]
    assert threading.current_thread() is threading.main_thread()


@patched
def test_a_lock_is_waited_for_and_a_timeout_is_kept():
    lock = threading.Lock()
    assert lock.acquire()
    assert not lock.acquire(timeout=0.01)
    assert not lock.acquire(blocking=False)
    threading.Timer(0.05, lock.release).start()
    assert lock.acquire(timeout=30)


@patched
def test_an_rlock_belongs_to_its_goroutine():
    lock, order = threading.RLock(), []

    def other() -> None:
        assert not lock.acquire(blocking=False)
        with lock:
            order.append("other")

    with lock, lock:
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0)
        order.append("owner")
    thread.join()
    assert order == ["owner", "other"]


@patched
def test_condition_event_barrier_and_semaphore_follow():
    condition, event, barrier, semaphore = (
        threading.Condition(),
        threading.Event(),
        threading.Barrier(3),
        threading.Semaphore(2),
    )
    items, inside, most = [], [], []

    def consume() -> None:
        with condition:
            assert condition.wait_for(lambda: items, timeout=30)
            items.pop()
        assert event.wait(30)
        with semaphore:
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
        barrier.wait(30)

    threads = [threading.Thread(target=consume) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert not event.wait(0.01)
    with condition:
        assert not condition.wait(0.01)
        items.extend(range(3))
        condition.notify_all()
    event.set()
    for thread in threads:
        thread.join()
    assert max(most) == 2
    assert not items
    assert not barrier.broken


@patched
def test_g7_dumps_tell_a_wait_for_a_condition_from_one_for_a_lock():
    condition, event, items, lock = threading.Condition(), threading.Event(), queue.Queue(), threading.Lock()

    def wait() -> None:
        with condition:
            condition.wait()

    lock.acquire()
    waits = {wait: "condition", event.wait: "condition", items.get: "condition", lock.acquire: "lock"}
    tasks = [ecru.spawn(target) for target in waits]
    for number, task in enumerate(tasks):
        task.name = f"waiter-{number}"
    for task, reason in zip(tasks, waits.values(), strict=True):
        head = dump_with(f"{task.name} (for").partition(f"{task.name} (for")[2].partition("\n")[0]
        assert head.endswith(f" [{reason}]:")
        task.cancel()


@patched
def test_g7_dumps_call_the_first_as_its_own_thread():
    event, again = threading.Event(), threading.Event()
    threading.Thread(target=event.wait, name="other").start()
    task = ecru.spawn(lambda: (threading.current_thread(), again.wait()))  # threading knows it as a dummy
    heads = [line for line in dump_with("first of ", "task-").splitlines() if line.startswith("first of ")]
    assert heads == ["first of MainThread [running]:"]
    event.set()
    again.set()
    task.join()


@patched
def test_g7_a_thread_that_has_no_name_to_tell_is_in_dumps_all_the_same():
    class Nameless(threading.Thread):
        @property
        def name(self):
            raise ValueError("no name yet")

    event = threading.Event()
    threading.Thread.start(thread := Nameless(target=event.wait))
    assert "task-" in dump_with("task-")
    event.set()
    thread.join()


@patched
def test_g7_dumps_call_threads_by_their_names_of_then():
    event = threading.Event()
    thread = threading.Thread(target=event.wait, name="before")
    thread.start()
    dump_with("before (for ")
    thread.name = "after"
    text = dump_with("after (for ")
    assert not any(line.startswith("before ") for line in text.splitlines())
    event.set()
    thread.join()


DEADLOCK = """
import ecru; ecru.patch()
import threading
lock = threading.Lock()
lock.acquire()
threading.Thread(target=lock.acquire, name="other", daemon=True).start()
try: lock.acquire()
except ecru.DeadlockError as error:
    print(*sorted(line.partition(" (")[0] for line in str(error).splitlines() if " (for " in line), sep="\\n")
    lock.release()
"""


def test_a_deadlock_is_told_with_the_names_of_threads():
    assert run(DEADLOCK).splitlines() == ["first of MainThread", "other"]


@patched
def test_queues_hand_over_between_threads():
    for made in (queue.Queue(2), queue.SimpleQueue()):
        results: list[int] = []

        def take(made=made, results=results) -> None:
            results.extend(iter(made.get, None))

        thread = threading.Thread(target=take)
        thread.start()
        for i in range(100):
            made.put(i)
        made.put(None)
        thread.join()
        assert results == list(range(100))
    try:
        queue.SimpleQueue().get(timeout=0.01)
    except queue.Empty:
        return
    raise AssertionError("Empty expected")


@patched
def test_an_executors_workers_are_goroutines():
    began, before = time.monotonic(), len(os.listdir("/proc/self/task"))
    with ThreadPoolExecutor(SLEEPERS) as executor:
        squares = executor.map(lambda i: time.sleep(SLEEP_SECONDS) or i * i, range(SLEEPERS))
        assert len(os.listdir("/proc/self/task")) <= before + 4
        assert list(squares) == [i * i for i in range(SLEEPERS)]
    assert time.monotonic() - began < SERIAL_SECONDS / 3


@patched
def test_importing_from_two_threads_gives_both_the_whole_module():
    seen = []
    slow = "import time; time.sleep(0.1); done = True"
    directory = tempfile.TemporaryDirectory()
    Path(directory.name, "slow_module.py").write_text(slow)
    sys.path.insert(0, directory.name)

    def load() -> None:
        import slow_module

        seen.append(slow_module.done)

    threads = [threading.Thread(target=load) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    directory.cleanup()
    assert seen == [True] * 5


def test_the_program_waits_for_its_threads_but_not_for_daemons():
    body = """
import ecru; ecru.patch()
import threading, time
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
threading.Thread(target=lambda: (time.sleep(0.2), print("waited"))).start()
"""
    assert run(body) == "waited\n"


def test_a_threads_error_goes_to_the_hook():
    body = """
import ecru; ecru.patch()
import threading
threading.excepthook = lambda about: print(about.exc_type.__name__, about.thread.name)
thread = threading.Thread(target=lambda: 1 / 0, name="divides")
thread.start()
thread.join()
"""
    assert run(body) == "ZeroDivisionError divides\n"


def test_patching_twice_is_once_and_undo_puts_everything_back():
    body = """
import ecru, threading, time, socket, select, queue, selectors, warnings
warnings.simplefilter("ignore", ecru.EarlyImportWarning) # the state before is kept on purpose

def state():
    tables = threading, socket.socket, selectors.PollSelector
    return [time.sleep, select.poll, queue.SimpleQueue, *(vars(table).copy() for table in tables)]

before = state()
ecru.patch(time=False)
everything = ecru.patched() | {"time"}
assert ecru.patched() == everything - {"time"} and {"thread", "socket", "select"} < everything
assert time.sleep is before[0] is ecru.get_original("time", "sleep")
ecru.patch(); ecru.patch()
assert ecru.patched() == everything
assert time.sleep is not before[0] is ecru.get_original("time", "sleep")
ecru.patch.undo()
assert state() == before and not ecru.patched()
ecru.patch.undo()
thread = threading.Thread(target=time.sleep, args=(0.01,))
thread.start()
thread.join()
print(ecru.get_original("time", "sleep") is time.sleep)
"""
    assert run(body) == "True\n"


PLACES = """
import ecru; ecru.patch()
import _thread, copy, os, pickle, select, sys, time

registry = ecru.patch._registry
places = {(owner.__name__, name) for _, owner, name, _, _ in registry._done if type(owner) is type(sys)}
for module, name in sorted(places):
    original, function = ecru.get_original(module, name), getattr(sys.modules[module], name)
    if not isinstance(original, type(len)) or isinstance(function, (type, type(len))):
        continue
    assert copy.deepcopy(function) is copy.copy(function) is function, function
    assert pickle.loads(pickle.dumps(function)) is function, function
    print(module, name, pickle.dumps(function, 0).hex())
"""


def test_functions_are_pickled_by_their_places_and_are_the_originals_elsewhere():
    seen = {(module, name): bytes.fromhex(text) for module, name, text in map(str.split, run(PLACES).splitlines())}
    assert {("time", "sleep"), ("os", "read"), ("os", "waitpid"), ("os", "system"), ("select", "select")} < set(seen)
    for (module, name), pickled in seen.items():
        assert pickle.loads(pickled) is getattr(importlib.import_module(module), name)


@patched
def test_a_process_is_given_a_function_that_waits():
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(time.sleep, 0.001).result() is None


@patched
def test_replacements_in_classes_take_no_object():
    class Sleeps:
        sleep = time.sleep

    assert Sleeps().sleep(0) is None


def test_a_child_of_a_process_that_has_no_goroutines_yet_may_have_some():
    body = """
import ecru, os
from ecru import _native
child = os.fork()
if child == 0:
    ecru.patch()
    import threading
    seen = []
    thread = threading.Thread(target=lambda: seen.append(_native.current() is not None))
    thread.start()
    thread.join()
    os._exit(7 if seen == [True] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(body) == "7\n"


def test_a_thread_that_ran_before_the_patch_is_joined_by_parking():
    body = """
import threading, time, warnings
gate = threading.Lock(); gate.acquire()
native = threading.Thread(target=gate.acquire)
native.start()
import ecru
warnings.simplefilter("ignore", ecru.EarlyImportWarning) # of the gate, which is taken
ecru.patch()
order = []
joins = threading.Thread(target=lambda: (native.join(), order.append("joined")))
joins.start()
time.sleep(0.05)
native.join(0.01)
order.append("released")
assert native.is_alive()
gate.release()
joins.join()
assert not native.is_alive()
print(order)
"""
    assert run(body) == "['released', 'joined']\n"


@patched
def test_who_asks_in_a_loop_without_waiting_keeps_nobody_out():
    items, found = queue.Queue(), []

    def ask() -> None:
        while not found:
            try:
                found.append(items.get_nowait())
            except queue.Empty:
                continue

    asking = threading.Thread(target=ask)
    asking.start()
    threading.Timer(0.05, items.put, ("item",)).start()
    asking.join()
    assert found == ["item"]


@pytest.mark.parametrize("what", ["time.sleep(1000)", "compute()"])
def test_one_ctrl_c_ends_a_program_that_joins_a_thread(what: str) -> None:
    ended = processes.interrupt(f"""
        import ecru; ecru.patch()
        import threading, time
        def compute():
            while True: pass
        def body():
            print("ready")
            {what}
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
    """)
    assert ended.code == -2, ended
    assert ended.err.count("Traceback") == 1, ended.err
    assert ended.err.endswith("KeyboardInterrupt\n")


@patched
def test_who_starts_a_thread_goes_on_before_it_computes() -> None:
    order = []
    thread = threading.Thread(target=order.append, args=("thread",))
    thread.start()
    order.append("starter")
    thread.join()
    assert order == ["starter", "thread"]


@patched
def test_in_a_forked_child_all_threads_have_ended_but_who_forked():
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    child = os.fork()
    if child == 0:
        ended = not other.is_alive() and threading.main_thread().is_alive()
        other.join()
        os._exit(3 if ended else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert other.is_alive()
    end.set()
    other.join()
    assert not other.is_alive()
