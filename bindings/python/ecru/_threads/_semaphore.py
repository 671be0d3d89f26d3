"""Semaphores, on the runtime's.

That takes no more back than it was made with. One without a bound is made with as many as it can count, but for its
first permits all of them taken at once; what is given more than was taken then comes out of those.
"""

from __future__ import annotations

import math
from operator import index
from typing import TYPE_CHECKING, Any

from ecru._abi import ffi, lib
from ecru._threads._base import NotPickled, fail
from ecru._threads._lock import Acquired, take

if TYPE_CHECKING:
    from typing_extensions import Self

_COUNTED_MOST = (2**63 - 1) // 2


def _number(value: int) -> int:
    number = index(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError("a number of permits: too large")
    return number


def _limit(blocking: bool, timeout: float | None) -> float:
    """-1: none."""
    if timeout is None:
        return -1.0
    if not blocking:
        raise ValueError("can't specify timeout for non-blocking acquire")
    seconds = math.ldexp(timeout, 0)
    if math.isnan(seconds):
        raise ValueError("timeout: not a number")
    return -1.0 if seconds >= 9e9 else max(seconds, 0.0)


class Semaphore(NotPickled, Acquired):
    """Semaphore(value=1)

    So many permits, first come, first served. Raises ValueError if value is negative.
    """

    __module__ = "ecru"
    __slots__ = ("__weakref__", "_beyond", "_closed", "_semaphore")

    _beyond: int  # permits over what is counted, which nobody will ever come to take
    _closed: bool  # with a bound of 0: nothing can be taken, nor given back
    _semaphore: Any

    def __new__(cls, *_: Any, **__: Any) -> Self:
        semaphore = object.__new__(cls)
        semaphore._semaphore = ffi.NULL
        return semaphore

    def __init__(self, value: int = 1) -> None:
        value = _number(value)
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        if self._semaphore != ffi.NULL:
            raise RuntimeError("a semaphore is initialised once")
        bounded, counted = isinstance(self, BoundedSemaphore), min(value, _COUNTED_MOST)
        most = max(counted, 1) if bounded else _COUNTED_MOST
        self._beyond, self._closed = value - counted, bounded and value == 0
        out = ffi.new("ecru_semaphore **")
        status = lib.ecru_semaphore_create(out, most)
        if status == 0:
            self._semaphore = ffi.gc(out[0], lib.ecru_semaphore_destroy)
            status = 0 if most == counted else lib.ecru_semaphore_try_acquire(out[0], most - counted)
        if status != 0:
            fail(status)

    @property
    def value(self) -> int:
        """how many permits are free"""
        available: int = lib.ecru_semaphore_available(self._semaphore)
        return available + self._beyond

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Takes a permit, parking at most for timeout seconds (None: for ever). False: not in time.

        Raises Cancelled.
        """
        seconds = _limit(blocking, timeout)
        if blocking and (status := lib.ecru_check()) != 0:  # K2, also where a permit is free
            fail(status)
        return take(self._semaphore, blocking, seconds, "semaphore")

    def release(self, n: int = 1) -> None:
        """Gives n permits, taken or new ones; to a BoundedSemaphore back, all or none.

        ValueError if n < 1, or if they are more than were taken.
        """
        count = _number(n)
        if count < 1:
            raise ValueError("n must be one or more")
        status = lib.ECRU_EPERM if self._closed else lib.ecru_semaphore_release(self._semaphore, count)
        if status == lib.ECRU_EPERM:
            raise ValueError("Semaphore released too many times")
        if status != 0:
            fail(status)

    def __repr__(self) -> str:
        return f"<ecru.{type(self).__name__} value={self.value}>"


class BoundedSemaphore(Semaphore):
    """BoundedSemaphore(value=1)

    A Semaphore that never has more permits than at its beginning: to give one more is a ValueError.
    """

    __module__ = "ecru"
    __slots__ = ()
