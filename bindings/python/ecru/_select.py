"""select, and what makes its cases."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    NamedTuple,
    Protocol,
    SupportsFloat,
    TypeAlias,
    TypeVar,
    cast,
    runtime_checkable,
)

from ecru import _native
from ecru._chan import Chan, Receiver, Sender
from ecru._scope import DeadlineExceeded
from ecru._time import Ticker, now

T = TypeVar("T")


@runtime_checkable
class _HasCase(Protocol):
    def _case(self) -> _native._Case: ...


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


if TYPE_CHECKING:
    _Case: TypeAlias = _native._Case | Receiver[Any] | _HasCase
_NOTHING: Final = object()
_select = _native.select
_new = tuple.__new__


class Selected(NamedTuple):
    """What a select did. Matches as a sequence and by name: `case 0, value, True:`, `case Selected(index=0):`."""

    index: int  # type: ignore[assignment]  # not the method of tuples
    """The case's place among the arguments; -1: none was ready, or the time was up, and this is the default."""
    value: Any
    """What was received; the default; else None."""
    ok: bool
    """False: the case's channel is closed (and drained, for a receive); also for the default."""


def recv(chan: _native.Chan[Any] | Receiver[Any] | None) -> _Case:
    """The case that receives. None is a channel on which nothing is ever ready."""
    return _native_chan(chan)


def send(chan: _native.Chan[T] | Sender[T] | None, value: T) -> _Case:
    """The case that sends value; it is sent only if the case is picked. None: as with recv."""
    if type(chan) is Chan:
        return chan, value
    native = _native_chan(chan)
    return None if native is None else (native, value)


def done(what: _native.Task[Any] | _native.Token | _HasCase | None) -> _Case:
    """The case that is ready once a task has ended, a token has fired, an Event is set. Takes nothing away."""
    return what._case() if isinstance(what, _HasCase) else what


def _native_chan(chan: Any) -> _native.Chan[Any] | None:
    if chan is None or isinstance(chan, _native.Chan):
        return chan
    if isinstance(chan, (Sender, Receiver)):
        return chan._used()
    raise TypeError(f"a Chan, or an end of one, is needed, not {chan!r}")


def select(
    *cases: _Case, default: Any = _NOTHING, timeout: SupportsFloat | None = None, priority: bool = False
) -> Selected:
    """Waits until one of the cases is ready, does exactly that one, and says which.

    cases: a Chan or recv(chan); send(chan, value); a Task, a Token or done(...); after(seconds); a Ticker; an Event;
    (IO, "r" or "w"); None, which is never ready. Of several that are ready one is picked at random, with priority the
    first. default: if given, taken when no case is ready at once (or, with a timeout, in time). timeout: seconds;
    without a default raises DeadlineExceeded when they are over. A closed channel's case is ready: ok is then False;
    what a drained one was closed with is raised.
    Without any case and default it parks until cancelled. Raises Cancelled (then no case was done); before anything is
    done ChanClosed for an end that is closed itself, and TypeError for what is no case.
    """
    try:
        result = _select(cases, timeout is None and default is not _NOTHING, priority, timeout)  # type: ignore[arg-type]
    except TypeError:
        if not any(isinstance(case, (Receiver, _HasCase)) for case in cases):
            raise
    else:
        if result is not None:
            return _new(Selected, result)
        if default is _NOTHING:
            raise DeadlineExceeded(f"no case was ready within {timeout} s")
        return Selected(-1, default, False)
    return _select_any(cases, default, timeout, priority)


def wait_fd(fd: int | _HasFileno, directions: str = "r", timeout: SupportsFloat | None = None) -> str:
    """Parks until a descriptor can be read ("r"), written ("w"), or either ("rw").

    Returns which; "" after timeout seconds. For descriptors of others: a library's socket, a pipe. fd: one, or what has
    fileno(). Raises OSError: it cannot be waited for; Cancelled.
    """
    return _native.wait_fd(fd, directions, timeout)  # type: ignore[arg-type]


def _select_any(cases: tuple[_Case, ...], default: Any, timeout: SupportsFloat | None, priority: bool) -> Selected:
    """The same with cases that stand for native ones."""
    end = None if timeout is None else now() + float(timeout)
    while True:
        native = tuple(_native_case(case) for case in cases)
        result = select(*native, default=default, timeout=None if end is None else end - now(), priority=priority)
        given = cases[result.index] if result.index >= 0 else None
        if not isinstance(given, Ticker):
            return result
        tick = given._picked(cast(_native.Token, native[result.index]))
        if tick is not None:
            return Selected(result.index, *tick)


def _native_case(case: _Case) -> _native._Case:
    if isinstance(case, Receiver):
        return case._used()
    return case._case() if isinstance(case, _HasCase) else case
