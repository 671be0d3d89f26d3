"""Locks, on the runtime's fair semaphore: usable by goroutines of any home and by plain threads."""

from __future__ import annotations

import math
from _thread import allocate_lock, get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ecru._abi import ffi, lib
from ecru._threads._base import (
    EAGAIN,
    ETIMEDOUT,
    FOREVER,
    NotPickled,
    fail,
    in_scope,
    wait,
    wait_as,
)

if TYPE_CHECKING:
    from typing_extensions import Self


def _handle() -> Any:
    out = ffi.new("ecru_semaphore **")
    status = lib.ecru_semaphore_create(out, 1)
    if status != 0:
        fail(status)
    return ffi.gc(out[0], lib.ecru_semaphore_destroy)  # it may go while it is held


def limit_of(blocking: bool, timeout: float | None) -> float:
    """-1: no limit."""
    seconds = -1.0 if timeout is None else math.ldexp(timeout, 0)
    if math.isnan(seconds):
        raise ValueError("timeout value is not a number")
    if seconds > 9223372036.0:
        raise OverflowError("timeout value is too large")
    if not blocking and seconds != -1:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if seconds < 0 and seconds != -1:
        raise ValueError("timeout value must be a non-negative number")
    return seconds


def _take_in_time(semaphore: Any) -> int:
    """A status, in a scope with a deadline of its own; EAGAIN: it was that."""
    status = wait(lib.ecru_semaphore_acquire, semaphore, 1)
    scope = lib.ecru_token_current()
    expired = status == ETIMEDOUT and lib.ecru_token_origin(scope) == lib.ecru_token_id(scope)
    return EAGAIN if expired else status


def take(semaphore: Any, blocking: bool, seconds: float, what: str = "lock") -> bool:
    """A permit, in so many seconds (< 0: no limit). False: not in time. Raises Cancelled. what: what it is one of."""
    status = lib.ecru_semaphore_try_acquire(semaphore, 1)
    if status == EAGAIN and blocking and seconds != 0:
        if seconds < 0:
            status = wait_as(what, wait, lib.ecru_semaphore_acquire, semaphore, 1)
        else:
            until = lib.ecru_after(int(seconds * 1e9))
            status = wait_as(what, in_scope, lib.ecru_deadline_enter, until, _take_in_time, semaphore)
    if status not in (0, EAGAIN):
        fail(status)
    return status == 0  # type: ignore[no-any-return]


def _take_shielded(semaphore: Any) -> None:
    """Whatever happens to the current token. What the handler of a signal raises comes with the permit."""
    if not take(semaphore, False, 0):
        in_scope(lib.ecru_shield_enter, FOREVER, _insist, semaphore)


def _insist(semaphore: Any) -> None:
    """Takes a permit, then raises what a handler has raised meanwhile."""
    raised: BaseException | None = None
    try:
        while True:
            try:
                take(semaphore, True, -1)
                break
            except BaseException as error:
                raised = error
        if raised is not None:
            raise raised
    finally:
        del raised  # no cycle through the traceback


class _Single(NotPickled):
    """A semaphore of one permit."""

    __slots__ = ("__weakref__", "_semaphore")

    _semaphore: Any

    def __new__(cls) -> Self:
        single = object.__new__(cls)
        single._at_fork_reinit()
        return single

    def _at_fork_reinit(self) -> None:
        self._semaphore = _handle()


class Mutex:
    """Mutex()

    Guards a few statements that never park. Taking it is no cancellation point: what it guards must be done also by who
    is cancelled.

    A lock of the interpreter's own, which takes and gives it in one step: an error that the handler of a signal raises
    leaves it neither held nor free where it should not be.
    """

    __module__ = "ecru"
    __slots__ = ()

    def __new__(cls) -> Any:
        return allocate_lock()


class Acquired:
    """What is held for a block: `with` acquires and releases it."""

    __slots__ = ()

    def __enter__(self: Any) -> bool:
        return self.acquire()  # type: ignore[no-any-return]

    def __exit__(
        self: Any, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.release()


class Lock(Acquired, _Single):
    """Lock()

    A mutual exclusion lock, first come, first served; may be released by another goroutine or thread.
    """

    __module__ = "ecru"
    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Parks until it is ours, for timeout seconds at most."""
        return take(self._semaphore, blocking, limit_of(blocking, timeout))

    acquire_lock = acquire

    def release(self) -> None:
        """By anybody. RuntimeError if it is not held."""
        if lib.ecru_semaphore_release(self._semaphore, 1) != 0:
            raise RuntimeError("release unlocked lock")

    release_lock = release

    def locked(self) -> bool:
        """Whether anybody holds it."""
        if lib.ecru_semaphore_try_acquire(self._semaphore, 1) != 0:
            return True
        lib.ecru_semaphore_release(self._semaphore, 1)
        return False

    locked_lock = locked

    def _is_owned(self) -> bool:
        return self.locked()

    def _release_save(self) -> None:
        self.release()

    def _acquire_restore(self, _: Any, /) -> None:
        _take_shielded(self._semaphore)

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} ecru.Lock object at {id(self):#x}>"


class RLock(Acquired, _Single):
    """RLock()

    A lock its owner, a goroutine or an OS thread, may take several times; free once released as often. Others wait,
    first come, first served.
    """

    __module__ = "ecru"
    __slots__ = ("_count", "_owner")

    _count: int
    _owner: int

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """As Lock.acquire; at once if the caller has it, one level deeper."""
        seconds, me = limit_of(blocking, timeout), get_ident()
        if self._owner == me:
            self._count += 1
            return True
        if not take(self._semaphore, blocking, seconds):
            return False
        self._owner, self._count = me, 1
        return True

    def release(self) -> None:
        """One level, by its owner. RuntimeError if it is not the caller's."""
        self._check_owner()
        self._count -= 1
        if self._count == 0:
            self._let_go()

    def _check_owner(self) -> None:
        if self._owner != get_ident():
            raise RuntimeError("cannot release un-acquired lock")

    def _let_go(self) -> None:
        self._owner = self._count = 0
        lib.ecru_semaphore_release(self._semaphore, 1)

    def locked(self) -> bool:
        """Whether anybody holds it."""
        return self._owner != 0

    def _is_owned(self) -> bool:
        return self._owner == get_ident()

    def _recursion_count(self) -> int:
        return self._count if self._is_owned() else 0

    def _release_save(self) -> tuple[int, int]:
        self._check_owner()
        state = self._count, self._owner
        self._let_go()
        return state

    def _acquire_restore(self, state: tuple[int, int], /) -> None:
        try:
            _take_shielded(self._semaphore)
        finally:
            self._count, self._owner = state

    def _at_fork_reinit(self) -> None:
        super()._at_fork_reinit()
        self._owner = self._count = 0

    def __repr__(self) -> str:
        state = "locked" if self._owner else "unlocked"
        return f"<{state} ecru.RLock object owner={self._owner} count={self._count} at {id(self):#x}>"
