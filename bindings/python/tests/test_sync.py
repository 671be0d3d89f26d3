"""Locks and their like, rules L1, L2: goroutines and OS threads at once; a cancelled waiter loses nothing."""

import random
import sys
import threading
from collections import Counter, deque
from typing import Any

import processes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sync_helpers import LONG, cancelled, dump_with, from_both, in_thread, parked

import ecru


def test_k2_who_is_cancelled_takes_what_is_free_only_to_clean_up() -> None:
    semaphore, barrier, lock, rlock = ecru.Semaphore(), ecru.Barrier(1), ecru.Lock(), ecru.RLock()
    with ecru.Token() as token:
        token.cancel()
        for wait in (semaphore.acquire, semaphore.__enter__, barrier.wait, lambda: semaphore.acquire(timeout=1)):
            with pytest.raises(ecru.Cancelled):
                wait()
        assert semaphore.acquire(blocking=False)
        semaphore.release()
        with lock, rlock:
            pass
        with ecru.shield():
            assert semaphore.acquire()
            assert barrier.wait() == 0
    assert semaphore.value == 0


# ---- RLock ----


def test_rlock_is_its_owners_again_and_again() -> None:
    lock = ecru.RLock()
    with lock:
        assert lock.acquire()
        assert lock.locked()
        other = parked(lock.acquire)
        lock.release()
    assert other.result()
    with pytest.raises(RuntimeError, match="un-acquired"):
        lock.release()


def test_rlock_excludes_goroutines_and_threads() -> None:
    lock = ecru.RLock()
    count = 0

    def work() -> None:
        nonlocal count
        for _ in range(50):
            with lock, lock:
                seen = count
                ecru.yield_()
                count = seen + 1

    from_both(work)
    assert count == 24 * 50
    assert not lock.locked()


def test_rlock_of_another_is_not_ours() -> None:
    lock = ecru.RLock()
    lock.acquire()
    assert not ecru.spawn(lock.acquire, False).result()
    with pytest.raises(RuntimeError, match="un-acquired"):
        ecru.spawn(lock.release).result()
    with pytest.raises(RuntimeError, match="un-acquired"):
        in_thread(lock.release)
    lock.release()
    assert "unlocked" in repr(lock)


def test_rlock_taken_before_the_first_goroutine_is_still_ours() -> None:
    def work() -> None:
        lock = ecru.RLock()
        lock.acquire()
        assert ecru.run(lambda: ecru.spawn(int).result()) == 0
        lock.release()

    in_thread(work)


def test_rlock_cancelled_waiters_lose_nothing() -> None:
    lock = ecru.RLock()
    lock.acquire()
    cancelled(parked(lock.acquire))
    follower = parked(lock.acquire)
    lock.release()
    assert follower.result()
    assert not lock.acquire(timeout=0.001)
    with pytest.raises(ValueError, match="non-negative"):
        lock.acquire(timeout=-2)


# ---- Semaphore ----


def test_semaphore_bounds_goroutines_and_threads() -> None:
    semaphore, mutex = ecru.Semaphore(3), threading.Lock()
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        for _ in range(20):
            with semaphore:
                with mutex:
                    running += 1
                    most = max(most, running)
                ecru.yield_()
                with mutex:
                    running -= 1

    from_both(work)
    assert most <= 3
    assert semaphore.value == 3


def test_semaphore_first_come_first_served() -> None:
    semaphore = ecru.Semaphore(0)
    order: list[int] = []

    def work(n: int) -> None:
        semaphore.acquire()
        order.append(n)

    for n in range(5):
        ecru.go(work, n)
        ecru.yield_()
        ecru.yield_()
    semaphore.release(5)
    while len(order) < 5:
        ecru.yield_()
    assert order == list(range(5))


def test_semaphore_timeouts_and_misuse() -> None:
    semaphore = ecru.Semaphore(1)
    assert semaphore.acquire(timeout=0)
    assert not semaphore.acquire(blocking=False)
    assert not semaphore.acquire(timeout=0)
    assert not semaphore.acquire(timeout=0.001)
    with pytest.raises(ValueError, match="non-blocking"):
        semaphore.acquire(False, 1)
    with pytest.raises(ValueError, match="one or more"):
        semaphore.release(0)
    with pytest.raises(ValueError, match=">= 0"):
        ecru.Semaphore(-1)
    assert repr(semaphore) == "<ecru.Semaphore value=0>"


def test_semaphore_of_very_many_costs_nothing() -> None:
    semaphore = ecru.Semaphore(sys.maxsize)
    semaphore.acquire()
    assert semaphore.value == sys.maxsize - 1


