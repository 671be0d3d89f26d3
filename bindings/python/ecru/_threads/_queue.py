"""Queue: a channel, and a count of the items nobody has called task_done for."""

from __future__ import annotations

import queue
from operator import index
from types import GenericAlias
from typing import Any, Generic, TypeVar, cast

from ecru._abi import ffi, lib
from ecru._threads._base import Closed, NotPickled, fail, wait, wait_as
from ecru._threads._chan import Chan, select

T = TypeVar("T")


def _check(timeout: float | None) -> None:
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")


def _shut_down() -> Exception:
    from ecru._sync._queue import ShutDown

    return ShutDown()


class Queue(NotPickled, Generic[T]):
    """Queue(maxsize=0, elsewhere=False)

    What ecru.Queue needs. elsewhere: the items are; put and get have to be overridden, and the channel, without bound,
    holds a mark for each.
    """

    __module__ = "ecru"

    def __init__(self, maxsize: int = 0, elsewhere: bool = False) -> None:
        if hasattr(self, "_chan"):
            raise RuntimeError("a queue is initialised once")
        out = ffi.new("ecru_waitgroup **")
        status = lib.ecru_waitgroup_create(out)
        if status != 0:
            fail(status)
        self._unfinished = ffi.gc(out[0], lib.ecru_waitgroup_destroy)
        self._maxsize = index(maxsize)
        self._chan: Chan[Any] = Chan(self._maxsize if self._maxsize > 0 and not elsewhere else None)

    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias:
        return GenericAlias(cls, item)

    @property
    def maxsize(self) -> int:
        """how many items it holds; <= 0: no bound"""
        return self._maxsize

    def _check_ready(self) -> None:
        if not hasattr(self, "_chan"):
            raise RuntimeError("the queue is not initialised")

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Puts item, parking for timeout seconds at most while it is full.

        Raises queue.Full, ShutDown, ValueError, Cancelled.
        """
        self._check_ready()
        _check(timeout)
        self._begin()
        try:
            put = self._put(item, block, timeout)
        except Closed:
            self.task_done()
            raise _shut_down() from None
        except BaseException:
            self.task_done()
            raise
        if not put:
            self.task_done()
            raise queue.Full

    def _put(self, item: T, block: bool, timeout: float | None) -> bool:
        if not block:
            return self._chan.try_send(item)
        if timeout is None:
            wait_as("queue put", self._chan.send, item)
            return True
        picked = wait_as("queue put", select, ((self._chan, item),), timeout=timeout)
        if picked is not None and not picked[2]:
            raise Closed
        return picked is not None

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Takes an item, parking for timeout seconds at most while it is empty.

        Raises queue.Empty, ShutDown, ValueError, Cancelled.
        """
        self._check_ready()
        _check(timeout)
        try:
            item, got = self._get(block, timeout)
        except Closed:
            raise _shut_down() from None
        if not got:
            raise queue.Empty
        return cast(T, item)

    def _get(self, block: bool, timeout: float | None) -> tuple[Any, bool]:
        if not block:
            return self._chan.try_recv()
        if timeout is None:
            return wait_as("queue get", self._chan.recv), True
        picked = wait_as("queue get", select, (self._chan,), timeout=timeout)
        if picked is not None and not picked[2]:
            raise Closed
        return (None, False) if picked is None else (picked[1], True)

    def put_nowait(self, item: T, /) -> None:
        """put that never parks."""
        Queue.put(self, item, False)

    def get_nowait(self) -> T:
        """get that never parks."""
        return Queue.get(self, False)

    def _begin(self) -> None:
        status = lib.ecru_waitgroup_add(self._unfinished, 1)
        if status != 0:
            fail(status)

    def task_done(self) -> None:
        """What was got is dealt with. ValueError if that was said of all that was put."""
        status = lib.ecru_waitgroup_done(self._unfinished)
        if status == lib.ECRU_EINVAL:
            raise ValueError("task_done() called too many times")
        if status != 0:
            fail(status)

    def join(self) -> None:
        """Parks until task_done was called for each item that was put. Raises Cancelled."""
        status = wait_as("queue join", wait, lib.ecru_waitgroup_wait, self._unfinished)
        if status != 0:
            fail(status)
