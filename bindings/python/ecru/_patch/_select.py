"""select and selectors park the goroutine until one of their descriptors is ready.

What is ready is then asked of the system's own call, without waiting: its answer knows more than readable and writable.
"""

from __future__ import annotations

import os
import select as module
import selectors
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ecru import _native
from ecru._patch._registry import Registry

_Result = TypeVar("_Result")
_AGAIN_SECONDS = 0.001  # a descriptor was ready, but not for what is asked

_select = module.select
_poll = getattr(module, "poll", None)
_epoll = getattr(module, "epoll", None)


def _is_something(found: object) -> bool:
    return any(found) if isinstance(found, tuple) else bool(found)


def wait_until(
    look: Callable[[], _Result], wanted: Callable[[], list[tuple[int, str]]], seconds: float | None
) -> _Result:
    """Parks until look's result is not empty; it is called whenever one of the wanted descriptors is ready.

    Others have their turn even if it is not empty at once: who asks in a loop shall not keep them out.
    seconds: None: no limit. Returns look's last result.
    """
    found = look()
    if _is_something(found) or (seconds is not None and seconds <= 0):
        _native.yield_()
        return found
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        try:
            in_time = bool(_native.wait_fds(wanted(), left))
        except (_native.Closed, OSError, ValueError):  # one was closed meanwhile: look says so
            in_time = True
        found = look()
        if _is_something(found) or left == 0 or (not in_time and left is not None):
            return found
        _native.sleep(_AGAIN_SECONDS)


def _number(thing: Any) -> int:
    if isinstance(thing, int):
        number = thing
    else:
        try:
            number = thing.fileno()
        except AttributeError:
            raise TypeError("argument must be an int, or have a fileno() method.") from None
        if not isinstance(number, int):
            raise TypeError("fileno() returned a non-integer")
    if number < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({number})")
    return number


def _is_open(thing: Any) -> bool:
    try:
        os.fstat(_number(thing))
    except (OSError, ValueError):
        return False
    return True


def select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /
) -> tuple[list[Any], list[Any], list[Any]]:
    """As select.select: parks until something is ready. What is closed meanwhile is."""
    reads, writes, others = (given if isinstance(given, list) else list(given) for given in (rlist, wlist, xlist))
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")

    def wanted() -> list[tuple[int, str]]:
        return [(_number(thing), "r") for thing in (*reads, *others)] + [(_number(thing), "w") for thing in writes]

    began = False

    def look() -> tuple[list[Any], list[Any], list[Any]]:
        nonlocal began
        try:
            return _select(reads, writes, others, 0)
        except (OSError, ValueError):
            if not began:
                raise
            closed = [[thing for thing in things if not _is_open(thing)] for things in (reads, writes, others)]
            return closed[0], closed[1], closed[2]
        finally:
            began = True

    return wait_until(look, wanted, timeout)


class Poll:
    """As select.poll()."""

    def __init__(self) -> None:
        """Nothing is registered."""
        self._poll = _poll()  # type: ignore[misc]
        self._masks: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = module.POLLIN | module.POLLPRI | module.POLLOUT, /) -> None:
        """Adds a descriptor, or changes what is wanted of it."""
        self._poll.register(fd, eventmask)
        self._masks[_number(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """Changes what is wanted of one that was registered."""
        self._poll.modify(fd, eventmask)
        self._masks[_number(fd)] = eventmask

    def unregister(self, fd: Any, /) -> None:
        """Leaves it out."""
        self._poll.unregister(fd)
        self._masks.pop(_number(fd), None)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """(descriptor, events) of those that are ready. timeout: milliseconds; None or negative: no limit."""
        if timeout is not None and timeout < 0:
            timeout = None
        return wait_until(lambda: self._poll.poll(0), self._wanted, None if timeout is None else timeout / 1000)

    def _wanted(self) -> list[tuple[int, str]]:
        return [
            (fd, ("r" if mask & ~module.POLLOUT else "") + ("w" if mask & module.POLLOUT else "") or "r")
            for fd, mask in self._masks.items()
        ]


class Epoll:
    """As select.epoll()."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        """Opens one."""
        self._epoll = _epoll(sizehint, flags)  # type: ignore[misc]

    @classmethod
    def fromfd(cls, fd: int, /) -> Epoll:
        """One of a descriptor."""
        made = cls.__new__(cls)
        made._epoll = _epoll.fromfd(fd)  # type: ignore[union-attr]
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return bool(self._epoll.closed)

    def close(self) -> None:
        """Closes it: who waits in it goes on as if the time were up."""
        if not self._epoll.closed:
            _native.forget_fd(self._epoll.fileno())
        self._epoll.close()

    def __enter__(self) -> Epoll:
        self._epoll.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """(descriptor, events) of those that are ready. timeout: seconds; None or negative: no limit."""
        if timeout is not None and timeout < 0:
            timeout = None
        was_open = not self._epoll.closed
        try:
            return wait_until(lambda: self._epoll.poll(0, maxevents), lambda: [(self._epoll.fileno(), "r")], timeout)
        except ValueError:
            if was_open and self._epoll.closed:
                return []
            raise


# What subprocess and multiprocessing wait with, whether selectors' own are patched or not.
Selector: Any = type(
    "Selector",
    (getattr(selectors, "PollSelector", selectors.SelectSelector),),
    {"__module__": __name__, "_selector_cls": Poll, "_select": staticmethod(select)},
)


def install(registry: Registry) -> None:
    """Replaces select.select, poll and epoll, and what selectors took of them."""
    registry.replace(module, "select", select)
    registry.replace(selectors.SelectSelector, "_select", staticmethod(select))
    if _poll is not None:
        registry.replace(module, "poll", Poll)
        registry.replace(selectors.PollSelector, "_selector_cls", Poll)
    if _epoll is not None:
        registry.replace(module, "epoll", Epoll)
        registry.replace(selectors.EpollSelector, "_selector_cls", Epoll)
