"""Condition."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ecru._native import Lock, RLock, wait_as
from ecru._time import now

T = TypeVar("T")


class Condition:
    """A condition variable, as threading's. lock: a Lock or an RLock (default: a new RLock).

    wait() gives the lock back and has it again whenever it ends, cancelled or not; a waiter that is cancelled as it is
    notified passes the notification on.
    """

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        self._lock = lock = lock if lock is not None else RLock()
        self._waiters: deque[Lock] = deque()
        try:
            self.acquire, self.release, self._is_owned = lock.acquire, lock.release, lock._is_owned
        except AttributeError:
            raise TypeError(f"lock: a Lock or an RLock, not {lock!r}") from None

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Parks until notified, at most for timeout seconds. False: not in time. RuntimeError: the lock is not held."""
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        waiter = Lock()
        waiter.acquire()
        self._waiters.append(waiter)
        state = self._lock._release_save()
        try:
            seconds = -1 if timeout is None else min(max(timeout, 0), 1e9)
            served = wait_as("condition", waiter.acquire, True, seconds)
        except BaseException:
            self._lock._acquire_restore(state)
            if not self._forget(waiter):
                self.notify()
            raise
        self._lock._acquire_restore(state)
        return served or not self._forget(waiter)

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Waits until predicate() is true, for timeout seconds at most. Returns its last value."""
        until = None if timeout is None else now() + timeout
        while not (value := predicate()):
            left = None if until is None else until - now()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return value

    def notify(self, n: int = 1) -> None:
        """Wakes n of those who wait, the first come first. RuntimeError if the lock is not held."""
        if not self._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        for _ in range(min(n, len(self._waiters))):
            self._waiters.popleft().release()

    def notify_all(self) -> None:
        """Wakes all who wait. RuntimeError if the lock is not held."""
        self.notify(len(self._waiters))

    def _forget(self, waiter: Lock) -> bool:
        """Whether it still waited, un-notified."""
        with suppress(ValueError):
            self._waiters.remove(waiter)
            return True
        return False

    def __repr__(self) -> str:
        return f"<ecru.Condition({self._lock!r}, {len(self._waiters)} waiting)>"
