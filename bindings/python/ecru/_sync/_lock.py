"""RLock and Condition."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ecru._mutex import acquire_shielded
from ecru._native import Lock
from ecru._sync._waits import me
from ecru._time import now

T = TypeVar("T")


class RLock:
    """A lock its owner, a goroutine or an OS thread, may take several times; others wait, first come, first served."""

    __slots__ = ("__weakref__", "_count", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner = self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Takes it, parking for timeout seconds at most (-1: for ever). False: not in time. Raises Cancelled,
        ValueError.
        """
        caller = me()
        if self._owner == caller:
            self._count += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner, self._count = caller, 1
        return True

    __enter__ = acquire

    def release(self) -> None:
        """Gives it back once. RuntimeError unless it is ours."""
        if self._owner != me():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if self._count == 0:
            self._owner = 0
            self._lock.release()

    def __exit__(self, *_: object) -> None:
        self.release()

    def locked(self) -> bool:
        """Whether anybody holds it."""
        return self._count > 0

    def _is_owned(self) -> bool:
        return self._owner == me()

    def _release_save(self) -> int:
        if self._owner != me():
            raise RuntimeError("cannot release un-acquired lock")
        count, self._count, self._owner = self._count, 0, 0
        self._lock.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        try:
            acquire_shielded(self._lock)
        finally:
            self._owner, self._count = me(), count

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]

    def _recursion_count(self) -> int:
        return self._count if self._owner == me() else 0

    def __repr__(self) -> str:
        return f"<{'locked' if self._count else 'unlocked'} ecru.RLock owner={self._owner} count={self._count}>"


class Condition:
    """A condition variable, as threading's. lock: a Lock or an RLock (default: a new RLock).

    wait() gives the lock back and has it again whenever it ends, cancelled or not; a waiter that is cancelled as it is
    notified passes the notification on.
    """

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        self._lock = lock if lock is not None else RLock()
        self._waiters: deque[Lock] = deque()
        self.acquire, self.release = self._lock.acquire, self._lock.release

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
        count = self._release_all()
        try:
            served = waiter.acquire(True, -1 if timeout is None else min(max(timeout, 0), 1e9))
        except BaseException:
            self._take_again(count)
            if not self._forget(waiter):
                self.notify()
            raise
        self._take_again(count)
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

    def _is_owned(self) -> bool:
        return self._lock._is_owned() if isinstance(self._lock, RLock) else self._lock.locked()

    def _release_all(self) -> int:
        if isinstance(self._lock, RLock):
            return self._lock._release_save()
        self._lock.release()
        return 1

    def _take_again(self, count: int) -> None:
        if isinstance(self._lock, RLock):
            self._lock._acquire_restore(count)
        else:
            acquire_shielded(self._lock)

    def _forget(self, waiter: Lock) -> bool:
        """Whether it still waited, un-notified."""
        with suppress(ValueError):
            self._waiters.remove(waiter)
            return True
        return False

    def __repr__(self) -> str:
        return f"<ecru.Condition({self._lock!r}, {len(self._waiters)} waiting)>"
