"""Operators on streams: generators over channels, or over anything that can be iterated.

`for batch in ops.batch(ops.map(parse, lines), 100, 0.5): ...`. A stream ends when its source does (a channel: when it
is closed and drained). An error of the source, or of a function, is raised where the stream is consumed, after what
came before it. When a consumer stops early (close(), or it drops the generator) what the operator had started is
cancelled and has ended; so also when a signal's handler raises something while it waits. An operator that has to listen
to its source while its consumer works (buffer; merge, batch over what is no channel) starts a goroutine for it, at
the first next().
"""

from __future__ import annotations

import builtins
from collections import deque
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any, Generic, TypeAlias, TypeVar

from ecru import _arguments, _native
from ecru._chan import Receiver
from ecru._group import Crew, look_at
from ecru._time import now

T = TypeVar("T")
U = TypeVar("U")
Stream: TypeAlias = Generator[T, None, None]


def _pumped(crew: Crew, source: Iterable[T], cap: int) -> _native.Chan[T]:
    """A channel that a goroutine fills from an iterable, and closes with the error that ends it, if one does."""
    chan: _native.Chan[T] = _native.Chan(cap)
    crew.start(_fill, chan, source)
    return chan


def _fill(chan: _native.Chan[T], source: Iterable[T]) -> None:
    with chan:
        try:
            for value in source:
                chan.send(value)
        except Exception as error:
            chan.close(error)


class _Input(Generic[T]):
    """A source as a channel: its own, or a pump's. Raises ChanClosed for an end that is closed already."""

    __slots__ = ("_chan", "_end")

    def __init__(self, crew: Crew, source: Iterable[T]) -> None:
        self._end = source if isinstance(source, Receiver) else None
        if isinstance(source, Receiver):
            self._chan: _native.Chan[T] = source._used()
        elif isinstance(source, _native.Chan):
            self._chan = source
        else:
            self._chan = _pumped(crew, source, 0)

    @property
    def chan(self) -> _native.Chan[T]:
        """What to receive from next: nothing more once the end is closed."""
        return self._chan if self._end is None or self._end._open else _nothing()


def _nothing() -> _native.Chan[Any]:
    """A channel that has ended."""
    chan: _native.Chan[Any] = _native.Chan()
    chan.close()
    return chan


def map(f: Callable[[T], U], source: Iterable[T], limit: int | None = None) -> Stream[U]:
    """f of each value; with a limit up to so many calls run at once, while others are waited for. The order is kept.

    ValueError if limit < 1.
    """
    most = _arguments.limit(limit, "one after the other")
    return _map(f, source) if most is None else _map_at_once(f, source, most)


def _map(f: Callable[[T], U], source: Iterable[T]) -> Stream[U]:
    for value in source:
        yield f(value)


def _map_at_once(f: Callable[[T], U], source: Iterable[T], limit: int) -> Stream[U]:
    crew = Crew()
    window: deque[_native.Task[U]] = deque()
    failure: Exception | None = None
    try:
        values = _Input(crew, source)
        listening = True
        while listening or window:
            first = window[0] if window else None
            chan = values.chan if listening and len(window) < limit else None
            try:
                picked = _native.select((first, chan), priority=True)
            except Exception as error:
                if chan is None or error is not chan._error:  # a signal's handler has raised it
                    raise
                failure, listening = error, False
                continue
            assert picked is not None
            if picked[0] == 0:
                yield window.popleft().result()
            elif picked[2]:
                window.append(crew.start(f, picked[1]))
            else:
                listening = False
        if failure is not None:
            raise failure
    finally:
        del failure  # no cycle through the traceback
        crew.stop()
        look_at(window)


def filter(predicate: Callable[[T], object], source: Iterable[T]) -> Stream[T]:
    """The values for which predicate(value) is true."""
    for value in source:
        if predicate(value):
            yield value


def take(source: Iterable[T], count: int) -> Stream[T]:
    """The first `count` values; no more are taken from the source. ValueError if count is negative."""
    most = _arguments.whole("count", count, 0)
    return (value for value in islice(source, most))


def throttle(source: Iterable[T], seconds: float) -> Stream[T]:
    """The values, at least `seconds` apart: later ones wait in the source, none is dropped. ValueError if seconds is
    negative.
    """
    return _throttle(source, _not_negative(seconds))


def _not_negative(seconds: float) -> float:
    if _arguments.seconds("seconds", seconds) < 0:
        raise ValueError(f"seconds: 0 or more, not {seconds!r}")
    return seconds


def _throttle(source: Iterable[T], seconds: float) -> Stream[T]:
    earliest = now()
    for value in source:
        _native.sleep(earliest - now())
        earliest = now() + seconds
        yield value


def buffer(source: Iterable[T], size: int) -> Stream[T]:
    """The values; up to `size` are taken from the source before they are asked for. ValueError if size < 1.

    Those are lost when the consumer stops early.
    """
    return _buffer(source, _arguments.whole("size", size, 1))


def _buffer(source: Iterable[T], size: int) -> Stream[T]:
    crew = Crew()
    try:
        yield from _pumped(crew, source, size)
    finally:
        crew.stop()


def batch(source: Iterable[T], size: int, seconds: float | None = None) -> Stream[list[T]]:
    """Lists of `size` values; of fewer at the end, and when `seconds` have passed since the list's first came.

    What a signal's handler raises in the wait for more comes after the list, as the source's errors do; instead of it,
    whose values are lost, what is no Exception (KeyboardInterrupt). ValueError if size < 1, or seconds is negative.
    """
    most = _arguments.whole("size", size, 1)
    return _batch(source, most) if seconds is None else _timed_batch(source, most, _not_negative(seconds))


def _batch(source: Iterable[T], size: int) -> Stream[list[T]]:
    values = iter(source)
    failure: Exception | None = None
    try:
        while failure is None:
            some: list[T] = []
            try:
                for value in islice(values, size):
                    some.append(value)  # not a list(): what came before an error stays
            except Exception as error:
                failure = error
            if not some:
                break
            yield some
        if failure is not None:
            raise failure
    finally:
        del failure  # no cycle through the traceback


def _timed_batch(source: Iterable[T], size: int, seconds: float) -> Stream[list[T]]:
    crew = Crew()
    failure: Exception | None = None
    try:
        values = _Input(crew, source)
        while failure is None and (received := values.chan.recv2())[1]:
            some = [received[0]]
            until = now() + seconds
            while len(some) < size:
                try:
                    picked = _native.select((values.chan,), timeout=until - now())
                except Exception as error:
                    failure = error
                    break
                if picked is None or not picked[2]:
                    break
                some.append(picked[1])
            yield some
        if failure is not None:
            raise failure
    finally:
        del failure  # no cycle through the traceback
        crew.stop()


def merge(*sources: Iterable[T]) -> Stream[T]:
    """The values of all sources as they come; each source's keep their order. The first error ends the stream."""
    crew = Crew()
    try:
        inputs = [_Input(crew, source) for source in sources]
        while inputs:
            picked = _native.select(tuple(one.chan for one in inputs))
            assert picked is not None
            index, value, ok = picked
            if ok:
                yield value
            else:
                del inputs[index]
    finally:
        crew.stop()


def zip(*sources: Iterable[Any], strict: bool = False) -> Stream[tuple[Any, ...]]:
    """Tuples of one value from each source, until one ends. strict: ValueError unless all end together.

    As with the builtin, values taken for a tuple that does not come about are lost.
    """
    return (values for values in builtins.zip(*sources, strict=strict))
