"""Buffered files that goroutines may share, as threads share io's.

Those of io guard themselves with a lock of the thread's: a goroutine that comes while another one waits inside is the
same thread to it, and gets RuntimeError ("reentrant call"). Here it waits before it goes in. Who really comes again, in
a signal handler, say, still gets the RuntimeError.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ecru._native import RLock


def _reads(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any) -> Any:
        with self._reads:
            return method(self, *args)

    return call


def _writes(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any) -> Any:
        with self._writes:
            return method(self, *args)

    return call


_READING = ("read", "read1", "readinto", "readinto1", "readline", "peek", "__next__")
_WRITING = ("write", "flush")
_BOTH = ("seek", "tell", "truncate", "detach", "close")


def _guard(kind: type, guard: Callable[[Callable[..., Any]], Callable[..., Any]], *names: str) -> None:
    for name in names:
        setattr(kind, name, guard(getattr(kind, name)))


class Reader(io.BufferedReader):
    """A BufferedReader."""

    def __init__(self, raw: io.RawIOBase, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> None:
        """As BufferedReader's."""
        self._reads = RLock()
        super().__init__(raw, buffer_size)


class Writer(io.BufferedWriter):
    """A BufferedWriter."""

    def __init__(self, raw: io.RawIOBase, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> None:
        """As BufferedWriter's."""
        self._writes = RLock()
        super().__init__(raw, buffer_size)


class Pair(io.BufferedRWPair):
    """A BufferedRWPair: who reads and who writes do not wait for each other."""

    def __init__(self, reader: io.RawIOBase, writer: io.RawIOBase, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> None:
        """As BufferedRWPair's."""
        self._reads, self._writes = RLock(), RLock()
        super().__init__(reader, writer, buffer_size)


_guard(Reader, _reads, *_READING, *_BOTH)
_guard(Writer, _writes, *_WRITING, *_BOTH)
_guard(Pair, _reads, *_READING, "close")
_guard(Pair, _writes, *_WRITING, "close")
Reader.__name__, Writer.__name__, Pair.__name__ = (
    "_io.BufferedReader",
    "_io.BufferedWriter",
    "_io.BufferedRWPair",
)  # repr


def names() -> ModuleType:
    """The module io, with these instead of its own."""
    module = ModuleType("io", io.__doc__)
    vars(module).update(vars(io), BufferedReader=Reader, BufferedWriter=Writer, BufferedRWPair=Pair)
    return module
