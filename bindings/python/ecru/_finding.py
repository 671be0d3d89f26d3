"""What stands in front of the finders and loaders of modules shares: others find a module, and it runs in our way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class LoaderOf:
    """A loader that was found, which other modules may share, but for how it runs this one."""

    def __init__(self, found: Any, run: Callable[[Any, ModuleType], None]) -> None:
        """run(found, module): in the place of found.exec_module(module)."""
        self._found, self._run = found, run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    def exec_module(self, module: ModuleType) -> None:
        """From here on the module is its own loader's."""
        ModuleType.__getattribute__(module, "__spec__").loader = self._found
        module.__loader__ = self._found
        self._run(self._found, module)


def found_by_others(
    finder: MetaPathFinder, name: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    """What those after and before it in sys.meta_path find."""
    others = (
        other for other in sys.meta_path if other is not finder and hasattr(other, "find_spec")
    )  # old ones have not
    found = (other.find_spec(name, path, target) for other in others)
    return next((spec for spec in found if spec is not None), None)


def run_by(spec: ModuleSpec, run: Callable[[Any, ModuleType], None]) -> None:
    """Has the module run by run(loader, module); one without a loader does not run."""
    if spec.loader is not None:
        loader: Any = LoaderOf(spec.loader, run)
        spec.loader = loader
