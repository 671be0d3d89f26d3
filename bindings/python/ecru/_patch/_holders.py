"""Where programs still hold what was replaced, in places that are not changed: told by what the collector knows.

The heap is walked a fixed number of times, however much is found. What is met is asked for its type, never for its
__class__, which lazy objects make up, modules for nothing, since some are loaded when they are, and classes for nothing
that their metaclasses may answer or compare. Not found: what stands in a container within another one or in no module,
local variables of functions that run, bound methods of replaced functions, and what C keeps for itself. Of locks (see
_early_locks) what stands in containers within others, wherever these are, is found, too.
"""

from __future__ import annotations

import gc
import operator
import sys
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import partial
from types import (
    AsyncGeneratorType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

_HARMLESS = frozenset({"subprocess.Popen._internal_poll", "subprocess._del_safe"})  # their waitpid never waits
_WAIT_SELDOM = frozenset({"open"})  # of a file's name, which is its usual argument, it is as before
_WRAPPERS: tuple[Any, ...] = (staticmethod, classmethod, partial, MethodType)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_SUSPENDED = {GeneratorType: "gi_frame", CoroutineType: "cr_frame", AsyncGeneratorType: "ag_frame"}
_NESTED_MOST = 3
_HEAPTYPE, _IMMUTABLETYPE = 1 << 9, 1 << 8  # of C: Py_TPFLAGS_
_FEW = 50  # of so many things gc.get_referrers is faster


def _namespaces() -> Iterator[tuple[str, dict[str, Any]]]:
    """Of all modules, by their names."""
    for name, module in list(sys.modules.items()):
        if issubclass(type(module), ModuleType):
            yield str(name), vars(ModuleType)["__dict__"].__get__(module)


def foreign_namespaces() -> Iterator[tuple[str, dict[str, Any]]]:
    """All but ours."""
    return ((name, namespace) for name, namespace in _namespaces() if not _is_ours(name))


def _is_ours(name: object) -> bool:
    return str(name).split(".")[0] == "ecru"


def _module_of(thing: Any) -> Any:
    """Where a function or a class was written, which a wrapper's __module__ does not say."""
    if type(thing) is FunctionType:
        return thing.__globals__.get("__name__")
    return _of_class(thing, "__dict__").get("__module__")


def _of_class(kind: type, name: str) -> Any:
    """An attribute all classes have."""
    return vars(type)[name].__get__(kind)


def attributes_of(thing: Any) -> dict[str, Any]:
    """An object's own, which other threads may be writing."""
    try:
        names = object.__getattribute__(thing, "__dict__")
    except Exception:  # a property's: whatever it likes
        return {}
    return names if issubclass(type(names), dict) else {}


def namespace_of(kind: type) -> Any:
    """A class's own."""
    return _of_class(kind, "__dict__")


def can_be_set(kind: type) -> bool:
    """Whether a class's attributes can."""
    flags = _of_class(kind, "__flags__")
    return bool(flags & _HEAPTYPE and not flags & _IMMUTABLETYPE)


def classes() -> list[type]:
    """All there are."""
    found: dict[int, type] = {}
    new: dict[int, type] = {id(object): object}
    while new:
        found.update(new)
        below = {id(kind): kind for base in new.values() for kind in _of_class(base, "__subclasses__")()}
        new = {number: kind for number, kind in below.items() if number not in found}
    return list(found.values())


def slots_of(thing: Any) -> Iterator[tuple[str, Any, Any]]:
    """Those of an object that are set: (name, descriptor, value)."""
    for kind in _of_class(type(thing), "__mro__"):
        names = namespace_of(kind)
        for name, slot in list(names.items()) if "__slots__" in names else ():  # else it is one of C
            if type(slot) is MemberDescriptorType:
                with suppress(AttributeError):  # it is not set
                    yield name, slot, slot.__get__(thing)


def _place(kind: type) -> str:
    return f"{_of_class(kind, '__module__')}.{_of_class(kind, '__qualname__')}"


def referrers(things: list[Any]) -> list[Any]:
    """Who has a reference to some; not this list, nor the arguments' tuple, which is one where there is no GIL."""
    found = _referrers_of_many(things) if len(things) > _FEW else gc.get_referrers(*things) if things else []
    return [one for one in found if one is not things and not (type(one) is tuple and _is_of(one, things))]


def _referrers_of_many(things: list[Any]) -> list[Any]:
    """In a time that does not grow with their number: gc.get_referrers compares each with all there is."""
    ids = {id(thing) for thing in things}
    return [one for one in gc.get_objects() if not ids.isdisjoint(map(id, gc.get_referents(one)))]


def _is_of(several: tuple[Any, ...], things: list[Any]) -> bool:
    return len(several) == len(things) and all(map(operator.is_, several, things))


def _holders_of(things: list[Any], *ours: Any) -> dict[int, Any]:
    """The same, by their ids; not our own containers."""
    without = {id(one) for one in ours}
    return {id(one): one for one in referrers(things) if type(one) is not FrameType and id(one) not in without}


class Holders:
    """A search for those who hold something of `olds`, by whichever way of `_WRAPPERS`, or what was kept."""

    def __init__(
        self, olds: dict[int, tuple[Any, Any]], harmless: Collection[int], kept: list[Any], words: list[str]
    ) -> None:
        """olds: (what was replaced, by what) by the former's id. harmless: ids of functions that were replaced, too.

        kept: what has no name; words: what to call each. Of these, what is in containers within others is found, too.
        """
        self._olds = {
            number: old for number, (old, new) in olds.items() if old is not new and old.__name__ not in _WAIT_SELDOM
        }
        self._harmless = harmless
        types = [old for old in self._olds.values() if isinstance(old, type)]
        self._classes = {id(old) for old in types if old.__module__ != "_thread"}
        self._holders = _holders_of([*self._olds.values(), *kept], kept)
        self._held = {number: old.__name__ for number, old in self._olds.items()}
        self._hold_wrappers()
        self._kept = {id(one) for one in kept}
        if kept:
            self._hold_nested({id(one): what for one, what in zip(kept, words, strict=True)})

    def _hold_wrappers(self) -> None:
        for one in self._holders.values():
            if issubclass(type(one), _WRAPPERS) and (name := self._of_wrapper(one)):
                self._held[id(one)] = name

    def _hold_nested(self, kept: dict[int, str]) -> None:
        """Containers of what was kept are as good as that, and so on."""
        self._held.update(kept)
        modules = {id(namespace) for _, namespace in _namespaces()}
        for _ in range(_NESTED_MOST):
            around = [
                one
                for number, one in self._holders.items()
                if number not in kept and number not in modules and issubclass(type(one), (*_CONTAINERS, partial))
            ]
            inside = [(one, kept[id(held)]) for one in around for held in gc.get_referents(one) if id(held) in kept]
            kept.update((id(one), what) for one, what in inside)
            self._held.update(kept)
            nested = list({id(one): one for one, _ in inside}.values())
            del around, inside
            if not nested:
                return
            self._holders.update(_holders_of(nested, self._holders))

    def _of_wrapper(self, wrapper: Any) -> str:
        function = wrapper.func if issubclass(type(wrapper), partial) else wrapper.__func__
        return self._olds[id(function)].__name__ if id(function) in self._olds else ""

    def describe(self) -> list[str]:
        """What each of them is, and has."""
        found = [*self._in_modules(), *self._in_objects()]
        kinds = {id(FunctionType), *self._classes}
        for thing in [thing for thing in gc.get_objects() if id(type(thing)) in kinds or issubclass(type(thing), type)]:
            if id(type(thing)) in self._classes:
                found.append(f"a {_place(type(thing))} was made")
            elif not _is_ours(_module_of(thing)) and id(thing) not in self._harmless:
                found += self._in_function(thing) if type(thing) is FunctionType else self._in_class(thing)
        return sorted(set(found))

    def _names(self, values: Collection[Any]) -> str:
        return ", ".join(sorted({self._held[id(value)] for value in values if id(value) in self._held}))

    def _in_function(self, function: FunctionType) -> Iterator[str]:
        place = f"{function.__module__}.{function.__qualname__}"
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        if (names := self._names(defaults)) and place not in _HARMLESS:
            yield f"{place} has {names} as a default"
        cells = [cell.cell_contents for cell in function.__closure__ or () if id(cell) in self._holders]
        if names := self._names(cells):
            yield f"{place} has {names} in its closure"

    def _in_class(self, kind: type) -> Iterator[str]:
        for name, value in list(_of_class(kind, "__dict__").items()):
            if id(value) in self._held and _place(kind) not in _HARMLESS:
                yield f"{_place(kind)} has {self._held[id(value)]} as its {name}"
        for base in _of_class(kind, "__bases__"):
            if id(base) in self._classes:
                yield f"{_place(kind)} is derived from {base.__name__}"

    def _in_modules(self) -> Iterator[str]:
        for key, namespace in foreign_namespaces():
            module = namespace.get("__name__", key)
            for name, value in list(namespace.items()):
                if id(value) in self._held and id(value) not in self._olds:
                    yield f"{module}.{name} {'is' if id(value) in self._kept else 'has'} {self._held[id(value)]}"
                elif id(value) in self._holders and any(type(value) is kind for kind in _CONTAINERS):
                    names = self._names([*value, *value.values()] if type(value) is dict else list(value))
                    if names:
                        yield f"{module}.{name} has {names}"

    def _in_objects(self) -> Iterator[str]:
        """Attributes; and objects of classes that were replaced."""
        modules = {id(namespace) for _, namespace in _namespaces()}
        dicts = [holder for number, holder in self._holders.items() if type(holder) is dict and number not in modules]
        for thing in (*referrers(dicts), *self._holders.values()):
            if issubclass(type(thing), (type, ModuleType, FunctionType, FrameType, CellType, *_WRAPPERS, *_CONTAINERS)):
                continue
            yield from self._in_object(thing)

    def _in_object(self, thing: Any) -> Iterator[str]:
        slots = [(name, value) for name, _, value in slots_of(thing)]
        for name, value in [*dict.copy(attributes_of(thing)).items(), *slots]:
            if id(value) in self._held and not _is_ours(_place(type(thing))):
                yield f"an object of {_place(type(thing))} has {self._held[id(value)]} as its {name}"
        frame = next((getattr(thing, name) for kind, name in _SUSPENDED.items() if type(thing) is kind), None)
        if frame and (names := self._names(gc.get_referents(thing))):
            yield f"{frame.f_globals.get('__name__')}.{thing.__qualname__} has {names} as a local variable"
