"""Modules that import much, and are loaded when they are first asked for something.

Until then an object stands for the module in its package; importing it, by whatever way, makes that object the module.
So nobody is left with a stand-in, and the import system sees to threads, goroutines and failures as ever. (Why not a
`__getattr__` of the package: from 3.11 on the interpreter looks all names of a module that has one up anew each time.)
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ecru._finding import found_by_others, run_by

_ASKED_BY_IMPORTS = frozenset({"__class__", "__name__", "__spec__"})


class _OnDemand(ModuleType):
    """Not imported yet, or being imported: then who else asks waits until it is."""

    def __getattribute__(self, name: str) -> Any:
        if name not in _ASKED_BY_IMPORTS:
            import_module(self.__name__)
        return ModuleType.__getattribute__(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        import_module(self.__name__)
        ModuleType.__setattr__(self, name, value)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the others find, and has it run in the object that waits for it."""

    def __init__(self) -> None:
        self.waiting: dict[str, _OnDemand] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = found_by_others(self, name, path, target) if name in self.waiting else None
        if spec is not None:
            run_by(spec, self._run)
        return spec

    def _run(self, loader: Any, made: ModuleType) -> None:
        name = made.__name__
        module = self.waiting[name]
        ModuleType.__getattribute__(module, "__dict__").update(vars(made))
        sys.modules[name] = module
        loader.exec_module(module)
        ModuleType.__setattr__(module, "__class__", ModuleType)
        del self.waiting[name]


_finder = _Finder()


def stand_in(package: str, name: str) -> ModuleType:
    """What stands for package.name until that is imported, and is it from then on."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    full = f"{package}.{name}"
    return sys.modules.get(full) or _finder.waiting.setdefault(full, _OnDemand(full))
