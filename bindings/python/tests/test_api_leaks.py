"""Used again and again, nothing of the interface keeps memory: neither Python's (tracemalloc) nor references."""

import gc
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

import ecru
from ecru import _native
from ecru import operators as ops

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


def cancelled_scope() -> None:
    with ecru.move_on_after(0):
        ecru.sleep(1)
    try:
        with ecru.timeout(0):
            ecru.sleep(1)
    except TimeoutError:
        pass


def failing_group() -> None:
    try:
        with ecru.TaskGroup(limit=2) as group:
            group.go(ecru.sleep, 1)
            group.go(int, "x")
    except ExceptionGroup:
        pass


def gatherings() -> None:
    ecru.gather(int, int)
    ecru.race(int, partial(ecru.sleep, 1))
    list(ecru.map(str, range(3), limit=2))
    ecru.as_completed([int]).close()
    next(ecru.map(int, range(3)))


def selections() -> None:
    chan: ecru.Chan[object] = ecru.Chan(1)
    ecru.select(ecru.send(chan, object()))
    ecru.select(chan, ecru.send(chan, object()), ecru.after(1), ecru.Event(), priority=True)
    ecru.select(chan, default=object())
    ecru.select(ecru.Ticker(0.00001))


def channel_ends() -> None:
    chan: ecru.Chan[object] = ecru.Chan(2)
    with chan.tx() as sender, chan.rx():
        sender.send(object())
        sender.dup()


def locks() -> None:
    condition, semaphore, event = ecru.Condition(), ecru.Semaphore(1), ecru.Event()
    with condition, semaphore:
        condition.wait(0)
    with ecru.move_on_after(0):
        event.wait()
    event.set()
    event.clear()
    ecru.Once().do(object)
    group = ecru.WaitGroup()
    group.go(int)
    group.wait()
    ecru.Barrier(1).wait()


def queues() -> None:
    for make in (ecru.Queue, ecru.LifoQueue, ecru.PriorityQueue):
        queue: Any = make(2)
        queue.put(object() if make is not ecru.PriorityQueue else 1)
        queue.get()
        queue.task_done()
        queue.join()
        queue.put(2)
        queue.shutdown()


def streams() -> None:
    list(ops.batch(ops.buffer(ops.merge(range(3), "ab"), 2), 2, 1))
    list(ops.map(str, range(3), limit=2))
    next(ops.throttle(ops.zip(range(3), "ab"), 0))


def blocking() -> None:
    ecru.run_blocking(object)
    with suppress(ValueError):
        ecru.run_blocking(int, "x")


USES = [cancelled_scope, failing_group, gatherings, selections, channel_ends, locks, queues, streams, blocking]


def collect() -> None:
    """Several workers: each collection takes back only what no object that another thread has to free refers to."""
    for _ in range(3):
        gc.collect()


def kept_by(use: Callable[[], None], times: int) -> int:
    """Bytes that so many uses leave behind."""
    collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(times):
        use()
    while _native.goroutine_count():
        ecru.yield_()
    collect()
    return tracemalloc.get_traced_memory()[0] - before


@pytest.mark.parametrize("use", USES)
def test_memory_is_given_back(use: Callable[[], None]) -> None:
    for _ in range(20):
        use()
    tracemalloc.start()
    try:
        kept_by(use, 1000)  # some of the interpreter's caches fill slowly: 3.12 keeps 17 KB in all
        assert min(kept_by(use, 200) for _ in range(3)) < 200 * 16  # less than any object, each time
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("use", USES)
def test_no_references_are_lost(use: Callable[[], None]) -> None:
    watched = (
        None,
        True,
        False,
        ecru.Cancelled,
        ecru.DeadlineExceeded,
        ecru.ChanClosed,
        ecru.Token,
        ecru.Chan,
        ecru.Task,
    )
    for _ in range(50):
        use()
    collect()

    def counts() -> list[int]:
        return [sys.getrefcount(thing) for thing in watched]

    before = counts()
    for _ in range(500):
        use()
    while _native.goroutine_count():
        ecru.yield_()
    collect()
    lost = [after - count for after, count in zip(counts(), before, strict=True)]
    assert max(map(abs, lost)) < 100, lost
