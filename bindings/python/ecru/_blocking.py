"""run_blocking: OS threads for what blocks its thread or computes in C without the GIL. Looking names up has its own.

Workers wait for jobs, and callers for results, on native channels: nothing here changes when ecru.patch replaces
threading. A worker that had nothing to do for a while ends.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from importlib import import_module
from typing import Any, Generic, ParamSpec, TypeVar, cast

from ecru import _home, _tracing
from ecru._arguments import plain, whole
from ecru._native import Cancelled, Chan, Mutex, Token, check, has_shut, home_id, is_forked, is_home, select

T = TypeVar("T")
P = ParamSpec("P")

_start_thread = _thread.start_new_thread
_signals: Any = import_module("_signal")  # without the enumerations of signal's functions, which take 100 us
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}  # a thread's own
_BLOCKED = signal.valid_signals() - _FAULTS
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
        _tracing.begin()
        try:
            self.result = self.context.run(self.call)
        except BaseException as error:
            self.error = error
        _tracing.end()
        if os.getpid() != process:
            _end_child(self.error)


class _Pool:
    """Threads that run jobs, `most` at once.

    Who is in one of them and needs another one gets it of a pool of a higher rank only, so that those who wait are none
    that others wait for.
    """

    _jobs: Chan[_Job[Any] | None]  # None: who takes it ends
    _mutex: Mutex
    _threads: int
    _idle: int  # workers that wait, less the jobs on their way to them

    def __init__(self, rank: int = 0) -> None:
        self._rank = rank
        self.most = THREADS_MAX
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child, where no thread is left but who has forked, perhaps in the middle of a job."""
        self._jobs, self._mutex = Chan(None), Mutex()
        self._threads = self._idle = 0

    def call(self, f: Callable[[], T]) -> T:
        """What f() returns, in one of the threads, or in whichever there is to be."""
        if _is_alone():
            return copy_context().run(f)
        if self._rank > _ranks.get(home_id(), -1):
            return _result_of(_Job(f), self.submit)
        if is_home():
            return run_apart(f)
        check()
        return copy_context().run(f)

    def allow(self, most: int) -> None:
        """From now on; what runs goes on."""
        with self._mutex:
            self.most = most
            while self._idle < 0 and self._threads < most and self._grow():
                pass
            while self._idle > 0 and self._threads > most:
                self._forget_one()
                self._jobs.send(None)

    def submit(self, job: _Job[Any]) -> None:
        with self._mutex:
            if self._idle <= 0 and self._threads < self.most:
                self._grow()
            self._idle -= 1
            self._jobs.send(job)

    def _grow(self) -> bool:
        """Starts a thread, which has to wait for the mutex first: until then it can be told to end, uncounted."""
        work = [self._work]
        try:
            start_thread(partial(_work_in, self._rank, partial(self._begin, work)))
            self._threads, self._idle = self._threads + 1, self._idle + 1
        except BaseException as error:  # of the start, or the handler's of a signal, perhaps when it runs already
            work.clear()
            if isinstance(error, RuntimeError) and self._threads > 0:
                return False  # those there are will do it
            raise
        return True

    def _begin(self, work: list[Callable[[], None]]) -> None:
        with self._mutex:
            counted = bool(work)
        if counted:
            self._work()

    def _forget_one(self) -> None:
        self._threads -= 1
        self._idle -= 1

    def _work(self) -> None:
        with suppress(Cancelled):  # the program ends
            while job := self._next():
                job.run()
                del job
                if not self._goes_on():
                    return

    def _next(self) -> _Job[Any] | None:
        """A job, or None: this worker is to end."""
        picked = select((self._jobs,), timeout=IDLE_SECONDS)
        if picked is None:
            with self._mutex:
                job, ok = self._jobs.try_recv()
                if not ok:
                    self._forget_one()
                return job
        return cast("_Job[Any] | None", picked[1])

    def _goes_on(self) -> bool:
        with self._mutex:
            self._idle += 1
            goes_on = self._threads <= self.most
            if not goes_on:
                self._forget_one()
            return goes_on


def start_thread(f: Callable[[], object]) -> None:
    """f() in a thread that no signal reaches: they are for the program's threads, also if those block them later."""
    before = _signals.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        _signals.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        _start_thread(f, ())
    finally:
        _signals.pthread_sigmask(signal.SIG_SETMASK, before)


def with_the_callers_signals(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
    """To be run elsewhere: f(*args, **kwargs), which may start processes and threads. They block what it blocks."""
    mask = _signals.pthread_sigmask(signal.SIG_BLOCK, ())

    def call() -> T:
        before = _signals.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            return f(*args, **kwargs)
        finally:
            _signals.pthread_sigmask(signal.SIG_SETMASK, before)

    return call


def _work_in(rank: int, work: Callable[[], None]) -> None:
    me = home_id()
    _ranks[me] = rank
    try:
        work()
    finally:
        del _ranks[me]


_calls, _look_ups = _Pool(), _Pool(rank=1)
_ranks: dict[int, int] = {}  # of the threads there are, by home_id(): goroutines of one are in it, too


def _start_anew() -> None:
    _calls.start_anew()
    _look_ups.start_anew()
    _ranks.clear()


os.register_at_fork(after_in_child=_start_anew)


def _is_alone() -> bool:
    """The interpreter is ending, or this is a child whose runtime has yet to start anew: no thread would do it."""
    return has_shut() or is_forked()


def run_blocking(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """f(*args, **kwargs) in an OS thread of its own for so long, while other goroutines run. Returns its result,
    raises its error.

    Context variables are the caller's. A cancelled caller is raised Cancelled at once; f, which cannot be stopped,
    then runs on in its thread, and its result is dropped (what it waits for through ecru is cancelled); if it has not
    begun it never does. At most `blocking_threads()` run at once; more wait for their turn. Inside of f, and in
    destructors that the interpreter's end calls, the calling thread itself runs what run_blocking is given.
    """
    return _calls.call(with_the_callers_signals(plain(f), *args, **kwargs))


def run_look_up(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for looking a name up, for which there is a thread whatever calls of run_blocking there are."""
    return _look_ups.call(partial(f, *args, **kwargs))


def run_apart(f: Callable[[], T]) -> T:
    """The same in a thread that ends with it, whatever the others do: for what may wait for another such call."""
    if _is_alone():
        return copy_context().run(f)
    return _result_of(_Job(f), lambda job: start_thread(partial(_work_in, 0, job.run)))


def blocking_threads() -> int:
    """How many calls of run_blocking run at once: 64 unless `set_blocking_threads` has said otherwise."""
    return _calls.most


def set_blocking_threads(count: int = THREADS_MAX) -> None:
    """Has so many calls of run_blocking run at once from now on; those that run go on.

    What its callers no longer wait for counts as long as it runs. ValueError: less than 1.
    """
    _calls.allow(whole("blocking threads", count, 1))


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
