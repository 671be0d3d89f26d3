"""Queues: the queue module's, for goroutines and OS threads at once; a cancelled waiter loses nothing."""

import gc
import heapq
import queue
import threading
import weakref
from collections import Counter, deque
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sync_helpers import cancelled, in_thread, parked

import ecru

QUEUES = [ecru.Queue, ecru.LifoQueue, ecru.PriorityQueue]


@pytest.mark.parametrize("make", QUEUES)
def test_queue_shapes_are_the_queue_modules(make: Any) -> None:
    q = make(2)
    assert q.empty()
    q.put(1)
    q.put_nowait(2)
    assert q.full()
    assert q.qsize() == 2
    for full in (lambda: q.put(3, block=False), lambda: q.put(3, timeout=0.001), lambda: q.put(3, timeout=0)):
        with pytest.raises(queue.Full):
            full()
    assert {q.get(), q.get(timeout=1)} == {1, 2}
    for empty in (q.get_nowait, lambda: q.get(timeout=0.001), lambda: q.get(timeout=0)):
        with pytest.raises(queue.Empty):
            empty()
    for negative in (lambda: q.put(1, timeout=-1), lambda: q.get(timeout=-1)):
        with pytest.raises(ValueError, match="non-negative"):
            negative()
    assert type(q).__name__ in repr(q)


@pytest.mark.parametrize(("make", "expected"), [(QUEUES[0], [3, 1, 2]), (QUEUES[1], [2, 1, 3]), (QUEUES[2], [1, 2, 3])])
def test_queue_orders(make: Any, expected: list[int]) -> None:
    q = make()
    for n in (3, 1, 2):
        q.put(n)
    assert [q.get() for _ in range(3)] == expected


@pytest.mark.parametrize("make", QUEUES)
def test_queue_join(make: Any) -> None:
    q = make()
    q.join()
    q.put(1)
    waiting = parked(q.join)
    assert q.get() == 1
    q.task_done()
    waiting.result()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


@pytest.mark.parametrize("make", QUEUES)
def test_queue_shutdown(make: Any) -> None:
    q = make(2)
    q.put(1)
    q.put(2)
    putting = parked(lambda: q.put(3))
    q.shutdown()
    q.shutdown()
    assert isinstance(putting.exception(), ecru.ShutDown)
    for put in (lambda: q.put(4), lambda: q.put_nowait(4), lambda: q.put(4, timeout=1)):
        with pytest.raises(ecru.ShutDown):
            put()
    assert {q.get(), q.get()} == {1, 2}
    for get in (q.get, q.get_nowait, lambda: q.get(timeout=1)):
        with pytest.raises(ecru.ShutDown):
            get()
    q.task_done()
    q.task_done()
    q.join()


@pytest.mark.parametrize("make", QUEUES)
def test_queue_immediate_shutdown(make: Any) -> None:
    q = make()
    q.put(1)
    joining = parked(q.join)
    q.shutdown(immediate=True)
    joining.result()
    with pytest.raises(ecru.ShutDown):
        q.get()
    q = make()
    getting = parked(q.get)
    q.shutdown()
    assert isinstance(getting.exception(), ecru.ShutDown)


@pytest.mark.parametrize("make", QUEUES)
def test_queue_cancelled_waiters_lose_nothing(make: Any) -> None:
    q = make(1)
    cancelled(parked(q.get))
    follower = parked(q.get)
    q.put(1)
    assert follower.result() == 1
    q.put(2)
    cancelled(parked(lambda: q.put(3)))
    assert q.get() == 2
    assert q.empty()
    q.put(4)
    assert q.get() == 4
    for _ in range(3):
        q.task_done()
    q.join()


@pytest.mark.parametrize("make", QUEUES)
def test_queue_between_threads_and_goroutines(make: Any) -> None:
    q = make(3)
    got: Counter[int] = Counter()
    mutex = threading.Lock()

    def produce() -> None:
        for n in range(100):
            q.put(n)

    def consume() -> None:
        for _ in range(100):
            n = q.get()
            with mutex:
                got[n] += 1
            q.task_done()

    with ecru.TaskGroup() as group:
        for _ in range(3):
            group.go(produce)
            group.go(consume)
            group.go(in_thread, produce)
            group.go(in_thread, consume)
    q.join()
    assert got == Counter({n: 6 for n in range(100)})