def test_l2_a_bounded_semaphore_takes_no_more_back() -> None:
    semaphore = ecru.BoundedSemaphore(2)
    with pytest.raises(ValueError, match="too many times"):
        semaphore.release()
    semaphore.acquire()
    with pytest.raises(ValueError, match="too many times"):
        semaphore.release(2)
    semaphore.release()
    assert semaphore.value == 2


def test_l2_a_bounded_semaphore_of_none_takes_nothing() -> None:
    semaphore = ecru.BoundedSemaphore(0)
    assert not semaphore.acquire(False)
    assert semaphore.value == 0
    with pytest.raises(ValueError, match="too many times"):
        semaphore.release()
    assert not semaphore.acquire(False)


def test_semaphore_counts_far_and_no_further() -> None:
    semaphore = ecru.Semaphore(1 << 61)
    semaphore.release(1 << 60)
    assert semaphore.value == 3 << 60
    with pytest.raises(ValueError, match="too many times"):
        semaphore.release(sys.maxsize)
    with pytest.raises(OverflowError):
        semaphore.release(sys.maxsize + 1)
    with pytest.raises(OverflowError):
        ecru.Semaphore(sys.maxsize + 1)
    assert semaphore.value == 3 << 60


def test_semaphores_can_be_derived_from() -> None:
    class Places(ecru.BoundedSemaphore):
        def __init__(self, value: int, name: str) -> None:
            super().__init__(value)
            self.name = name

    places = Places(2, "table")
    with places, places:
        assert (places.value, places.name) == (0, "table")
        with pytest.raises(TypeError):
            places.acquire(True, 1, 2)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="number"):
            places.acquire(timeout=float("nan"))
        with pytest.raises(RuntimeError, match="once"):
            places.__init__(1, "bar")  # type: ignore[misc]
    with pytest.raises(ValueError, match=r"[Ii]nvalid"):
        Places.__new__(Places).acquire()


def test_semaphore_cancelled_waiters_lose_nothing() -> None:
    semaphore = ecru.Semaphore(0)
    first, second = parked(semaphore.acquire), parked(semaphore.acquire)
    cancelled(first)
    semaphore.release()
    assert second.result()


# ---- Event, WaitGroup, Barrier, Once ----


def test_event() -> None:
    event = ecru.Event()
    assert not event.is_set()
    assert not event.wait(0.001)
    waiting = [parked(event.wait) for _ in range(3)]
    event.set()
    event.set()
    assert all(task.result() for task in waiting)
    assert event.wait(0)
    event.clear()
    waiter = parked(event.wait)
    event.clear()
    event.set()
    assert waiter.result()
    event.clear()
    cancelled(parked(event.wait))
    assert repr(event) == "<ecru.Event unset>"


def test_events_between_threads_and_goroutines() -> None:
    there, back = ecru.Event(), ecru.Event()

    def work() -> None:
        for _ in range(100):
            there.wait()
            there.clear()
            back.set()

    task = ecru.spawn(in_thread, work)
    for _ in range(100):
        there.set()
        back.wait()
        back.clear()
    task.result()


def test_wait_group() -> None:
    group = ecru.WaitGroup()
    assert group.wait()
    ended = []
    for n in range(3):
        group.go(lambda n=n: ended.append(n))
    waiting = ecru.spawn(group.wait)
    assert group.wait(LONG)
    assert waiting.result()
    assert sorted(ended) == [0, 1, 2]
    group.add(2)
    assert not group.wait(0)
    cancelled(parked(group.wait))
    group.add(-2)
    assert group.wait(0)
    assert group.count == 0


def test_l2_a_wait_group_is_never_negative() -> None:
    group = ecru.WaitGroup()
    group.add(1)
    with pytest.raises(ValueError, match="negative"):
        group.add(-2)
    assert group.count == 1
    group.done()
    with pytest.raises(ValueError, match="negative"):
        group.done()


def test_wait_group_counts_a_goroutine_that_fails() -> None:
    group = ecru.WaitGroup()

    def work() -> None:
        raise ecru.Cancelled

    group.go(work)
    assert group.wait(LONG)


def test_wait_group_from_threads_and_goroutines() -> None:
    group = ecru.WaitGroup()

    def work() -> None:
        for _ in range(100):
            group.add()
            group.done()

    from_both(work)
    assert group.wait(0)


def test_barrier_round_after_round() -> None:
    actions = []
    barrier = ecru.Barrier(6, action=lambda: actions.append(barrier.n_waiting))
    rounds: list[list[int]] = [[] for _ in range(20)]

    def work() -> None:
        for numbers in rounds:
            numbers.append(barrier.wait())

    from_both(work, goroutines=4, threads=2)
    assert [sorted(numbers) for numbers in rounds] == [list(range(6))] * 20
    assert len(actions) == 20


def test_barrier_a_cancelled_arrival_is_taken_back() -> None:
    barrier = ecru.Barrier(2)
    cancelled(parked(barrier.wait))
    assert barrier.n_waiting == 0
    other = parked(barrier.wait)
    assert barrier.n_waiting == 1
    assert {barrier.wait(), other.result()} == {0, 1}


