"""Structured concurrency: whatever a block starts has ended when the block has."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from itertools import islice, repeat
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ecru import _arguments, _native
from ecru._arguments import plain
from ecru._native import Cancelled, Chan, Task, Token, check, current, select

if TYPE_CHECKING:
    from typing_extensions import Self

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

T = TypeVar("T")
P = ParamSpec("P")


class Crew(_native.Crew):
    """A native crew with an end. No block: who has it ends it."""

    __slots__ = ()

    def join(self) -> list[BaseException]:
        """Waits for all, also for those they start meanwhile, whatever the current token. Cancels them when
        interrupted.

        Returns the interruptions: what signal handlers raised.
        """
        interruptions: list[BaseException] = []
        while True:
            try:
                self.wait()
            except BaseException as error:
                interruptions.append(error)
                self.token.cancel()
            else:
                return interruptions

    def stop(self) -> None:
        """Cancels all and waits for their end; then raises what interrupted that, if anything did."""
        self.token.cancel()
        for error in self.join():
            raise error


class _Places:
    """How many may run at once. Who waits for a place is turned away by the token, too, not only by their own."""

    def __init__(self, limit: int, token: Token) -> None:
        self._limit, self._token = limit, token
        self._holders: set[Task[Any] | None] = set()
        self._stuck = 0  # holders that wait for another place
        self._fresh = repeat(None, limit)  # places nobody has taken yet; never refilled
        self._left: Chan[None] = Chan(None)

    def take(self) -> None:
        if self.try_take():
            return
        holds = current() in self._holders
        if holds and self._stuck + 1 == self._limit:
            raise RuntimeError(f"all {self._limit} goroutines that the group may run wait in go: none would ever begin")
        self._stuck += holds
        try:
            if select((self._token, self._left), priority=True) == (0, None, True):
                with self._token:
                    check()
        finally:
            self._stuck -= holds

    def try_take(self) -> bool:
        return next(self._fresh, self) is None or self._left.try_recv()[1]

    def leave(self) -> None:
        self._left.try_send(None)

    def run(self, f: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        task = current()
        self._holders.add(task)
        try:
            return f(*args, **kwargs)
        finally:
            self._holders.discard(task)
            self.leave()


class TaskGroup:
    """`with TaskGroup() as group: group.go(f, x)`: the block ends when everything started in the group has ended.

    The first error, of a goroutine or of the block itself, cancels the others (also the block, where it waits), and is
    the cause of their Cancelled. Then all errors are raised as one ExceptionGroup, in the order they happened. A
    goroutine that ends with Cancelled has not failed; a KeyboardInterrupt, SystemExit and the like are raised as they
    are. limit: at most so many run at once; supervisor: a goroutine's error cancels nobody.
    """

    def __init__(self, limit: int | None = None, *, supervisor: bool = False) -> None:
        self._limit = _arguments.limit(limit)
        self._places: _Places | None = None
        self._supervisor = supervisor
        self._crew: Crew | None = None
        self._errors: list[BaseException] = []
        self._failed: list[Task[Any]] = []
        self._gave_up = self._ended = False

    def __repr__(self) -> str:
        if self._crew is None:
            return "<ecru.TaskGroup, not entered>"
        state = "ended" if self._ended else f"open, {len(self._errors)} failed"
        return f"<ecru.TaskGroup, {state}, {self._crew.token!r}>"

    def __enter__(self) -> Self:
        if self._crew is not None:
            raise RuntimeError("a task group is entered once")
        self._crew = Crew(self._has_failed)
        if self._limit is not None:
            self._places = _Places(self._limit, self._crew.token)
        self._crew.token.enter()
        return self

    @property
    def token(self) -> Token:
        """The group's token: current in the block and in the group's goroutines."""
        return self._running().token

    def _running(self) -> Crew:
        if self._crew is None:
            raise RuntimeError("the task group has not been entered")
        return self._crew

    def cancel(self, cause: object = None) -> None:
        """Cancels all, and the block; the group then ends without an error of its own. cause: any object:
        Cancelled.cause there.
        """
        self.token.cancel(cause)

    def go(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Task[T]:
        """Starts f(*args, **kwargs) in the group; parks while `limit` of them run.

        May be called by anybody until the group has ended. Raises RuntimeError once it has, or if all `limit` of them
        would wait here; Cancelled if its token has fired.
        """
        crew = self._running()
        if self._places is None:
            return crew.start(f, *args, **kwargs)
        self._places.take()
        return self._start(crew, self._places, f, args, kwargs)

    def try_go(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Task[T] | None:
        """go that never parks: None if `limit` of them run."""
        crew = self._running()
        if self._places is None:
            return crew.start(f, *args, **kwargs)
        if not self._places.try_take():
            return None
        return self._start(crew, self._places, f, args, kwargs)

    @staticmethod
    def _start(
        crew: Crew, places: _Places, f: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Task[T]:
        """f in a goroutine that has taken its place."""
        try:
            return crew.start(places.run, plain(f), args, kwargs)
        except BaseException:
            places.leave()
            raise

    def _has_failed(self, task: Task[Any], error: BaseException) -> None:
        self._failed.append(task)
        self._note(error)

    def _note(self, error: BaseException) -> None:
        if isinstance(error, Cancelled):
            self._gave_up = True
            return
        self._errors.append(error)
        if not self._supervisor or not isinstance(error, Exception):
            self.token.cancel(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        crew = self._running()
        if error is not None:
            self._note(error)
            crew.token.cancel(None if isinstance(error, Cancelled) else error)
        self._errors += crew.join()
        self._ended = True
        crew.token._forget_cause()  # no cycle through the error's traceback
        crew.token.leave()
        look_at(self._failed)
        self._failed.clear()
        errors, self._errors = self._errors, []
        try:
            return self._conclude(error, errors)
        finally:
            del error, errors  # no cycle through the traceback

    def _conclude(self, error: BaseException | None, errors: list[BaseException]) -> bool:
        token = self.token
        for other in errors:
            if not isinstance(other, Exception):
                if other is error:
                    return False
                raise other
        if errors:
            raise BaseExceptionGroup("errors in a task group", errors) from None
        if isinstance(error, Cancelled):
            return token.fired_itself
        if self._gave_up and not token.fired_itself:
            check()
        return False


def _outcome(f: Callable[[], T]) -> T | Exception:
    try:
        return f()
    except Exception as error:
        return error


def _call_of(work: Callable[[], T] | Task[T]) -> Callable[[], T]:
    """What gives the work's result; a Task's is waited for, and not cancelled with the waiting."""
    call = work.result if isinstance(work, Task) else work
    if not callable(call):
        raise TypeError(f"a callable without arguments, or a Task, is needed, not {work!r}")
    return plain(call)


def gather(
    *work: Callable[[], Any] | Task[Any], limit: int | None = None, return_exceptions: bool = False
) -> list[Any]:
    """Runs callables without arguments at once (at most `limit`), or waits for Tasks; their results, in the order of
    `work`.

    The first error cancels the other callables (not the Tasks: they were not started here); once all have ended all
    errors are raised as an ExceptionGroup. return_exceptions: an Exception counts as a result, and cancels nobody.
    """
    calls = [_call_of(one) for one in work]
    with TaskGroup(limit) as group:
        if return_exceptions:
            tasks = [group.go(_outcome, call) for call in calls]
        else:
            tasks = [group.go(call) for call in calls]
    return [task.result() for task in tasks]


def race(*work: Callable[[], T] | Task[T]) -> T:
    """The result of whichever of `work` (as gather's) first succeeds; the others are cancelled and have ended by then.

    If all fail: an ExceptionGroup of their errors. ValueError without any work.
    """
    if not work:
        raise ValueError("race: nothing to run")
    errors: list[BaseException] = []
    ended = as_completed(work)
    try:
        for task in ended:
            error = task.exception()
            if error is None:
                return task.result()
            errors.append(error)
    finally:
        ended.close()
    try:
        raise BaseExceptionGroup("all in a race failed", errors)
    finally:
        del error, errors


def _tell(call: Callable[[], T], ended: Chan[Task[Any]]) -> T:
    try:
        return call()
    finally:
        task = current()
        assert task is not None
        ended.try_send(task)


def _watch(task: Task[Any], ended: Chan[Task[Any]]) -> None:
    task.join()
    ended.try_send(task)


def as_completed(work: Iterable[Callable[[], T] | Task[T]], limit: int | None = None) -> Generator[Task[T], None, None]:
    """Runs callables without arguments (at most `limit` at once), or waits for Tasks; yields the Tasks as they end.

    result() then gives what each did. When the iteration is given up what it started is cancelled, and has ended after
    close(). The callables run under the token that is current at the first next().
    """
    return _as_completed(iter(work), _arguments.limit(limit))


def _as_completed(work: Iterator[Callable[[], T] | Task[T]], limit: int | None) -> Generator[Task[T], None, None]:
    crew = Crew()
    ended: Chan[Task[T]] = Chan(None)
    running = 0
    try:
        while True:
            for one in islice(work, None if limit is None else limit - running):
                if isinstance(one, Task):
                    crew.start(_watch, one, ended)
                else:
                    crew.start(_tell, _call_of(one), ended)
                running += 1
            if running == 0:
                return
            yield ended.recv()
            running -= 1
    finally:
        crew.stop()
        while ended.try_recv()[1]:
            pass  # the collector does not see into channels: a task's error would keep this one, and it the task


def map(f: Callable[..., T], /, *iterables: Iterable[Any], limit: int | None = None) -> Generator[T, None, None]:
    """As the builtin map, but up to `limit` calls run at once (None: all; the iterables must then end). Results keep
    their order.

    At most `limit` are started and not yet yielded. The first error, in order, is raised as it is; then, and when the
    iteration is given up, the others are cancelled, and have ended. Nothing starts before the first next().
    """
    most = _arguments.limit(limit)
    if not iterables:
        raise TypeError("map: an iterable is needed")
    return _map(f, zip(*iterables), most)  # noqa: B905 - the shortest ends it, as with the builtin


def _map(f: Callable[..., T], arguments: Iterator[tuple[Any, ...]], limit: int | None) -> Generator[T, None, None]:
    crew = Crew()
    window: deque[Task[T]] = deque()
    failure: Exception | None = None
    try:
        while True:
            try:
                for one in islice(arguments, None if limit is None else limit - len(window)):
                    window.append(crew.start(f, *one))
            except Exception as error:  # an iterable's: its turn comes after what it gave
                failure, arguments = error, iter(())
            if not window:
                break
            yield window.popleft().result()
        if failure is not None:
            raise failure
    finally:
        del failure  # no cycle through the traceback
        crew.stop()
        look_at(window)


def look_at(tasks: Collection[Task[Any]]) -> None:
    """Their errors are nobody's: they were raised, or are not wanted any more."""
    if not tasks:
        return
    with Token(shield=True):
        for task in tasks:
            task.exception()
