"""queue.SimpleQueue, whose own C waits for threads."""

from __future__ import annotations

import queue
from types import GenericAlias
from typing import Any

from ecru import _native
from ecru._patch._imports import after_next_import
from ecru._patch._registry import Registry


class SimpleQueue:
    """An unbounded first-in first-out queue."""

    __class_getitem__: Any = classmethod(GenericAlias)
    _empty: type[Exception] = queue.Empty

    def __new__(cls) -> Any:
        """In a forked child, which has no channels: what the library has for such."""
        return queue._PySimpleQueue() if _native.is_forked() else object.__new__(cls)  # type: ignore[attr-defined]

    def __init__(self) -> None:
        """It is empty."""
        self._items: _native.Chan[Any] = _native.Chan(None)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Adds an item; never waits."""
        self._items.try_send(item)

    def put_nowait(self, item: Any) -> None:
        """As put."""
        self._items.try_send(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The oldest item. Parks while there is none, for timeout seconds at most; then queue.Empty."""
        if not block:
            return self.get_nowait()
        if timeout is None:
            return self._items.recv()
        if timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        found = _native.select((self._items,), timeout=timeout)
        if found is None:
            raise self._empty
        return found[1]

    def get_nowait(self) -> Any:
        """The oldest item; queue.Empty."""
        item, there = self._items.try_recv()
        if not there:
            raise self._empty
        return item

    def empty(self) -> bool:
        """Whether there is none at this moment."""
        return len(self._items) == 0

    def qsize(self) -> int:
        """How many there are at this moment."""
        return len(self._items)


def install(registry: Registry) -> None:
    """Replaces queue.SimpleQueue, also for who imports it anew."""

    def patch_anew(module: Any) -> None:
        registry.replace(module, "SimpleQueue", type("SimpleQueue", (SimpleQueue,), {"_empty": module.Empty}))
        after_next_import(registry, "_queue", patch_anew)

    registry.replace(queue, "SimpleQueue", SimpleQueue)
    after_next_import(registry, "_queue", patch_anew)
