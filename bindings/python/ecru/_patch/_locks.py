"""Locks that were made before the patch."""

from __future__ import annotations

import _thread
import gc
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import CellType
from typing import Any

from ecru import _native
from ecru._blocking import start_thread
from ecru._patch._holders import attributes_of
from ecru._patch._registry import Registry

_LOCK, _RLOCK = type(_thread.allocate_lock()), _thread.RLock


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
    """Puts goroutines' locks in the place of free ones, wherever they are held by name.

    One that is taken stays: its owner lets go of it.
    """
    _replace_free()
    for thread in threading.enumerate():
        _follow_end(thread)


def _replace_free() -> None:
    objects = gc.get_objects()
    locks = [thing for thing in objects if type(thing) is _LOCK or type(thing) is _RLOCK]
    news = {id(lock): (lock, _like(lock)) for lock in locks if _is_free(lock)}
    conditions = [thing for thing in objects if issubclass(type(thing), threading.Condition)]
    del objects, locks
    for holder in gc.get_referrers(*(lock for lock, _ in news.values())) if news else ():
        for place, key, value in list(_places(holder)):
            if id(value) in news:
                place[key] = news[id(value)][1]
    for condition in conditions:
        _follow(condition)


def _is_free(lock: Any) -> bool:
    if not lock.acquire(False):
        return False
    lock.release()
    return type(lock) is not _RLOCK or not lock._is_owned()  # type: ignore[attr-defined]


def _like(lock: Any) -> Any:
    return _native.RLock() if type(lock) is _RLOCK else _native.Lock()


class _Cell:
    """A closure's variable, as a mapping of one."""

    def __init__(self, cell: CellType) -> None:
        self._cell = cell

    def __setitem__(self, key: Any, value: Any) -> None:
        self._cell.cell_contents = value


def _places(holder: Any) -> Iterator[tuple[Any, Any, Any]]:
    """What in holder can be set anew: (mapping or list, key, value)."""
    if type(holder) is CellType:
        yield _Cell(holder), 0, holder.cell_contents
    elif type(holder) is list:
        for index, value in enumerate(holder):
            yield holder, index, value
    else:
        names = holder if type(holder) is dict else attributes_of(holder)
        for key, value in dict.copy(names).items():
            yield names, key, value


def _follow(condition: threading.Condition) -> None:
    """A condition has kept its lock's methods."""
    lock = condition._lock  # type: ignore[attr-defined]
    if not isinstance(lock, (_native.Lock, _native.RLock)):
        return
    for name in ("acquire", "release", "_release_save", "_acquire_restore", "_is_owned"):
        if name in vars(condition):
            setattr(condition, name, getattr(lock, name))


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
