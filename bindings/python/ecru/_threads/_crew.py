"""Crew: goroutines under one token, which can be waited for all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ecru._abi import ffi, lib
from ecru._threads._base import FOREVER, fail, wait
from ecru._threads._lock import Mutex
from ecru._threads._task import Task, new_task, start_task, tell_unraisable
from ecru._threads._token import Token

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
P = ParamSpec("P")


def _waitgroup() -> Any:
    out = ffi.new("ecru_waitgroup **")
    status = lib.ecru_waitgroup_create(out)
    if status != 0:
        fail(status)
    return ffi.gc(out[0], lib.ecru_waitgroup_destroy)


class Crew:
    """Crew(failed=None)

    Goroutines under one token, a child of the one that is current where the crew is made. failed(task, error) is called
    in each that raises, before it has ended; never by two at once.
    """

    __module__ = "ecru"
    __slots__ = ("__weakref__", "_count", "_failed", "_mutex", "_over", "_running", "_telling", "_token")

    _count: int
    _failed: Callable[[Task[Any], BaseException], object] | None
    _mutex: Mutex
    _over: bool
    _running: Any
    _telling: Mutex
    _token: Token

    def __new__(cls, failed: Callable[[Task[Any], BaseException], object] | None = None) -> Self:
        if failed is not None and not callable(failed):
            raise TypeError(f"failed: a callable or None, not {failed!r}")
        crew = object.__new__(cls)
        crew._failed = failed
        crew._token = Token()
        crew._running = _waitgroup()
        crew._mutex, crew._telling = Mutex(), Mutex()
        crew._count, crew._over = 0, False
        return crew

    @property
    def token(self) -> Token:
        """the token they run under"""
        return self._token

    def start(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Task[T]:
        """f(*args, **kwargs) in a goroutine under the crew's token, whoever calls.

        Raises Cancelled if the token has fired; RuntimeError once all have been waited for.
        """
        status = lib.ecru_token_err(self._token._handle)
        if status != 0:
            fail(status)
        task: Task[T] = new_task(f, args, kwargs)
        task._ended = self._has_ended
        with self._mutex:
            if self._over:
                raise RuntimeError("it has ended")
            self._count += 1
            lib.ecru_waitgroup_add(self._running, 1)
        try:
            start_task(task, self._token._handle)
        except BaseException:
            self._leave()
            raise
        return task

    def _has_ended(self, task: Task[Any] | None, error: BaseException | None) -> bool:
        """task: one that is about to end, with the error; None: one that has.

        Returns whether it was told: then it is its owner who raises the error.
        """
        if task is None:
            self._leave()
            return False
        failed = self._failed
        if error is None or failed is None:
            return False
        try:
            with self._telling:
                failed(task, error)
        except BaseException as other:
            tell_unraisable(other, failed)
            return False
        else:
            return True
        finally:
            del task, error

    def _leave(self) -> None:
        with self._mutex:
            self._count -= 1
            lib.ecru_waitgroup_done(self._running)

    def wait(self) -> None:
        """Parks until all have ended, also those they start meanwhile, whatever the current token; then it is over.

        Raises what a signal handler does.
        """
        while not self._end():
            lib.ecru_shield_enter(FOREVER)
            try:
                status = wait(lib.ecru_waitgroup_wait, self._running)
            finally:
                lib.ecru_token_leave()
            if status != 0:
                fail(status)
        self._failed = None

    def _end(self) -> bool:
        """Ends it if nobody runs."""
        with self._mutex:
            self._over = self._over or self._count == 0
            return self._over
