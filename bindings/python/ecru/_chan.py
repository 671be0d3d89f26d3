"""Channels, and their directional ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar

from ecru import _native
from ecru._own_methods import own_methods

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
ChanClosed = _native.Closed


@own_methods
class Chan(_native.Chan[T]):
    """A channel of objects of type T, first in, first out, for goroutines and threads alike.

    Chan(cap=0, full="wait", name=None). cap: how many it holds; 0: sender and receiver meet; None: no bound.
    full: what a full one does with one more: "wait", "drop_newest", "drop_oldest", or "fail" (BlockingIOError).

    `for value in chan` receives until the channel is closed and drained; `with chan:` closes it at the end. After
    close(error) whoever receives is raised that error once the channel is drained, also by a loop or a select.
    A wait raises Cancelled when the current token fires; then nothing was sent or taken.
    """

    __slots__ = ("_ends",)
    _ends: tuple[list[None], list[None]]

    def tx(self) -> Sender[T]:
        """A sending end, counted: when the last one is closed or dropped, the channel is closed."""
        return Sender(self, self._counts()[0])

    def rx(self) -> Receiver[T]:
        """A receiving end, counted: when the last one goes, what is buffered is dropped and senders get ChanClosed."""
        return Receiver(self, self._counts()[1])

    def _counts(self) -> tuple[list[None], list[None]]:
        if not hasattr(self, "_ends"):
            self._ends = ([], [])
        return self._ends

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<ecru.Chan {len(self)} of {'any number' if self.cap is None else self.cap}{state}>"


def _closed(*_: Any) -> NoReturn:
    raise ChanClosed("this end is closed")


class _End(Generic[T]):
    """What both ends share. `count` has one element for each open end of this kind: lists change atomically."""

    __slots__ = ("__weakref__", "_chan", "_count", "_open")

    def __init__(self, chan: Chan[T], count: list[None]) -> None:
        count.append(None)
        self._chan, self._count, self._open = chan, count, True

    def close(self) -> None:
        """Gives the end back. Idempotent; an end that is dropped does it by itself."""
        if not self._open:
            return
        self._open = False
        self._seal()
        self._count.pop()
        if not self._count:
            self._last()

    def _used(self) -> Chan[T]:
        """The channel, for what goes past the methods. Raises ChanClosed, as they do, if this end is closed."""
        return self._chan if self._open else _closed()

    def _seal(self) -> None:
        raise NotImplementedError

    def _last(self) -> None:
        with suppress(ChanClosed):
            self._chan.close()

    @property
    def closed(self) -> bool:
        """Whether this end, or the channel, is closed."""
        return not self._open or self._chan.closed

    def __len__(self) -> int:
        return len(self._chan)

    def __bool__(self) -> Literal[True]:
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_open"):
            self.close()

    def __repr__(self) -> str:
        return f"<ecru.{type(self).__name__} of {self._chan!r}{'' if self._open else ', closed'}>"


class Sender(_End[T]):
    """A sending end of a channel, made by Chan.tx() or dup(): send, try_send, close, `with`."""

    __slots__ = ("send", "try_send")

    def __init__(self, chan: Chan[T], count: list[None]) -> None:
        super().__init__(chan, count)
        self.send, self.try_send = chan.send, chan.try_send

    def _seal(self) -> None:
        self.send = self.try_send = _closed

    def dup(self) -> Sender[T]:
        """One more sending end, for another goroutine. Raises ChanClosed if this one is closed."""
        return Sender(self._chan, self._count) if self._open else _closed()


class Receiver(_End[T]):
    """A receiving end of a channel, made by Chan.rx() or dup(): recv, recv2, try_recv, iteration, close, `with`.

    A loop over it ends when the channel is closed and drained, or when it would wait again and this end is closed:
    closing an end wakes nobody, so a loop, or a recv, that waits then still takes one value that comes, which another
    open end does not get, unless the channel is closed first. Leaving a loop closes nothing.
    """

    __slots__ = ("recv", "recv2", "try_recv")

    def __init__(self, chan: Chan[T], count: list[None]) -> None:
        super().__init__(chan, count)
        self.recv, self.recv2, self.try_recv = chan.recv, chan.recv2, chan.try_recv

    def _seal(self) -> None:
        self.recv = self.recv2 = self.try_recv = _closed

    def _last(self) -> None:
        super()._last()
        with suppress(Exception):  # ChanClosed, or what it was closed with
            while self._chan.try_recv()[1]:
                pass

    def dup(self) -> Receiver[T]:
        """One more receiving end, for another goroutine. Raises ChanClosed if this one is closed."""
        return Receiver(self._chan, self._count) if self._open else _closed()

    def __iter__(self) -> Iterator[T]:
        return self._values() if self._open else _closed()

    def _values(self) -> Iterator[T]:
        for value in self._chan:
            yield value
            if not self._open:  # the generator itself keeps it open
                break
