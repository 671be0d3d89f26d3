"""Channels of Python objects, and select.

What goes through the runtime's channel is a number; the object waits for it in a dict of the Chan's own, where the
collector sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from operator import index
from types import GenericAlias, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, SupportsFloat, TypeVar, cast
from weakref import WeakValueDictionary

from ecru._abi import ffi, lib
from ecru._threads._base import EAGAIN, ECLOSED, ETIMEDOUT, FOREVER, Closed, NotPickled, fail, here, instant, wait
from ecru._threads._io import IO
from ecru._threads._task import Task
from ecru._threads._token import Token

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

_POLICIES = ("wait", "drop_newest", "drop_oldest", "fail")
_MOST = 2**63 - 1
_UNBOUNDED = int(ffi.cast("size_t", -1))
_keys = count(1)
_NOTHING: tuple[None, Literal[False]] = None, False


class _Values(dict[int, Any]):
    """What is in a channel, or on its way."""

    __slots__ = ("__weakref__",)


_dropping: WeakValueDictionary[int, _Values] = WeakValueDictionary()  # of channels that drop values, by a number


@ffi.callback("void (void *, void *)")  # type: ignore[untyped-decorator, unused-ignore]
def _dropped(context: Any, element: Any) -> None:
    values = _dropping.get(int(ffi.cast("uintptr_t", context)))
    if values is not None:
        values.pop(ffi.cast("uint64_t *", element)[0], None)


def _capacity(cap: Any) -> int:
    number = index(cap)
    if number > _MOST:
        raise OverflowError("cap: too large")
    if number < 0:
        raise ValueError("cap: 0 or more, or None for no bound")
    return number


def _fail(status: int) -> NoReturn:
    if status == ECLOSED:
        raise Closed("the channel is closed")
    fail(status)


class Chan(NotPickled, Generic[T]):
    """Chan(cap=0, full="wait", name=None)

    A channel of objects. cap: how many it holds; 0: sender and receiver meet; None: no bound. full: what a full one
    does with one more: "wait", "drop_newest", "drop_oldest", "fail".
    """

    __module__ = "ecru"
    __slots__ = ("__weakref__", "_closed", "_handle", "_values")

    _closed: dict[Literal["with"], tuple[Exception | None, TracebackType | None]]  # the error, its traceback then
    _handle: Any
    _values: _Values

    def __new__(cls, cap: int | None = 0, full: str = "wait", name: str | None = None) -> Self:
        if not isinstance(full, str):
            raise TypeError(f"full: a str, not {type(full).__name__}")
        if full not in _POLICIES:
            raise ValueError(f'full: "wait", "drop_newest", "drop_oldest" or "fail", not "{full}"')
        if cap is None and full != "wait":
            raise ValueError(f'full="{full}": a channel without a bound (cap=None) is never full')
        capacity = 0 if cap is None else _capacity(cap)
        if capacity == 0 and full.startswith("drop"):
            raise ValueError(f'full="{full}": cap of 1 or more: a channel that holds nothing has nothing to drop')
        options = ffi.new("ecru_chan_options *")
        options.size = ffi.sizeof("ecru_chan_options")
        options.full = _POLICIES.index(full)
        options.unbounded = cap is None
        text = None if name is None else ffi.new("char[]", name.encode())
        options.name = ffi.NULL if text is None else text
        chan = object.__new__(cls)
        chan._values = _Values()
        chan._closed = {}
        if full != "wait":
            number = next(_keys)
            _dropping[number] = chan._values
            options.dropped, options.context = _dropped, ffi.cast("void *", number)
        out = ffi.new("ecru_chan **")
        status = lib.ecru_chan_create_with(out, 8, capacity, options)
        if status != 0:
            fail(status)
        chan._handle = ffi.gc(out[0], lib.ecru_chan_release)
        return chan

    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias:
        return GenericAlias(cls, item)

    @property
    def cap(self) -> int | None:
        """how many it holds; None: no bound"""
        cap: int = lib.ecru_chan_cap(self._handle)
        return None if cap == _UNBOUNDED else cap

    @property
    def closed(self) -> bool:
        """whether it was closed"""
        return bool(lib.ecru_chan_is_closed(self._handle))

    @property
    def _error(self) -> Exception | None:
        """what it was closed with"""
        return self._closed.get("with", (None, None))[0]

    def send(self, value: T) -> None:
        """Parks while there is neither a receiver nor room. Raises Closed; BlockingIOError with full="fail"."""
        element = here.element
        key = element[0] = next(_keys)
        self._values[key] = value
        try:
            status = wait(lib.ecru_chan_send, self._handle, element)
        except BaseException:
            del self._values[key]
            raise
        if status == 0:
            return
        del self._values[key]
        if status == EAGAIN:
            raise BlockingIOError("the channel is full")
        _fail(status)

    def _recv(self) -> tuple[T, Literal[True]] | tuple[None, Literal[False]]:
        element = here.element
        status = wait(lib.ecru_chan_recv, self._handle, element)
        if status == 0:
            return self._values.pop(element[0]), True
        if status == ECLOSED:
            self._raise_error()
            return _NOTHING
        fail(status)

    def _raise_error(self) -> None:
        """What it was closed with, if with anything."""
        error, traceback = self._closed["with"]
        if error is not None:
            raise error.with_traceback(traceback)  # else it keeps the frames of all who were raised it

    def recv(self) -> T:
        """Parks while nothing is there. Raises Closed once closed and drained."""
        value, ok = self._recv()
        if not ok:
            _fail(ECLOSED)
        return cast(T, value)

    def recv2(self) -> tuple[T, Literal[True]] | tuple[None, Literal[False]]:
        """(value, True), or (None, False) once closed and drained."""
        return self._recv()

    def __next__(self) -> T:
        value, ok = self._recv()
        if not ok:
            raise StopIteration
        return cast(T, value)

    def try_send(self, value: T) -> bool:
        """Never parks. Raises Closed."""
        element = here.element
        key = element[0] = next(_keys)
        self._values[key] = value
        status = lib.ecru_chan_try_send(self._handle, element)
        if status == 0:
            return True
        del self._values[key]
        return False if status == EAGAIN else _fail(status)

    def try_recv(self) -> tuple[T, Literal[True]] | tuple[None, Literal[False]]:
        """(value, True), or (None, False). Never parks. Raises Closed once closed and drained."""
        element = here.element
        status = lib.ecru_chan_try_recv(self._handle, element)
        if status == 0:
            return self._values.pop(element[0]), True
        if status == ECLOSED:
            self._raise_error()
        return _NOTHING if status == EAGAIN else _fail(status)

    def close(self, error: Exception | None = None) -> None:
        """What is buffered can still be received; then receivers are raised error, if there is one. Raises Closed if it
        was closed.
        """
        if not isinstance(error, (Exception, type(None))):
            raise TypeError(f"error: an Exception, or None, not {error!r}")
        status = self._close(error)
        if status != 0:
            _fail(status)

    def _close(self, error: Exception | None) -> int:
        """A status. Without a lock: the handler of a signal may close it in between, and a child may be forked."""
        mine = error, None if error is None else error.__traceback__
        is_first = self._closed.setdefault("with", mine) is mine
        status: int = lib.ecru_chan_close(self._handle)  # also for who was first, and may never come to it
        if status in (0, ECLOSED):
            return 0 if is_first else ECLOSED
        if is_first:
            self._closed.clear()
        return status

    def __len__(self) -> int:
        return lib.ecru_chan_len(self._handle)  # type: ignore[no-any-return]

    def __bool__(self) -> Literal[True]:
        return True

    def __iter__(self) -> Iterator[T]:
        return _Iterator(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._close(None)


class _Iterator(Generic[T]):
    """What iter(chan) gives: it has no close, which `yield from` would call for the generator that ends."""

    __slots__ = ("_chan",)

    def __init__(self, chan: Chan[T]) -> None:
        self._chan = chan

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return next(self._chan)


# ---- select ----------------------------------------------------------------------------------------------------------


class _Cases:
    """Those of one select, as the runtime wants them."""

    def __init__(self, given: tuple[Any, ...]) -> None:
        self.given = given
        self.cases = ffi.new("ecru_case[]", len(given)) if given else ffi.NULL
        self.elements = ffi.new("uint64_t[]", len(given)) if given else ffi.NULL
        self.sent: list[tuple[int, _Values, int, Any]] = []  # case, whose it becomes, key, value
        for i, one in enumerate(given):
            self._take(i, self.cases[i], one)

    def _take(self, i: int, case: Any, given: Any) -> None:
        is_pair = type(given) is tuple and len(given) == 2
        subject = given[0] if is_pair else given
        if given is None:
            case.kind = lib.ECRU_CASE_RECV  # never ready
        elif isinstance(subject, Chan):
            case.kind = lib.ECRU_CASE_SEND if is_pair else lib.ECRU_CASE_RECV
            case.object = subject._handle
            case.value = self.elements + i
            if is_pair:
                key = self.elements[i] = next(_keys)
                self.sent.append((i, subject._values, key, given[1]))
        elif isinstance(subject, Task) and not is_pair:
            case.kind = lib.ECRU_CASE_TASK
            case.object = ffi.NULL if subject._handle is None else subject._handle
        elif isinstance(subject, Token) and not is_pair:
            case.kind = lib.ECRU_CASE_TOKEN
            case.object = subject._handle
        elif isinstance(subject, IO) and isinstance(given[1], str):
            if given[1] not in ("r", "w"):
                raise ValueError(f'an IO is waited for by "r" or "w", not {given[1]!r}')
            case.kind = lib.ECRU_CASE_WRITE if given[1] == "w" else lib.ECRU_CASE_READ
            case.object = subject._handle
        else:
            raise TypeError(f'a case is a Chan, (Chan, value), Task, Token or (IO, "r" or "w"), not {given!r}')

    def run(self, flags: int, deadline: int) -> int:
        """The index, or a status."""
        for _, values, key, value in self.sent:
            values[key] = value
        status = -1
        try:
            if deadline == FOREVER:
                status = wait(lib.ecru_select, self.cases, len(self.given), flags)
            else:
                status = wait(lib.ecru_select_until, self.cases, len(self.given), flags, deadline)
        finally:
            for i, values, key, _ in self.sent:
                if i != status or self.cases[i].status != 0:
                    del values[key]
        return status

    def outcome(self, i: int) -> tuple[int, Any, bool]:
        """(index, value, ok) of the case that was picked."""
        case = self.cases[i]
        if case.status == 0 and case.kind == lib.ECRU_CASE_RECV:
            return i, self.given[i]._values.pop(self.elements[i]), True
        if case.status == ECLOSED and case.kind == lib.ECRU_CASE_RECV:
            self.given[i]._raise_error()
        return i, None, case.status == 0


def select(
    cases: Sequence[Any], poll: bool = False, priority: bool = False, timeout: SupportsFloat | None = None
) -> tuple[int, Any, bool] | None:
    """Waits for the first of a tuple of cases; None: poll found none ready, or the time is up."""
    if not isinstance(cases, tuple):
        raise TypeError(f"a tuple of cases is needed, not {type(cases).__name__}")
    deadline = instant(timeout)
    taken = _Cases(cases)
    flags = (lib.ECRU_SELECT_POLL if poll else 0) | (lib.ECRU_SELECT_PRIORITY if priority else 0)
    status = taken.run(flags, deadline)
    if status >= 0:
        return taken.outcome(status)
    if status == EAGAIN or (status == ETIMEDOUT and deadline != FOREVER and lib.ecru_check() == 0):
        return None
    fail(status)