def test_priority_queue_refuses_what_does_not_compare() -> None:
    q: ecru.PriorityQueue[Any] = ecru.PriorityQueue(3)
    q.put(2)
    q.put(1)
    with pytest.raises(TypeError):
        q.put("x")
    assert q.qsize() == 2
    q.put(0)
    assert [q.get() for _ in range(3)] == [0, 1, 2]


class _ModelQueue:
    """What a queue holds, and in which order it gives it."""

    def __init__(self, make: Any) -> None:
        self.make, self.items = make, list[int]()

    def push(self, item: int) -> None:
        heapq.heappush(self.items, item) if self.make is ecru.PriorityQueue else self.items.append(item)

    def pop(self) -> int:
        if self.make is ecru.PriorityQueue:
            return heapq.heappop(self.items)
        return self.items.pop(0 if self.make is ecru.Queue else -1)


@settings(max_examples=150)
@given(
    st.sampled_from(QUEUES),
    st.integers(0, 3),
    st.lists(st.tuples(st.sampled_from(["put", "get", "cancel_put", "cancel_get"]), st.integers(0, 99)), max_size=40),
)
def test_queues_do_what_a_list_does(make: Any, maxsize: int, program: list[tuple[str, int]]) -> None:
    q, model = make(maxsize), _ModelQueue(make)
    putting = deque[tuple[int, ecru.Task[None]]]()
    getting = deque[ecru.Task[int]]()
    for step, value in program:
        if step == "put" and getting:
            q.put(value)
            assert getting.popleft().result() == value
        elif step == "put" and 0 < maxsize <= len(model.items):
            with pytest.raises(queue.Full):
                q.put_nowait(value)
            putting.append((value, parked(lambda value=value: q.put(value))))
        elif step == "put":
            q.put(value)
            model.push(value)
        elif step == "get" and model.items:
            assert q.get() == model.pop()
            if putting:
                waited, task = putting.popleft()
                task.result()
                model.push(waited)
        elif step == "get":
            with pytest.raises(queue.Empty):
                q.get_nowait()
            getting.append(parked(q.get))
        elif step == "cancel_put" and putting:
            cancelled(putting.pop()[1])
        elif step == "cancel_get" and getting:
            cancelled(getting.popleft())
        assert q.qsize() == len(model.items)
    for task in [*getting, *(task for _, task in putting)]:
        cancelled(task)


def test_queue_misuse() -> None:
    q = ecru.Queue[int](1)
    with pytest.raises(RuntimeError, match="once"):
        q.__init__(2)  # type: ignore[misc]
    raw = ecru.Queue.__new__(ecru.Queue)
    for call in (lambda: raw.put(1), raw.get, lambda: raw.put_nowait(1), raw.get_nowait):
        with pytest.raises(RuntimeError, match="not initialised"):
            call()
    for wrong in (lambda: q.put(), lambda: q.put(1, True, None, 4), lambda: q.get(timeout="x")):  # type: ignore[call-arg,arg-type]
        with pytest.raises(TypeError):
            wrong()
    assert q.empty()
    q.join()


def test_queues_that_hold_themselves_are_collected() -> None:
    q = ecru.Queue[Any]()
    q.put(q)
    gone = weakref.ref(q)
    del q
    gc.collect()
    assert gone() is None


def test_an_item_that_could_not_be_put_is_not_kept() -> None:
    class Item:
        pass

    q, item = ecru.Queue[Any](1), Item()
    gone = weakref.ref(item)
    q.put(None)
    with pytest.raises(queue.Full):
        q.put(item, timeout=0.001)
    with pytest.raises(queue.Full):
        q.put_nowait(item)
    cancelled(parked(partial(q.put, item)))
    q.shutdown()
    with pytest.raises(ecru.ShutDown):
        q.put(item)
    del item
    gc.collect()
    assert gone() is None
    assert q.get() is None
    q.task_done()
    q.join()