def test_barrier_breaks() -> None:
    barrier = ecru.Barrier(3)
    waiting = parked(barrier.wait)
    with pytest.raises(ecru.BrokenBarrierError):
        barrier.wait(0.001)
    assert isinstance(waiting.exception(), ecru.BrokenBarrierError)
    assert barrier.broken
    with pytest.raises(ecru.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    waiting = parked(barrier.wait)
    barrier.reset()
    assert isinstance(waiting.exception(), ecru.BrokenBarrierError)
    waiting = parked(barrier.wait)
    barrier.abort()
    assert isinstance(waiting.exception(), ecru.BrokenBarrierError)
    assert threading.BrokenBarrierError is ecru.BrokenBarrierError


def test_barrier_an_action_that_fails_breaks_it() -> None:
    def action() -> None:
        raise KeyError

    barrier = ecru.Barrier(2, action, timeout=LONG)
    waiting = parked(barrier.wait)
    with pytest.raises(KeyError):
        barrier.wait()
    assert isinstance(waiting.exception(), ecru.BrokenBarrierError)
    with pytest.raises(ecru.BrokenBarrierError):
        barrier.wait()
    with pytest.raises(ValueError, match="parties"):
        ecru.Barrier(0)


def test_barrier_who_is_cancelled_while_the_action_runs_has_arrived() -> None:
    gate = ecru.Event()
    barrier = ecru.Barrier(2, action=gate.wait)
    waiting = parked(barrier.wait)
    last = parked(barrier.wait)
    waiting.cancel()
    ecru.yield_()
    gate.set()
    assert {last.result(), waiting.result()} == {0, 1}


def test_once_runs_once_for_all() -> None:
    once, runs = ecru.Once(), []

    def work() -> str:
        runs.append(1)
        ecru.yield_()
        return "x"

    def ask() -> None:
        assert once.do(work) == "x"

    from_both(ask)
    assert runs == [1]
    assert once.done


def test_once_keeps_an_error_but_not_a_cancel() -> None:
    once = ecru.Once()
    cancelled(parked(lambda: once.do(ecru.sleep, LONG)))
    assert not once.done

    def work() -> None:
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            once.do(work)
    with pytest.raises(RuntimeError, match="from the function it runs"):
        (again := ecru.Once()).do(lambda: again.do(int))


# ---- against models ----


@settings(max_examples=60)
@given(st.integers(0, 3), st.lists(st.sampled_from(["acquire", "try", "release", "cancel"]), max_size=40))
def test_semaphore_does_what_a_count_and_a_list_do(value: int, program: list[str]) -> None:
    semaphore = ecru.Semaphore(value)
    free, waiting = value, deque[ecru.Task[bool]]()
    for step in program:
        if step == "try":
            assert semaphore.acquire(blocking=False) == (free > 0)
            free -= free > 0
        elif step == "acquire" and free > 0:
            assert ecru.spawn(semaphore.acquire).result()
            free -= 1
        elif step == "acquire":
            waiting.append(parked(semaphore.acquire))
        elif step == "cancel" and waiting:
            cancelled(waiting.pop())
        elif step == "release":
            semaphore.release()
            if waiting:
                assert waiting.popleft().result()
            else:
                free += 1
        assert semaphore.value == free
    for task in waiting:
        cancelled(task)


@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_goroutines_and_random_cancels_lose_nothing(seed: int) -> None:
    """Permits, items and notifications are all there at the end, whoever was cancelled where."""
    rng = random.Random(seed)
    semaphore, lock, condition = ecru.Semaphore(5), ecru.RLock(), ecru.Condition()
    q: ecru.Queue[int] = ecru.Queue(10)
    put, got = Counter[int](), Counter[int]()

    def use_semaphore(n: int) -> None:
        with semaphore:
            ecru.yield_()

    def use_lock(n: int) -> None:
        with lock, lock:
            ecru.yield_()

    def use_condition(n: int) -> None:
        with condition:
            if n % 8 == 2:
                condition.wait(0.01)
            else:
                condition.notify()

    def produce(n: int) -> None:
        q.put(n)
        put[n] += 1

    def consume(n: int) -> None:
        got[q.get()] += 1

    work = [use_semaphore, use_lock, use_condition, produce, consume]
    tasks = []
    for n in range(10_000):
        tasks.append(ecru.spawn(rng.choice(work), n))
        if rng.random() < 0.1:
            ecru.yield_()
        if rng.random() < 0.3:
            rng.choice(tasks).cancel()
    for task in tasks:
        if rng.random() < 0.5:
            task.cancel()
    while not all(task.done for task in tasks):
        ecru.go(consume if q.full() or put.total() > got.total() + q.qsize() else produce, -1)
        ecru.yield_()
        for _ in range(100):
            rng.choice(tasks).cancel()
    for task in tasks:
        assert isinstance(task.exception(), (ecru.Cancelled, type(None)))
    assert semaphore.value == 5
    assert not lock.locked()
    with condition:
        assert not condition._waiters
    while not q.empty():
        consume(-1)
    assert put == got
    for _ in range(put.total()):
        q.task_done()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


def test_l1_only_the_last_to_arrive_at_a_barrier_opens_it() -> None:
    """Threads of the system: the last one comes when the last but one has taken its place and goes on to wait."""
    barrier, numbers = ecru.Barrier(2), list[int]()

    class Mutex:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __enter__(self) -> None:
            self.inner.__enter__()

        def __exit__(self, *error: object) -> None:
            self.inner.__exit__(*error)
            barrier._mutex = self.inner
            other = threading.Thread(target=lambda: numbers.append(barrier.wait(30)))
            other.start()
            other.join()

    barrier._mutex = Mutex(barrier._mutex)  # type: ignore[assignment]
    numbers.append(barrier.wait(30))
    assert sorted(numbers) == [0, 1]


# ---- what dumps call a wait ----


def taken(lock: Any) -> Any:
    lock.acquire()
    return lock


def wait_for_notification(seconds: float | None) -> None:
    with (condition := ecru.Condition()):
        condition.wait(seconds)


def full(queue: Any) -> Any:
    queue.put(1)
    return queue


def wait_at_zero(seconds: float | None) -> None:
    group = ecru.WaitGroup()
    group.add()
    group.wait(seconds)


WAITS: dict[str, list[Any]] = {
    "lock": [
        lambda: taken(ecru.Lock()).acquire(),
        lambda: taken(ecru.Lock()).acquire(timeout=LONG),
        lambda: ecru.spawn(taken, lock := ecru.RLock()).join() or lock.acquire(),
    ],
    "semaphore": [ecru.Semaphore(0).acquire],
    "condition": [lambda: wait_for_notification(None), lambda: wait_for_notification(LONG)],
    "event": [lambda: ecru.Event().wait(), lambda: ecru.Event().wait(LONG)],
    "wait group": [lambda: wait_at_zero(None)],
    "barrier": [lambda: ecru.Barrier(2).wait(), lambda: ecru.Barrier(2).wait(LONG)],
    "queue get": [
        lambda: ecru.Queue[int]().get(),
        lambda: ecru.Queue[int]().get(timeout=LONG),
        lambda: ecru.LifoQueue[int]().get(),
        lambda: ecru.PriorityQueue[int]().get(timeout=LONG),
    ],
    "queue put": [lambda: full(ecru.Queue(1)).put(2), lambda: full(ecru.LifoQueue(1)).put(2, timeout=LONG)],
    "queue join": [lambda: full(ecru.Queue()).join()],
    "chan receive": [lambda: ecru.Event().wait(0) or ecru.Chan[int]().recv()],
}


@pytest.mark.parametrize("reason", WAITS)
def test_g7_dumps_tell_what_is_waited_for(reason: str) -> None:
    tasks = [ecru.spawn(wait) for wait in WAITS[reason]]
    for number, task in enumerate(tasks):
        task.name = f"{reason.replace(' ', '-')}-{number}"
    lines = [f"{task.name} (for " for task in tasks]
    text = dump_with(*lines)  # all have come so far
    told = {line: told for told in text.splitlines() for line in lines if line in told}
    assert {line: told[line].rpartition(" [")[2] for line in lines} == {line: f"{reason}]:" for line in lines}
    for task in tasks:
        cancelled(task)


@pytest.mark.parametrize(("wait", "reason"), [("event.wait()", "event"), ("queue.get()", "queue get")])
def test_g7_the_very_first_wait_of_a_program_is_told(wait: str, reason: str) -> None:
    program = f"""
import io, threading, ecru
event, queue = ecru.Event(), ecru.Queue()
def look():
    text = ""
    while "[{reason}]" not in text and "[chan receive]" not in text:
        out = io.StringIO()
        ecru.dump(out)
        text = out.getvalue()
    print("[{reason}]" in text)
    event.set()
    queue.put(None)
thread = threading.Thread(target=look)
thread.start()
{wait}
thread.join()
"""
    ended = processes.run(program)
    assert (ended.out, ended.code) == (["True"], 0), ended.err


def test_g7_a_threads_wait_for_a_lock_is_told() -> None:
    lock = taken(ecru.Lock())
    thread = threading.Thread(target=lock.acquire, name="patient")
    thread.start()
    text = dump_with("patient (for")
    assert any(line.startswith("patient (for") and line.endswith(" [lock]:") for line in text.splitlines())
    lock.release()
    thread.join()
