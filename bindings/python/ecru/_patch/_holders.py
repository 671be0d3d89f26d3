"""Where programs still hold what was replaced, in places that are not changed: told by what the collector knows.

The heap is walked a fixed number of times, however much is found. What is met is asked for its type, never for its
__class__, which lazy objects make up, modules for nothing, since some are loaded when they are, and classes for nothing
that their metaclasses may answer or compare. Not found: what stands in a container within another one or in no module,
local variables, bound methods of replaced functions, and what C keeps for itself.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Collection, Iterator
from functools import partial
from types import CellType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

_HARMLESS = frozenset({"subprocess.Popen._internal_poll", "subprocess._del_safe"})  # their waitpid never waits
_WAIT_SELDOM = frozenset({"open"})  # of a file's name, which is its usual argument, it is as before
_WRAPPERS: tuple[Any, ...] = (staticmethod, classmethod, partial, MethodType)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)


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


def _place(kind: type) -> str:
    return f"{_of_class(kind, '__module__')}.{_of_class(kind, '__qualname__')}"


class Holders:
    """A search for those who hold something of `olds`, by whichever way of `_WRAPPERS`."""

    def __init__(self, olds: dict[int, tuple[Any, Any]], harmless: Collection[int]) -> None:
        """olds: (what was replaced, by what) by the former's id. harmless: ids of functions that were replaced, too."""
        self._olds = {
            number: old for number, (old, new) in olds.items() if old is not new and old.__name__ not in _WAIT_SELDOM
        }
        self._harmless = harmless
        classes = [old for old in self._olds.values() if isinstance(old, type)]
        self._classes = {id(old) for old in classes if old.__module__ != "_thread"}
        self._holders = {
            id(holder): holder for holder in gc.get_referrers(*self._olds.values()) if type(holder) is not FrameType
        }
        wrappers = [holder for holder in self._holders.values() if issubclass(type(holder), _WRAPPERS)]
        self._held = {number: old.__name__ for number, old in self._olds.items()}
        self._held.update((id(one), name) for one in wrappers if (name := self._of_wrapper(one)))

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
                    yield f"{module}.{name} has {self._held[id(value)]}"
                elif id(value) in self._holders and any(type(value) is kind for kind in _CONTAINERS):
                    names = self._names(list(value.values() if type(value) is dict else value))
                    if names:
                        yield f"{module}.{name} has {names}"

    def _in_objects(self) -> Iterator[str]:
        """Attributes; and objects of classes that were replaced."""
        modules = {id(namespace) for _, namespace in _namespaces()}
        dicts = [holder for number, holder in self._holders.items() if type(holder) is dict and number not in modules]
        for thing in (*gc.get_referrers(*dicts), *self._holders.values()):
            if issubclass(type(thing), (type, ModuleType, FunctionType, FrameType, CellType, *_WRAPPERS, *_CONTAINERS)):
                continue
            for name, value in dict.copy(attributes_of(thing)).items():
                if id(value) in self._held and not _is_ours(_place(type(thing))):
                    yield f"an object of {_place(type(thing))} has {self._held[id(value)]} as its {name}"
