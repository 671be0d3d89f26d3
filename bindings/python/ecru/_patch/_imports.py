"""Modules that are patched when they are imported, since few programs do."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ecru._finding import found_by_others, run_by
from ecru._patch._registry import Registry


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the others find, and has it patched after it ran."""

    def __init__(self) -> None:
        self.installs: dict[str, Callable[[ModuleType], None]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = found_by_others(self, name, path, target) if name in self.installs else None
        if spec is not None:
            self.follow(name, spec)
        return spec

    def follow(self, name: str, spec: ModuleSpec) -> None:
        """Has it patched after it ran."""

        def run(loader: Any, module: ModuleType) -> None:
            loader.exec_module(module)
            install = self.installs.pop(name, None)  # not before: who finds a module need not import it
            if install is not None:
                install(module)

        run_by(spec, run)


_finder = _Finder()


def _is_lazy(module: ModuleType) -> bool:
    """Whether it is one of importlib.util.LazyLoader's, which is loaded when it is asked for anything."""
    makes = sys.modules.get("importlib.util")
    return makes is not None and issubclass(type(module), makes._LazyModule)


def when_imported(name: str, install: Callable[[ModuleType], None]) -> None:
    """Calls install(module) once module name is there, which it may be already."""
    module = sys.modules.get(name)
    if module is None:
        at_next_import(name, install)
    elif _is_lazy(module):
        at_next_import(name, install)
        _finder.follow(name, ModuleType.__getattribute__(module, "__spec__"))
    else:
        install(module)


def at_next_import(name: str, install: Callable[[ModuleType], None]) -> None:
    """Calls install(module) when module name is imported, which it may have been before."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _finder.installs[name] = install


def after_import(registry: Registry, name: str, install: Callable[[ModuleType], None]) -> None:
    """The same, until everything is put back."""
    when_imported(name, install)
    registry.on_undo(lambda: _finder.installs.pop(name, None))


def after_next_import(registry: Registry, name: str, install: Callable[[ModuleType], None]) -> None:
    """at_next_import, until everything is put back."""
    at_next_import(name, install)
    registry.on_undo(lambda: _finder.installs.pop(name, None))
