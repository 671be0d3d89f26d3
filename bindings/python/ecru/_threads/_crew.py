"""Crew: goroutines under one token, which can be waited for all at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ecru._abi import ffi, lib
from ecru._threads._base import FOREVER, NotPickled, fail, in_scope, wait
from ecru._threads._lock import Mutex
from ecru._threads._task import Task, new_task, start_task, tell_unraisable
from ecru._threads._token import Token

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
P = ParamSpec("P")


class Crew(NotPickled):
    """Crew(failed=None)

    Goroutines under one token, a child of the one that is current where the crew is made. failed(task, error) is called
    in each that raises, before it has ended; never by two at once.
    """

    __module__ = "ecru"
    __slots__ = ("__weakref__", "_failed", "_over", "_running", "_starting", "_telling", "_token")

    _failed: Callable[[Task[Any], BaseException], object] | None
    _over: bool
    _running: dict[int, Any]  # the tasks' handles by their numbers; None: it is being started
    _starting: Any  # guards that nobody begins once it is over
    _telling: Any
    _token: Token

    def __new__(cls, failed: Callable[[Task[Any], BaseException], object] | None = None) -> Self:
        if failed is not None and not callable(failed):
            raise TypeError(f"failed: a callable or None, not {failed!r}")
        crew = object.__new__(cls)
        crew._failed = failed
        crew._token = Token()
        crew._starting, crew._telling = Mutex(), Mutex()
        crew._running, crew._over = {}, False
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
        task._crew = self
        start_task(task, self._token._handle)
        return task

    # The three that the goroutine is begun, started and ended with. Each is done in one step or undone by the last one,
    # which may be called twice: wherever the handler of a signal raises, nobody is waited for who does not run.

    def enter(self, number: int) -> None:
        """One is about to be started. RuntimeError: it is too late."""
        with self._starting:
            if self._over:
                raise RuntimeError("it has ended")
            self._running[number] = None

    def has_started(self, number: int, handle: Any) -> None:
        """It has been, but does not run yet."""
        self._running[number] = handle

    def leave(self, number: int) -> None:
        """It has ended, or was not started after all."""
        self._running.pop(number, None)

    def tell(self, task: Task[Any], error: BaseException | None) -> bool:
        """Of one that is about to end. Returns whether its error was told: then it is its owner who raises it."""
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

    def wait(self) -> None:
        """Parks until all have ended, also those they start meanwhile, whatever the current token; then it is over.

        Raises what a signal handler does.
        """
        in_scope(lib.ecru_shield_enter, FOREVER, self._join_all)
        self._failed = None

    def _join_all(self) -> None:
        while not self._end():
            for handle in list(self._running.values()):
                self._join(handle)

    @staticmethod
    def _join(handle: Any) -> None:
        if handle is None:
            time.sleep(0)
            return
        status = wait(lib.ecru_task_join, handle, ffi.NULL, ffi.NULL)
        if status != 0:
            fail(status)

    def _end(self) -> bool:
        """Ends it if nobody runs."""
        with self._starting:
            self._over = self._over or not self._running
            return self._over
