"""Semaphore: a channel without bound whose elements are the permits."""

from __future__ import annotations

from itertools import repeat
from operator import length_hint

from ecru._mutex import Mutex
from ecru._native import Chan
from ecru._sync._waits import receives


class Semaphore:
    """`value` permits, first come, first served. Raises ValueError if value is negative."""

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._unused = repeat(None, value)  # permits nobody has taken yet; never refilled
        self._permits: Chan[None] = Chan(None)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Takes a permit, parking at most for timeout seconds (None: for ever). False: not in time."""
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        if next(self._unused, self) is None:
            return True
        return receives(self._permits, blocking, timeout)

    __enter__ = acquire

    def release(self, n: int = 1) -> None:
        """Gives n permits, taken or new ones. ValueError if n < 1."""
        if n < 1:
            raise ValueError("n must be one or more")
        for _ in range(n):
            self._permits.try_send(None)

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def value(self) -> int:
        """How many permits are free."""
        return length_hint(self._unused) + len(self._permits)

    def __repr__(self) -> str:
        return f"<ecru.{type(self).__name__} value={self.value}>"


class BoundedSemaphore(Semaphore):
    """A Semaphore that never has more permits than at its beginning: to give one more is a ValueError."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._bound = value
        self._mutex = Mutex()

    def release(self, n: int = 1) -> None:
        """Gives n permits back. ValueError if n < 1, or more than were taken (then none is given)."""
        with self._mutex:
            if self.value + n > self._bound:
                raise ValueError("Semaphore released too many times")
            super().release(n)
