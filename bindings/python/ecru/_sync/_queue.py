"""Queues: a channel; or a list, with a channel of what is there and a semaphore for the free places."""

from __future__ import annotations

import heapq
import sys
from contextlib import suppress
from queue import Empty, Full
from typing import TypeVar

from ecru import _native
from ecru._native import Closed, Mutex, Semaphore, wait_as
from ecru._own_methods import own_methods
from ecru._sync._waits import receives

T = TypeVar("T")
_EVERYBODY = 1 << 40


if sys.version_info >= (3, 13):
    from queue import ShutDown as ShutDown
else:

    class ShutDown(Exception):
        """The queue is shut down: there was a put, or a get with nothing left."""


@own_methods
class Queue(_native.Queue[T]):
    """A queue as queue.Queue, first in, first out; maxsize <= 0: without bound.

    put and get raise Cancelled when the current token fires; then nothing was put or taken.
    """

    def shutdown(self, immediate: bool = False) -> None:
        """No more can be put; what is there can be got (immediate: is dropped); then ShutDown is raised. Idempotent."""
        with suppress(Closed):
            self._chan.close()
        if immediate:
            with suppress(Closed):
                while self._chan.try_recv()[1]:
                    self.task_done()

    def qsize(self) -> int:
        """How many items there are."""
        return len(self._chan)

    def empty(self) -> bool:
        """Whether there is none."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether put would park."""
        return 0 < self.maxsize <= self.qsize()

    def __repr__(self) -> str:
        return f"<ecru.{type(self).__name__} {self.qsize()} of {self.maxsize if self.maxsize > 0 else 'any number'}>"


def _check(timeout: float | None) -> None:
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")


@own_methods
class LifoQueue(Queue[T]):
    """A Queue from which the last item comes first."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize, elsewhere=True)
        self._items: list[T] = []
        self._mutex = Mutex()
        self._places = Semaphore(maxsize) if maxsize > 0 else None

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """As Queue's."""
        _check(timeout)
        self._begin()
        try:
            self._put(item, block, timeout if block else None)
        except Closed:
            self.task_done()
            raise ShutDown from None
        except BaseException:
            self.task_done()
            raise

    def put_nowait(self, item: T) -> None:
        """put that never parks."""
        self.put(item, block=False)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """As Queue's."""
        _check(timeout)
        try:
            if not receives(self._chan, block, timeout):
                raise Empty
        except Closed:
            raise ShutDown from None
        with self._mutex:
            item = self._pop()
        self._free_place()
        return item

    def get_nowait(self) -> T:
        """get that never parks."""
        return self.get(block=False)

    def _put(self, item: T, block: bool, timeout: float | None) -> None:
        if self._places and not wait_as("queue put", self._places.acquire, block, timeout):
            raise Full
        try:
            with self._mutex:
                if self._chan.closed:
                    raise Closed
                self._push(item)
                self._chan.try_send(None)
        except BaseException:
            self._free_place()
            raise

    def _free_place(self) -> None:
        if self._places:
            self._places.release()

    def _push(self, item: T) -> None:
        self._items.append(item)

    def _pop(self) -> T:
        return self._items.pop()

    def shutdown(self, immediate: bool = False) -> None:
        """As Queue's."""
        with self._mutex, suppress(Closed):
            self._chan.close()
            if self._places:
                self._places.release(_EVERYBODY)  # who waits finds it closed
        if immediate:
            with suppress(Closed):
                while self._chan.try_recv()[1]:
                    with self._mutex:
                        self._pop()
                    self.task_done()


@own_methods
class PriorityQueue(LifoQueue[T]):
    """A Queue from which the least item comes first; items must be comparable."""

    def _push(self, item: T) -> None:
        try:
            heapq.heappush(self._items, item)  # type: ignore[type-var]
        except BaseException:  # a comparison failed, somewhere on the way up
            self._items[:] = [other for other in self._items if other is not item]
            heapq.heapify(self._items)  # type: ignore[type-var]
            raise

    def _pop(self) -> T:
        return heapq.heappop(self._items)  # type: ignore[type-var]
