"""Locks of goroutines in the place of threads': those that stand for the ends of threads."""

from __future__ import annotations

import _thread
import threading
from contextlib import suppress
from typing import Any

from ecru import _native
from ecru._blocking import start_thread
from ecru._patch import _early_locks
from ecru._patch._registry import Registry

_LOCK = type(_thread.allocate_lock())


class Sentinel:
    """What stands for a thread's end; up to 3.12 threading takes it for a lock that the thread holds while it runs.

    Any number may wait for the end at once. Who only waits does not hold it afterwards: it would be in the next one's
    hands by the time the first looks whether it is free.
    """

    __slots__ = ("__weakref__", "_end", "_held")

    def __init__(self) -> None:
        """Nobody holds it."""
        self._at_fork_reinit()

    def _at_fork_reinit(self) -> None:
        self._end = _native.Lock()  # free once the thread has ended
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As a lock's: the first to hold it is the thread."""
        try:
            taken = self._end.acquire(blocking, timeout)
        except BaseException:  # what the handler of a signal raises, maybe when it has been acquired
            if not self._held:
                self._pass_on()
            raise
        self._held = self._held or taken
        return taken

    def wait(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Whether nobody holds it, now or within so many seconds."""
        try:
            return not self._held or self._end.acquire(blocking, timeout)
        finally:
            if not self._held:  # also after an error
                self._pass_on()

    def release(self) -> None:
        """The thread has ended. Nothing by those who waited for that."""
        if self._held:
            self._held = False
            self._pass_on()

    def _pass_on(self) -> None:
        """Frees it for the next, whoever has acquired it: it is over."""
        with suppress(RuntimeError):  # another one has
            self._end.release()

    def locked(self) -> bool:
        """Whether the thread runs, or another holds it."""
        return self._held


def install(registry: Registry) -> None:
    """Puts goroutines' locks in the place of those made before."""
    _early_locks.install(registry)
    for thread in threading.enumerate():
        _follow_end(thread)


def _follow_end(thread: Any) -> None:
    """A thread of the system that runs already, up to 3.12: a lock that goroutines may wait for follows its own, or,
    of the main thread, takes its place.
    """
    old = getattr(thread, "_tstate_lock", None)
    if type(old) is not _LOCK:
        return
    new = thread._tstate_lock = Sentinel()
    new.acquire()
    _swap(threading._shutdown_locks, old, new)  # type: ignore[attr-defined]
    if thread is threading.main_thread():  # threading itself lets go of it
        return

    def follow() -> None:
        old.acquire()
        new.release()

    start_thread(follow)


def _swap(locks: set[Any], old: Any, new: Any) -> None:
    if old in locks:
        locks.discard(old)
        locks.add(new)
