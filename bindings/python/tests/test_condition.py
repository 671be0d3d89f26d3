"""Condition: threading's, for goroutines and OS threads at once; a cancelled waiter loses nothing."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from sync_helpers import in_thread, parked

import ecru
from ecru import _native


@pytest.mark.parametrize("make_lock", [ecru.Lock, ecru.RLock])
def test_condition(make_lock: Callable[[], Any]) -> None:
    condition = ecru.Condition(make_lock())
    items: deque[int] = deque()

    def consume() -> int:
        with condition:
            condition.wait_for(lambda: items)
            return items.popleft()

    tasks = [ecru.spawn(consume) for _ in range(5)]
    ecru.yield_()
    with condition:
        items.extend(range(2))
        condition.notify(2)
    with condition:
        items.extend(range(2, 5))
        condition.notify_all()
    assert sorted(task.result() for task in tasks) == list(range(5))


def test_condition_keeps_the_depth_of_an_rlock() -> None:
    condition = ecru.Condition()
    with condition, condition:
        assert not condition.wait(0.001)
        assert ecru.spawn(condition.acquire, False).result() is False
    with condition:
        pass


def test_condition_timeouts_and_misuse() -> None:
    condition = ecru.Condition()
    with pytest.raises(RuntimeError, match="cannot wait"):
        condition.wait()
    with pytest.raises(RuntimeError, match="cannot notify"):
        condition.notify()
    with condition:
        assert not condition.wait(0)
        assert condition.wait_for(lambda: 0, timeout=0.002) == 0
        assert condition.wait_for(lambda: "x", timeout=0) == "x"


def test_condition_a_cancelled_waiter_has_the_lock_again() -> None:
    condition = ecru.Condition()
    owned = []

    def work() -> None:
        with condition:
            try:
                condition.wait()
            finally:
                owned.append(condition._is_owned())

    task = parked(work)
    with condition:
        task.cancel()
        ecru.yield_()
        assert not task.done
    assert isinstance(task.exception(), ecru.Cancelled)
    assert owned == [True]


def test_condition_a_notified_waiter_that_is_cancelled_passes_it_on() -> None:
    condition = ecru.Condition()

    def work() -> bool:
        with condition:
            return condition.wait()

    for seed in range(50):
        first, second = parked(work), parked(work)
        with condition:
            if seed % 2:
                first.cancel()
            condition.notify()
            first.cancel()
        first.join()
        with condition:
            if first.exception() is None:
                condition.notify()
        assert second.result()


def test_condition_between_threads_and_goroutines() -> None:
    condition = ecru.Condition()
    turns: list[int] = []

    def work(mine: int) -> None:
        for _ in range(100):
            with condition:
                condition.wait_for(lambda: len(turns) % 3 == mine)
                turns.append(mine)
                condition.notify_all()

    with ecru.TaskGroup() as group:
        group.go(work, 0)
        group.go(in_thread, lambda: work(1))
        group.go(in_thread, lambda: work(2))
    assert turns == [0, 1, 2] * 100


@pytest.mark.parametrize("make_lock", [ecru.Lock, ecru.RLock])
def test_conditions_of_threading_have_the_lock_again_when_cancelled(make_lock: Callable[[], Any]) -> None:
    condition = threading.Condition(make_lock())
    owned = []

    def work() -> None:
        with condition:
            state = condition._release_save()  # type: ignore[attr-defined]  # as in its wait
            try:
                ecru.Chan[None]().recv()
            finally:
                condition._acquire_restore(state)  # type: ignore[attr-defined]
                owned.append(condition._is_owned())  # type: ignore[attr-defined]

    task = parked(work)
    with condition:
        task.cancel()
        ecru.yield_()
        assert not task.done
    assert isinstance(task.exception(), ecru.Cancelled)
    assert owned == [True]


@pytest.mark.parametrize("make_lock", [ecru.Lock, ecru.RLock])
def test_condition_what_a_signal_raises_comes_with_the_lock(make_lock: Callable[[], Any]) -> None:
    condition = ecru.Condition(make_lock())

    def interrupt() -> None:
        with condition:
            condition.notify()
            for _ in range(3):
                ecru.yield_()  # the first waits for the lock
            _native.interrupt_first(KeyError("stands for Ctrl-C"))
            for _ in range(3):
                ecru.yield_()

    with condition:
        ecru.go(interrupt)
        with pytest.raises(KeyError):
            condition.wait()
        assert condition._is_owned()
    assert not condition._lock.locked()
