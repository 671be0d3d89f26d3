"""run_blocking: a pool of real OS threads for what blocks its thread or computes in C without the GIL.

Workers wait for jobs, and callers for results, on native channels: nothing here changes when ecru.patch replaces
threading. A worker that had nothing to do for a while ends.
"""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, Generic, ParamSpec, TypeVar, cast

from ecru import _home
from ecru._arguments import plain
from ecru._native import Cancelled, Chan, Mutex, Token, check, has_shut, is_forked, select

T = TypeVar("T")
P = ParamSpec("P")

_start_thread = _thread.start_new_thread
THREADS_MAX = 64
IDLE_SECONDS = 10.0


def _end_child(error: BaseException | None) -> None:
    """In a child that the job has forked, where nobody waits for it: with it ends the program, as with a goroutine."""
    if error is not None and not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
    _home._end_child(error)


class _Job(Generic[T]):
    __slots__ = ("call", "context", "ended", "error", "result", "token")

    def __init__(self, call: Callable[[], T]) -> None:
        self.call = call
        self.context: Context = copy_context()
        self.token = Token()
        self.ended: Chan[None] = Chan()
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """In a worker. What waits in it through ecru is cancelled with the caller."""
        try:
            with self.token:
                check()  # nobody waits for it any more
                self._call()
        except BaseException as error:
            self.error = error
        self.ended.close()

    def _call(self) -> None:
        process = os.getpid()
        try:
            self.result = self.context.run(self.call)
        except BaseException as error:
            self.error = error
        if os.getpid() != process:
            _end_child(self.error)


class _Pool:
    _jobs: Chan[_Job[Any]]
    _mutex: Mutex
    _threads: int
    _idle: int  # workers that wait, less the jobs on their way to them

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child, where no thread is left but who has forked, perhaps in the middle of a job."""
        self._jobs, self._mutex = Chan(None), Mutex()
        self._threads = self._idle = 0

    def submit(self, job: _Job[Any]) -> None:
        with self._mutex:
            if self._idle <= 0 and self._threads < THREADS_MAX:
                self._grow()
            self._idle -= 1
            self._jobs.send(job)

    def _grow(self) -> None:
        try:
            _start_thread(self._work, ())
        except RuntimeError:
            if self._threads == 0:
                raise
            return  # those there are will do it
        self._threads += 1
        self._idle += 1

    def _work(self) -> None:
        with suppress(Cancelled):  # the program ends
            while job := self._next():
                job.run()
                del job
                with self._mutex:
                    self._idle += 1

    def _next(self) -> _Job[Any] | None:
        """A job, or None: this worker is to end."""
        picked = select((self._jobs,), timeout=IDLE_SECONDS)
        if picked is None:
            with self._mutex:
                job, ok = self._jobs.try_recv()
                if ok:
                    return job
                self._threads -= 1
                self._idle -= 1
                return None
        return cast(_Job[Any], picked[1])


_pool = _Pool()
os.register_at_fork(after_in_child=_pool.start_anew)


def _is_alone() -> bool:
    """The interpreter is ending, or this is a child whose runtime has yet to start anew: no thread would do it."""
    return has_shut() or is_forked()


def run_blocking(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """f(*args, **kwargs) in an OS thread of its own for so long, while other goroutines run. Returns its result,
    raises its error.

    Destructors that the interpreter's end calls run f in their own thread.
    Context variables are the caller's. A cancelled caller is raised Cancelled at once; f, which cannot be stopped,
    then runs on, and its result is dropped (what it waits for through ecru is cancelled); if it has not begun it never
    does. At most 64 run at once; more wait for their turn.
    """
    plain(f)
    if _is_alone():
        return copy_context().run(f, *args, **kwargs)
    return _result_of(_Job(lambda: f(*args, **kwargs)), _pool.submit)


def run_apart(f: Callable[[], T]) -> T:
    """The same in a thread that ends with it, whatever the others do: for what may wait for another such call."""
    if _is_alone():
        return f()
    return _result_of(_Job(f), lambda job: _start_thread(job.run, ()))


def _result_of(job: _Job[T], start: Callable[[_Job[T]], object]) -> T:
    try:
        start(job)
        job.ended.recv2()
    except BaseException:
        job.token.cancel()
        raise
    if job.error is not None:
        try:
            raise job.error
        finally:
            job.error = None  # no cycle through the traceback
    return cast(T, job.result)
