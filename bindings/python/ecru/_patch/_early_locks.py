"""Locks that were made before the patch: goroutines' take the place of free ones, wherever they are held by name.

Those that stay make the whole thread wait: free ones where nothing can be put in their place, and taken ones, since
their owners let go of them. Both are told, but for those that threading, concurrent.futures and importlib have for
threads of the system, which are theirs alone.
"""

from __future__ import annotations

import _thread
import gc
import importlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import BuiltinMethodType, CellType, FrameType, FunctionType
from typing import Any

from ecru import _native
from ecru._patch._holders import attributes_of, classes, namespace_of, referrers, slots_of
from ecru._patch._registry import Registry

_LOCK, _RLOCK = type(_thread.allocate_lock()), _thread.RLock


def install(registry: Registry) -> None:
    """Replaces what can be; the registry has the rest told."""
    objects = gc.get_objects()
    locks = [thing for thing in objects if type(thing) is _LOCK or type(thing) is _RLOCK]
    conditions = [thing for thing in objects if issubclass(type(thing), threading.Condition)]
    del objects
    free = {id(lock): _like(lock) for lock in locks if _is_free(lock)}
    _replace_in_classes(free)
    stay = {id(lock) for lock in locks} - free.keys() | _replace(locks, free)
    for condition in conditions:
        _follow(condition)
    stay -= {id(lock) for lock in _of_threads(conditions)}
    for lock in locks:
        if id(lock) in stay:
            registry.keep(lock, _words(lock, id(lock) in free))


def _words(lock: Any, is_free: bool) -> str:
    return f"{'a' if is_free else 'a taken'} {'lock' if type(lock) is _LOCK else 'reentrant lock'}"


def _is_free(lock: Any) -> bool:
    if not lock.acquire(False):
        return False
    lock.release()
    return type(lock) is not _RLOCK or not lock._is_owned()  # type: ignore[attr-defined]


def _like(lock: Any) -> Any:
    return _native.RLock() if type(lock) is _RLOCK else _native.Lock()


def _replace_in_classes(news: dict[int, Any]) -> None:
    """By their own means: the interpreter remembers what their attributes are."""
    for kind in classes():
        for name, value in list(namespace_of(kind).items()):
            if id(value) in news:
                with suppress(TypeError):  # one of C, or one that cannot be changed
                    type.__setattr__(kind, name, news[id(value)])


def _replace(locks: list[Any], news: dict[int, Any]) -> set[int]:
    """Where locks are held. Returns the ids of those that are there afterwards."""
    left: set[int] = set()
    tuples = []
    for holder in referrers(locks):
        if type(holder) is tuple:
            tuples.append(holder)
        elif not issubclass(type(holder), (FrameType, BuiltinMethodType)):
            for change, value in list(_places(holder)):
                if id(value) in news:
                    change(news[id(value)])
            left.update(map(id, gc.get_referents(holder)))
    for stays in _replace_defaults(tuples, news):
        left.update(map(id, stays))
    return left & {id(lock) for lock in locks}


def _replace_defaults(tuples: list[tuple[Any, ...]], news: dict[int, Any]) -> list[tuple[Any, ...]]:
    """Of functions. Returns those tuples that are something else."""
    ids, changed = {id(one) for one in tuples}, set()
    for holder in referrers(tuples):
        olds = holder.__defaults__ if type(holder) is FunctionType else None
        if olds is not None and id(olds) in ids:
            changed.add(id(olds))
            holder.__defaults__ = tuple(news.get(id(old), old) for old in olds)
    return [one for one in tuples if id(one) not in changed]


def _places(holder: Any) -> Iterator[tuple[Callable[[Any], None], Any]]:
    """What in holder can be set anew: (by what, its value)."""
    kind = type(holder)
    if kind is CellType:
        yield lambda new: setattr(holder, "cell_contents", new), holder.cell_contents
    elif kind is list or kind is deque:
        for index, value in enumerate(list(holder)):
            yield _setting(holder, index), value
    elif kind is set:
        for value in list(holder):
            yield _swapping(holder, value), value
    else:
        names = holder if kind is dict else attributes_of(holder)
        for key, value in dict.copy(names).items():
            yield _setting(names, key), value
        for _, slot, value in slots_of(holder):
            yield _setting_slot(slot, holder), value


def _setting(container: Any, key: Any) -> Callable[[Any], None]:
    return lambda new: container.__setitem__(key, new)


def _swapping(members: set[Any], old: Any) -> Callable[[Any], None]:
    def swap(new: Any) -> None:
        members.discard(old)
        members.add(new)

    return swap


def _setting_slot(slot: Any, thing: Any) -> Callable[[Any], None]:
    def change(new: Any) -> None:
        with suppress(AttributeError, TypeError):  # of C, and not to be set
            slot.__set__(thing, new)

    return change


def _follow(condition: threading.Condition) -> None:
    """A condition has kept its lock's methods."""
    lock = condition._lock  # type: ignore[attr-defined]
    if not isinstance(lock, (_native.Lock, _native.RLock)):
        return
    for name in ("acquire", "release", "_release_save", "_acquire_restore", "_is_owned"):
        if name in vars(condition):
            setattr(condition, name, getattr(lock, name))


def _of_threads(conditions: list[Any]) -> Iterator[Any]:
    """What threads of the system wait for by themselves: conditions and imports; and, up to 3.12, their ends."""
    for condition in conditions:
        yield from list(attributes_of(condition).get("_waiters", ()))
    for thread in threading.enumerate():
        yield getattr(thread, "_tstate_lock", None)
    bootstrap: Any = importlib._bootstrap
    for reference in list(bootstrap._module_locks.values()):
        of_import = attributes_of(reference())
        yield of_import.get("lock")
        wakeup = of_import.get("wakeup")
        yield from list(wakeup) if type(wakeup) is list else [wakeup]
