"""Modules that are patched when they are imported, since few programs do."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ecru._patch._registry import Registry


class _Loader:
    """A loader of one module, as another that is a class and loads many."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the others find, and has it patched after it ran."""

    def __init__(self) -> None:
        self.installs: dict[str, Callable[[ModuleType], None]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self.installs:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((one for one in found if one is not None), None)
        if spec is not None:
            self.follow(name, spec)
        return spec

    def follow(self, name: str, spec: ModuleSpec) -> None:
        """Has it patched after it ran."""
        if spec.loader is None:
            return
        loader: Any = _Loader(spec.loader) if isinstance(spec.loader, type) else spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            install = self.installs.pop(name, None)  # not before: who finds a module need not import it
            if install is not None:
                install(module)

        loader.exec_module = exec_module
        spec.loader = loader


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
