"""Goroutines of Python functions, each on a thread of its own."""

from __future__ import annotations

import sys
import threading
import time
from _thread import get_ident
from collections.abc import Callable
from contextvars import Context, copy_context
from importlib import import_module
from itertools import count
from types import GenericAlias, SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, SupportsFloat, TypeVar, cast
from weakref import WeakSet

from ecru import _tracing
from ecru._abi import ffi, lib
from ecru._threads._base import Cancellable, Cancelled, NotPickled, fail, give_cause, here, instant, wait
from ecru._threads._home import Home, ensure_home

if TYPE_CHECKING:
    from ecru._threads._crew import Crew

T = TypeVar("T")
P = ParamSpec("P")

YIELD_SECONDS = 0.01
"""How long yield_() of a home's first waits for goroutines that neither wait nor end; theirs 10 ms."""
_YIELD_SECONDS = 0.01
_LOOK_SECONDS = 0.00002  # between two looks at them; doubled each time, up to
_LOOK_SECONDS_MOST = 0.001


class Task(NotPickled, Cancellable, Generic[T]):
    """A goroutine with a handle. Made by spawn()."""

    __module__ = "ecru"
    __slots__ = (
        "_call",
        "_crew",
        "_done",
        "_error",
        "_handle",
        "_home",
        "_id",
        "_name",
        "_observed",
        "_result",
    )

    _call: tuple[Context, Callable[..., T], tuple[Any, ...], dict[str, Any]] | None
    _crew: Crew | None
    _done: bool
    _error: BaseException | None
    _handle: Any
    _home: Home
    _id: int
    _name: str | None
    _observed: bool
    _result: T | None

    def __new__(cls, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("cannot create 'ecru.Task' instances")

    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias:
        return GenericAlias(cls, item)

    @property
    def done(self) -> bool:
        """whether it has ended"""
        return self._done

    @property
    def id(self) -> int:
        """the goroutine's id"""
        return self._id

    @property
    def name(self) -> str:
        """a name, for people"""
        return f"task-{self._id}" if self._name is None else self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError("a name is a str")
        self._name = name

    def join(self) -> None:
        """Waits for the end, however it was."""
        status = lib.ECRU_EINVAL
        if self._handle is not None:
            status = wait(lib.ecru_task_join, self._handle, ffi.NULL, ffi.NULL)
        if status != 0:
            fail(status)

    def result(self) -> T:
        """Waits for the end; what the function returned, or raises what it raised."""
        self.join()
        self._observed = True
        if self._error is not None:
            try:
                raise self._error
            finally:
                del self  # no cycle through the traceback
        return cast(T, self._result)

    def exception(self) -> BaseException | None:
        """Waits for the end; what the function raised."""
        self.join()
        self._observed = True
        return self._error

    def cancel(self, cause: object = None) -> None:
        """Fires the task's token: it is raised Cancelled where it waits. cause: any object: Cancelled.cause there."""
        if self._handle is None:
            fail(lib.ECRU_EINVAL)
        if cause is not None and not self._done:
            give_cause(self, lib.ecru_task_token(self._handle), cause)
        lib.ecru_task_cancel(self._handle, 0)

    def __repr__(self) -> str:
        ended = "returned" if self._error is None else f"raised {type(self._error).__name__}"
        return f"<ecru.Task {self.name}, {ended if self._done else 'running'}>"

    def __del__(self) -> None:
        if hasattr(self, "_call"):  # else a signal's handler raised before it was made
            self._report()

    def _is_unseen(self) -> bool:
        """Whether its error would be told."""
        return not (self._error is None or self._observed or isinstance(self._error, (SystemExit, Cancelled)))

    def _report(self) -> None:
        """An error nobody will look at goes to ecru.excepthook; if that fails, to the package's own."""
        if not self._is_unseen():
            return
        self._observed = True
        if not self._tell("ecru"):
            self._tell("ecru._home")

    def _tell(self, module: str) -> bool:
        """Calls the excepthook of a module; what that raises is told. Whether it returned."""
        try:
            import_module(module).excepthook(self, self._error)
        except BaseException as error:
            tell_unraisable(error, self)
            return False
        return True


def tell_unraisable(error: BaseException, source: object) -> None:
    """Of an error in what the package calls by itself."""
    told = SimpleNamespace(
        exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__, err_msg=None, object=source
    )
    try:
        sys.unraisablehook(cast(Any, told))
    except TypeError:  # the interpreter's own, which takes only what it has made
        sys.__excepthook__(type(error), error, error.__traceback__)


_failed: WeakSet[Task[Any]] = WeakSet()  # that have ended, and nobody had asked for their errors by then


def report_failed(most: int, /) -> int:
    """Tells of so many errors of tasks that are still referred to, and that nobody has asked for; how many more."""
    left = [task for task in list(_failed) if task._is_unseen()]
    for task in left[:most]:
        task._report()
    for task in left[most:]:
        task._observed = True
    return max(0, len(left) - most)


# ---- beginning and ending --------------------------------------------------------------------------------------------

_keys = count(1)
_starting: dict[int, Task[Any] | None] = {}  # None: the thread that starts it has not come to say who it is
_COROUTINE = 0x80  # inspect.CO_COROUTINE
_options = ffi.new("ecru_go_options *")
_options.size = ffi.sizeof("ecru_go_options")
_options.flags = lib.ECRU_OWN_THREAD


def _take(key: int) -> Task[Any] | None:
    """Who is to run in this thread; None: nobody, who starts it was interrupted."""
    while _starting.get(key, key) is None:
        time.sleep(0)
    return _starting.pop(key, None)


def _own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Without those of this file."""
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return traceback


def _call(task: Task[Any]) -> None:
    assert task._call is not None
    context, function, arguments, keywords = task._call
    task._call = None
    try:
        task._result = context.run(function, *arguments, **keywords)
    except BaseException as error:
        task._error = error.with_traceback(_own_frames(error.__traceback__))
    finally:
        del task, context, function, arguments, keywords  # frames live on in tracebacks: no cycle through this one


def _forget_thread() -> None:
    """What threading made up for it, if somebody has asked for its Thread, goes with it."""
    threading._active.pop(get_ident(), None)  # type: ignore[attr-defined]


def _end_all(task: Task[Any], home: Home) -> None:
    """Who ends the program means all of it: the first is told, as if it had been raised there."""
    if isinstance(task._error, (SystemExit, KeyboardInterrupt)) and not task._observed:
        task._observed = True
        home.tell_first(task._error)


def _end_child(task: Task[Any]) -> None:
    """In a child that the goroutine has forked: with it ends the program."""
    from ecru import _home

    task._report()
    _home._end_child(task._error)


def _run(key: int) -> None:
    task = _take(key)
    if task is None:
        return
    home = here.home = task._home
    here.task = task
    task._id = lib.ecru_id()
    home.begun[task._id] = task, get_ident()
    _tracing.begin()
    _call(task)
    _tracing.end()
    if here.home is not home:
        _end_child(task)
    crew, task._crew = task._crew, None
    if crew is None or not crew.tell(task, task._error):
        _end_all(task, home)
    task._done = True
    if task._handle is None:  # nobody can ask for it
        task._report()
    elif task._is_unseen():
        _failed.add(task)
    here.task = None
    del home.begun[task._id]
    _forget_thread()
    home.alive.discard(key)
    del task  # as in _call
    if crew is not None:
        crew.leave(key)


@ffi.callback("int (void *, void **)")  # type: ignore[untyped-decorator, unused-ignore]
def _begin(argument: Any, _: Any) -> int:
    _run(int(ffi.cast("uintptr_t", argument)))
    return 0


def new_task(f: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Task[Any]:
    """One that has yet to be started."""
    home = ensure_home()
    if not callable(f):
        raise TypeError(f"a callable is needed, not {type(f).__name__}")
    if getattr(getattr(f, "__code__", None), "co_flags", 0) & _COROUTINE:
        raise TypeError(f"a plain function is needed, not {f!r}: ecru.aio.run(f(...)) runs a coroutine")
    task: Task[Any] = object.__new__(cast(type[Task[Any]], Task))
    task._cause = task._crew = task._error = task._handle = task._name = task._result = None
    task._done = task._observed = False
    task._id = 0
    task._home = home
    task._call = copy_context(), f, arguments, keywords
    return task


def _start(task: Task[T], options: Any, wanted: bool) -> None:
    """Has the runtime start its thread; if this raises, also what a signal's handler does, it does not run.

    wanted: it gets a handle.
    """
    key, out = next(_keys), ffi.new("ecru_task **")
    alive, crew = task._home.alive, task._crew
    try:
        _starting[key] = None
        if crew is not None:
            crew.enter(key)
        alive.add(key)
        status = lib.ecru_spawn_with(out, options, _begin, ffi.cast("void *", key))
        if status != 0:
            fail(status)
        handle = ffi.gc(out[0], lib.ecru_task_release)
        if wanted:
            task._handle, task._id = handle, lib.ecru_task_id(handle)
        if crew is not None:
            crew.has_started(key, handle)
        _starting[key] = task
    except BaseException:
        if _starting.pop(key, False) is not False:
            alive.discard(key)
            if crew is not None:
                crew.leave(key)
        raise


def start_task(task: Task[T], token: Any = ffi.NULL) -> None:
    """token: instead of the current one."""
    options = _options
    if token != ffi.NULL:
        options = ffi.new("ecru_go_options *", _options[0])
        options.token = token
    _start(task, options, wanted=True)


def spawn(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Task[T]:
    """Starts f(*args, **kwargs) in a goroutine."""
    task: Task[T] = new_task(f, args, kwargs)
    start_task(task)
    return task


def go(f: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Starts f(*args, **kwargs) in a goroutine nobody waits for."""
    _start(new_task(f, args, kwargs), _options, wanted=False)


# ---- letting others go first -----------------------------------------------------------------------------------------


class _Yielding:
    """How many goroutines are in yield_()."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.count = 0

    def __enter__(self) -> None:
        with self.mutex:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self.mutex:
            self.count -= 1


_yielding = _Yielding()


def _others_run(home: Home | None) -> bool:
    """Whether anybody but those who yield neither waits nor has ended. home: whose first counts, too."""
    if _starting or (home is not None and home.is_running):
        return True
    counters = ffi.new("ecru_counters *")
    counters.size = ffi.sizeof("ecru_counters")
    lib.ecru_get_counters(counters)
    return bool(counters.running + counters.runnable > _yielding.count)


def _let_others(home: Home | None, seconds: float) -> None:
    end, pause = time.monotonic() + seconds, _LOOK_SECONDS
    while _others_run(home) and time.monotonic() < end:
        time.sleep(pause)
        pause = min(2 * pause, _LOOK_SECONDS_MOST)


def yield_() -> None:
    """Lets the other goroutines go first, until each waits or has ended; those that do neither, for 10 ms."""
    status = wait(lib.ecru_yield)
    if status != 0:
        fail(status)
    home = here.home
    if home is not None and here.is_first:
        with home.first_away():
            _let_others(None, YIELD_SECONDS)
    elif here.task is not None:
        with _yielding:
            _let_others(home, _YIELD_SECONDS)


def sleep(seconds: SupportsFloat | None, /) -> None:
    """Parks for at least so long; None: for ever."""
    status = wait(lib.ecru_sleep_until, instant(seconds))
    if status != 0:
        fail(status)


def forget_goroutines() -> None:
    """In a forked child: there are none but the caller."""
    _starting.clear()
    _yielding.__init__()  # type: ignore[misc]


def current() -> Task[Any] | None:
    """The calling goroutine; None in a thread's first."""
    return here.task


def goroutine_id() -> int:
    """Id of the calling goroutine; 0 in a plain thread."""
    return lib.ecru_id()  # type: ignore[no-any-return]
