"""What all of this package share: exceptions, the status codes they come from, instants, and the one way to wait."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, SupportsFloat, TypeVar
from weakref import WeakValueDictionary

from ecru._abi import ffi, lib

if TYPE_CHECKING:
    from ecru._threads._home import Home
    from ecru._threads._task import Task

T = TypeVar("T")
P = ParamSpec("P")
EINTR: int = lib.ECRU_EINTR
EAGAIN: int = lib.ECRU_EAGAIN
ECLOSED: int = lib.ECRU_ECLOSED
ETIMEDOUT: int = lib.ECRU_ETIMEDOUT
ECANCELED: int = lib.ECRU_ECANCELED
FOREVER: int = lib.ECRU_FOREVER
_FIRST_OF_ECRU = -200  # above it: the system's own numbers on Linux


class Cancelled(BaseException):
    """Raised where a goroutine waits once its token has fired, and again at every later wait.

    reason: "cancelled" or "deadline". origin: the id of the token that fired, or None. cause: what its cancel(), or a
    Task's, was given, as long as that Token or Task is referred to, or None; an exception is its __cause__, too.
    """

    __module__ = "ecru"
    reason: Literal["cancelled", "deadline"]
    origin: int | None
    cause: Any = None


class Closed(Exception):
    """The channel or handle is closed."""

    __module__ = "ecru"
    __qualname__ = "ChanClosed"  # as programs know it


class Error(OSError):
    """What ecru alone can say: (code, text)."""

    __module__ = "ecru"
    __qualname__ = "EcruError"


Closed.__name__, Error.__name__ = Closed.__qualname__, Error.__qualname__


def _cancelled(reason: Literal["cancelled", "deadline"]) -> Cancelled:
    cancelled = Cancelled(reason)
    cancelled.reason = reason
    cancelled.origin = lib.ecru_token_origin(lib.ecru_token_current()) or None
    cause = cause_of(cancelled.origin) if reason == "cancelled" else None
    if cause is not None:
        cancelled.cause = cause
    if isinstance(cause, BaseException):
        cancelled.__cause__ = cause
    return cancelled


class Cancellable:
    """Who has a token that cancel fires, and what that was given: a Token or a Task."""

    __slots__ = ("__weakref__", "_cause")

    _cause: Any


_causes: WeakValueDictionary[int, Cancellable] = WeakValueDictionary()  # who was given one, by the id of the token


def give_cause(holder: Cancellable, token: Any, cause: object) -> None:
    """Before the token is fired: who is raised Cancelled finds it. The first stays."""
    if cause is None or lib.ecru_token_err(token) != 0 or holder._cause is not None:
        return
    holder._cause = cause
    _causes[lib.ecru_token_id(token)] = holder


def cause_of(origin: int | None) -> Any:
    """By the id of the token that fired; None: there is none."""
    holder = None if origin is None else _causes.get(origin)
    return None if holder is None else holder._cause


def fail(status: int) -> NoReturn:
    """Raises the exception of a status."""
    if status in (ECANCELED, ETIMEDOUT):
        raise _cancelled("deadline" if status == ETIMEDOUT else "cancelled")
    if status == ECLOSED:
        raise Closed("the handle is closed")
    if status == lib.ECRU_ENOMEM:
        raise MemoryError
    text = ffi.string(lib.ecru_strerror(status)).decode()
    if status == lib.ECRU_EINVAL:
        raise ValueError(text)
    if status in (lib.ECRU_ENOHOST, lib.ECRU_EDNS):
        raise socket.gaierror(socket.EAI_NONAME if status == lib.ECRU_ENOHOST else socket.EAI_AGAIN, text)
    raise (OSError if status > _FIRST_OF_ECRU else Error)(-status, text)


def instant(seconds: SupportsFloat | None) -> int:
    """Of the runtime's clock, in nanoseconds: so many seconds from now; FOREVER for None."""
    if seconds is None:
        return FOREVER
    value = math.ldexp(seconds, 0)  # what floats can be made of, but no str
    if math.isnan(value):
        raise ValueError("seconds: not a number")
    if value >= 9e9:
        return FOREVER
    now: int = lib.ecru_after(int(value * 1e9) if value > 0 else 0)
    return now


def in_scope(enter: Callable[[int], int], until: int, call: Callable[..., T], *arguments: Any) -> T:
    """call(*arguments) in a scope of the caller's, which enter(until) begins. Whatever is raised, it has ended.

    The handler of a signal may raise when the scope has begun, and the call that began it has not returned: so what is
    left to is the token that was current before.
    """
    if here.home is None:
        enter_by_itself[0]()  # the first has a token of its own
    outer = lib.ecru_token_current()
    try:  # no generator's: one that an error leaves is ended by the collector
        status = enter(until)
        if status != 0:
            fail(status)
        return call(*arguments)
    finally:
        try:
            _leave_to(outer)
        finally:
            _leave_to(outer)  # the handler may have raised in the other


def _leave_to(token: Any) -> None:
    """Ends the caller's scopes that have begun since this was its current token."""
    while lib.ecru_token_current() != token and lib.ecru_token_leave() == 0:
        pass


class NotPickled:
    """What others wait at is neither pickled nor copied, as types in C are not."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {type(self).__qualname__!r} object")


class _Here(threading.local):
    """The calling thread's."""

    home: Home | None = None
    is_first: bool = False  # of the home: its own thread's
    task: Task[Any] | None = None

    def __init__(self) -> None:
        self.element = ffi.new("uint64_t *")  # of the channel operation under way


here = _Here()


class _Process:
    """What there is once."""

    shut = False  # the interpreter is ending: no goroutines begin any more


process = _Process()
enter_by_itself: list[Callable[[], None]] = []  # what makes the main thread a home; _home.py puts it here


def wait(call: Callable[..., int], *arguments: Any) -> int:
    """What a call of the runtime that may park returns. In the first goroutine of a home it is interruptible."""
    home = _home()
    if home is None or not here.is_first:
        return call(*arguments)
    return home.wait_in_first(call, arguments)


def wait_for_effect(call: Callable[..., int], *arguments: Any) -> int:
    """The same for a call that is seen from outside when it is begun anew: only signals do that."""
    home = _home()
    if home is None or not here.is_first:
        return call(*arguments)
    return home.wait_in_first(call, arguments, guarded=False)


_words: dict[str, Any] = {}  # as C has them, for ever


def wait_as(what: str, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """f(*args, **kwargs), whose waits dumps call so, unless they are part of one that has a name already."""
    word = _words.get(what)
    if word is None:
        word = _words.setdefault(what, ffi.new("char[]", what.encode()))
    if here.home is None:
        enter_by_itself[0]()  # its first has a word of its own
    before = lib.ecru_waits_for(word)
    if before != ffi.NULL:
        lib.ecru_waits_for(before)
    try:
        return f(*args, **kwargs)
    finally:
        lib.ecru_waits_for(before)


def _home() -> Home | None:
    if here.home is None:
        enter_by_itself[0]()
    return here.home
