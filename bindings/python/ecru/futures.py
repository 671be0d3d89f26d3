"""A concurrent.futures.Executor whose workers are goroutines, for code written for ThreadPoolExecutor.

Its futures are concurrent.futures' own, but for waiting, which parks only the goroutine: result(), exception(), and
this module's wait() and as_completed(). Plain threads may submit and wait as well.
"""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError
from contextlib import suppress
from contextvars import Context, copy_context
from itertools import islice
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from ecru import _native
from ecru._arguments import plain, whole
from ecru._native import Chan, Closed, Mutex, Token
from ecru._sync import WaitGroup
from ecru._time import now

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "CancelledError",
    "DoneAndNotDone",
    "Future",
    "GoroutineExecutor",
    "as_completed",
    "wait",
]

_T = TypeVar("_T")
_P = ParamSpec("_P")


class Future(concurrent.futures.Future[_T]):
    """A call on its way. Made by GoroutineExecutor.submit()."""

    def _park(self, timeout: float | None) -> None:
        if self.done():
            return
        told: Chan[None] = Chan(1)
        self.add_done_callback(lambda _: told.try_send(None))
        if _native.select((told,), timeout=timeout) is None:
            raise concurrent.futures.TimeoutError("timed out")

    def result(self, timeout: float | None = None) -> _T:
        """What the call returned, or raises what it raised; parks for timeout seconds at most, then TimeoutError.

        Raises CancelledError if it was cancelled before it began.
        """
        self._park(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None; parks as result()."""
        self._park(timeout)
        return super().exception(0)


class _Call(Generic[_T]):
    def __init__(self, future: Future[_T], function: Callable[[], _T]) -> None:
        self.future, self.function = future, function
        self.context: Context = copy_context()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.context.run(self.function)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def refuse(self, error: BaseException) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class GoroutineExecutor(concurrent.futures.Executor):
    """Calls run in goroutines of the thread that made the executor, max_workers (None: any number) at once.

    They live in the scope the executor was made in: when its token fires, calls under way are raised Cancelled where
    they wait, and their futures have it as exception. cancel() of a future ends only what has not begun.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        """Raises ValueError for max_workers < 1; RuntimeError in a thread that runs no goroutines."""
        if max_workers is not None:
            whole("max_workers", max_workers, 1, ", or None")
        self._calls: Chan[_Call[Any]] = Chan(None)
        self._mutex = Mutex()
        self._shut = False
        self._dispatcher = _native.spawn(_dispatch, self._calls, max_workers)
        self._dispatcher.name = "ecru.futures"

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Has a goroutine call fn(*args, **kwargs). Any thread. Raises RuntimeError after shutdown()."""
        plain(fn)
        future: Future[_T] = Future()
        call = _Call(future, lambda: fn(*args, **kwargs))
        with self._mutex:
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            try:
                self._calls.send(call)
            except Closed:
                raise RuntimeError("the scope of the executor has ended") from None
        return future

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[_T]:
        """As the builtin map, results in order; TimeoutError after timeout seconds in all. All calls at once, or
        buffersize (1 or more) of them, and another for each result that is taken.
        """
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize: 1 or more, or None")
        end = None if timeout is None else now() + timeout
        calls = (self.submit(fn, *arguments) for arguments in zip(*iterables))  # noqa: B905 - as the builtin
        return _results(deque(islice(calls, buffersize)), calls, end)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No more calls; waits for those submitted, unless wait is false. cancel_futures: those that have not begun
        never do.
        """
        with self._mutex:
            if not self._shut:
                self._shut = True
                self._close()
        if cancel_futures:
            self._drop()
        if wait:
            self._dispatcher.join()

    def _close(self) -> None:
        with suppress(Closed):  # its scope has ended
            self._calls.close()

    def _drop(self) -> None:
        with suppress(Closed):
            while (found := self._calls.try_recv())[1]:
                assert found[0] is not None
                found[0].future.cancel()
                found[0].future.set_running_or_notify_cancel()

    def __del__(self) -> None:
        """One nobody holds finishes what was submitted."""
        if hasattr(self, "_calls") and not self._calls.closed:  # as it stands: the module's names may be gone
            self._calls.close()


def _results(futures: deque[Future[_T]], more: Iterator[Future[_T]], end: float | None) -> Iterator[_T]:
    """more: calls that begin one by one as results are taken."""
    try:
        while futures:
            futures.extend(islice(more, 1))
            yield futures.popleft().result(None if end is None else max(0.0, end - now()))
    finally:
        for future in futures:
            future.cancel()


def _dispatch(calls: Chan[_Call[Any]], most: int | None) -> None:
    """The executor's own goroutine: starts one for each call, and ends when all have."""
    places: Chan[None] = Chan(most)
    running = WaitGroup()

    def work(call: _Call[Any]) -> None:
        call.run()
        places.try_recv()

    try:
        while True:
            places.send(None)  # first: what nobody can run yet can still be cancelled
            call, received = calls.recv2()
            if call is None or not received:
                return
            try:
                running.go(work, call)
            except BaseException as error:
                call.refuse(error)
                raise
            del call
    finally:
        with Token(shield=True):
            _refuse_rest(calls)
            running.wait()


def _refuse_rest(calls: Chan[_Call[Any]]) -> None:
    """The scope has ended, or shutdown() has left nothing."""
    with suppress(Closed):
        calls.close()
    for call in calls:
        call.refuse(RuntimeError("the scope of the executor has ended"))


# ---- waiting for several ---------------------------------------------------------------------------------------------


class DoneAndNotDone(NamedTuple):
    """What wait() returns."""

    done: set[concurrent.futures.Future[Any]]
    not_done: set[concurrent.futures.Future[Any]]


def _tell_all(futures: Iterable[concurrent.futures.Future[_T]]) -> Chan[concurrent.futures.Future[_T]]:
    """A channel that gets each future when it is done."""
    ended: Chan[concurrent.futures.Future[_T]] = Chan(None)
    for future in futures:
        future.add_done_callback(ended.try_send)
    return ended


def _next(ended: Chan[_T], end: float | None) -> _T | None:
    picked = _native.select((ended,), timeout=None if end is None else end - now())
    return None if picked is None else picked[1]


def _failed(future: concurrent.futures.Future[Any]) -> bool:
    return not future.cancelled() and future.exception() is not None


def wait(
    fs: Iterable[concurrent.futures.Future[Any]], timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> DoneAndNotDone:
    """concurrent.futures.wait(), which parks only the goroutine. Takes futures of any executor."""
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"return_when: {return_when!r}")
    left, done = set(fs), set()
    end = None if timeout is None else now() + timeout
    ended = _tell_all(left)
    enough = False
    while left:
        found = ended.try_recv()[0] if enough else _next(ended, end)
        if found is None:
            break
        left.remove(found)
        done.add(found)
        if return_when != ALL_COMPLETED:
            enough = enough or return_when == FIRST_COMPLETED or _failed(found)
    return DoneAndNotDone(done, left)


def as_completed(
    fs: Iterable[concurrent.futures.Future[_T]], timeout: float | None = None
) -> Iterator[concurrent.futures.Future[_T]]:
    """concurrent.futures.as_completed(), which parks only the goroutine. Takes futures of any executor."""
    waited = set(fs)
    end = None if timeout is None else now() + timeout
    ended = _tell_all(waited)
    for count in range(len(waited)):
        future = _next(ended, end)
        if future is None:
            raise concurrent.futures.TimeoutError(f"{len(waited) - count} (of {len(waited)}) futures unfinished")
        yield future
