"""Locks that were made before the patch: goroutines' take the place of free ones.

Everywhere or nowhere: were one replaced in some places only, there would be two, which exclude nobody. So all that has
a reference must be where something else can be put. Bound methods of a lock, which conditions have, and who holds it
around a fork, become its successor's, if they are in such places themselves.

Those that stay make the whole thread wait: free ones that cannot be replaced everywhere, and taken ones, since their
owners let go of them. Both are told, but for those that threading, concurrent.futures and importlib have for threads of
the system, which are theirs alone.
"""

from __future__ import annotations

import _thread
import gc
import importlib
import sys
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import BuiltinMethodType, CellType, FunctionType
from typing import Any

from ecru import _native
from ecru._patch._holders import attributes_of, can_be_set, classes, namespace_of, referrers, slots_of
from ecru._patch._registry import Registry

_LOCK, _RLOCK = type(_thread.allocate_lock()), _thread.RLock
_Change = Callable[[Any], object]


def install(registry: Registry) -> None:
    """Replaces what can be; the registry has the rest told."""
    objects = gc.get_objects()
    locks = [thing for thing in objects if type(thing) is _LOCK or type(thing) is _RLOCK]
    conditions = [thing for thing in objects if issubclass(type(thing), threading.Condition)]
    del objects
    free = {id(lock) for lock in locks if _is_free(lock)}
    taken = [lock for lock in locks if id(lock) not in free]
    locks = [lock for lock in locks if id(lock) in free]
    stay = _replace(locks)
    theirs = {id(lock) for lock in _of_threads(conditions)}
    for lock in (*stay, *taken):
        if id(lock) not in theirs:
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


def _replace(locks: list[Any]) -> list[Any]:
    """Everywhere, or not. Returns those that stay. Nobody else of us may have references to them."""
    around = referrers(locks)
    news = {id(lock): _like(lock) for lock in locks}
    methods = [one for one in around if type(one) is BuiltinMethodType]
    methods = [one for one in methods if hasattr(news[id(one.__self__)], one.__name__)]
    tuples = [one for one in around if type(one) is tuple]
    further = referrers([*methods, *tuples])
    ours = {id(one) for one in (locks, methods, tuples, around, further)}
    holders = [one for one in (*around, *further) if id(one) not in ours]
    places = _places_of([*locks, *methods], holders)
    functions = _with_defaults(tuples, holders)
    del around, further, holders
    methods = _all_in(places, methods)
    tuples = _all_in(functions, tuples)
    inside = Counter(id(one.__self__) for one in methods)
    inside.update(id(held) for one in tuples for held in one)
    gone = {id(lock) for lock, count in _references(locks) if count == len(places[id(lock)]) + inside[id(lock)]}
    news = {number: new for number, new in news.items() if number in gone}
    changes = [(change, new) for number, new in news.items() for change in places[number]]
    for method in methods:
        if id(method.__self__) in gone:
            method_of_new = getattr(news[id(method.__self__)], method.__name__)
            changes += [(change, method_of_new) for change in places[id(method)]]
    for change, new in changes:
        change(new)
    for function in chain.from_iterable(functions[id(one)] for one in tuples):
        function.__defaults__ = tuple(news.get(id(old), old) for old in function.__defaults__ or ())
    return [lock for lock in locks if id(lock) not in gone]


def _references(things: list[Any]) -> list[tuple[Any, int]]:
    """How many there are to each, but for the list's."""
    things.append(object())  # which only the list has
    *counts, ours = [sys.getrefcount(thing) for thing in things]
    things.pop()
    return [(thing, count - ours) for thing, count in zip(things, counts, strict=True)]


def _all_in(places: dict[int, list[Any]], things: list[Any]) -> list[Any]:
    """Those that are nowhere else."""
    return [thing for thing, count in _references(things) if count == len(places[id(thing)])]


def _with_defaults(tuples: list[Any], holders: Iterable[Any]) -> dict[int, list[FunctionType]]:
    """Functions that have one of the tuples as their defaults, by its id."""
    found: dict[int, list[FunctionType]] = defaultdict(list)
    ids = {id(one) for one in tuples}
    for holder in {id(one): one for one in holders if type(one) is FunctionType}.values():
        if id(holder.__defaults__) in ids:
            found[id(holder.__defaults__)].append(holder)
    return found


def _places_of(things: list[Any], holders: Iterable[Any]) -> dict[int, list[_Change]]:
    """What sets another thing in the places where they are, by their ids; has no reference to them."""
    found: dict[int, list[_Change]] = defaultdict(list)
    ids = {id(thing) for thing in things}
    in_classes: set[int] = set()
    for kind in classes():
        in_classes.update(map(id, gc.get_referents(namespace_of(kind))))
        for name, value in list(namespace_of(kind).items()) if can_be_set(kind) else ():
            if id(value) in ids:
                found[id(value)].append(_setting_of_class(kind, name))
    once = {id(one): one for holder in holders for one in (holder, attributes_of(holder))}
    for change, value in chain.from_iterable(_places(one) for number, one in once.items() if number not in in_classes):
        if id(value) in ids:
            found[id(value)].append(change)
    return found


def _places(holder: Any) -> Iterator[tuple[_Change, Any]]:
    """What in holder itself can be set anew: (by what, its value)."""
    kind = type(holder)
    if kind is CellType:
        yield lambda new: setattr(holder, "cell_contents", new), holder.cell_contents
    elif kind is list or kind is deque:
        for index, value in enumerate(list(holder)):
            yield _setting(holder, index), value
    elif kind is set:
        for value in list(holder):
            yield _swapping(holder, id(value)), value
    elif issubclass(kind, dict):
        for key, value in dict.copy(holder).items():
            yield _setting(holder, key), value
    for _, slot, value in slots_of(holder):
        yield _setting_slot(slot, holder), value


def _setting_of_class(kind: type, name: str) -> _Change:
    """By its own means: the interpreter remembers what its attributes are."""
    return lambda new: type.__setattr__(kind, name, new)


def _setting(container: Any, key: Any) -> _Change:
    base = dict if issubclass(type(container), dict) else type(container)
    return lambda new: base.__setitem__(container, key, new)


def _swapping(members: set[Any], number: int) -> _Change:
    def swap(new: Any) -> None:
        for old in [one for one in members if id(one) == number]:
            members.discard(old)
            members.add(new)

    return swap


def _setting_slot(slot: Any, thing: Any) -> _Change:
    return lambda new: slot.__set__(thing, new)


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
