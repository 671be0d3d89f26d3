"""What was replaced by what, and how it is put back."""

from __future__ import annotations

from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from ecru._patch._holders import Holders, foreign_namespaces

_MISSING: Any = object()


class Builtin(staticmethod):  # type: ignore[type-arg]
    """A function in the place of a built-in one: as a class's attribute it takes no object, and it is pickled and
    copied by its place, where a process that is not patched finds the original.
    """

    def __init__(self, function: FunctionType, module: str, name: str) -> None:
        """module.name: its place."""
        super().__init__(function)
        self.__module__, self.__name__, self.__qualname__ = module, name, name

    def __reduce__(self) -> str:
        return self.__name__


class Registry:
    """Replacements in modules and classes, in their order."""

    def __init__(self) -> None:
        """Nothing is replaced."""
        self._done: list[tuple[dict[str, Any] | None, Any, str, Any, Any]] = []
        self._undo: list[Callable[[], object]] = []
        self._originals: dict[tuple[str, str], Any] = {}
        self._kept: list[Any] = []
        self._words: list[str] = []

    def keep(self, thing: Any, words: str) -> None:
        """Has rebind tell of who holds thing: it could not be replaced, and is to be called so."""
        self._kept.append(thing)
        self._words.append(words)

    def replace(self, owner: Any, name: str, new: Any) -> Any:
        """Makes owner.name (of a module or class) new; what it was is returned."""
        old = vars(owner).get(name, _MISSING)
        original = getattr(owner, name, None)
        if (
            isinstance(new, FunctionType)
            and isinstance(original, BuiltinFunctionType)
            and isinstance(owner, ModuleType)
        ):
            new = Builtin(new, owner.__name__, name)
        self._done.append((None, owner, name, old, new))
        key = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
        self._originals.setdefault((key, name), original)
        setattr(owner, name, new)
        return original

    def replace_here(self, module: ModuleType, name: str, new: Any) -> None:
        """The same for a module alone: others that hold what it was go on with that."""
        old = getattr(module, name)
        self._done.append((vars(module), None, name, old, new))
        self._originals.setdefault((module.__name__, name), old)
        setattr(module, name, new)

    def replace_if_there(self, owner: Any, name: str, new: Any) -> None:
        """The same, unless this interpreter or system has no such thing."""
        if hasattr(owner, name):
            self.replace(owner, name, new)

    def on_undo(self, function: Callable[[], object]) -> None:
        """Calls function when everything is put back."""
        self._undo.append(function)

    def original(self, module: str, name: str) -> Any:
        """What module.name was before; KeyError if it was not replaced."""
        return self._originals[module, name]

    def rebind(self) -> list[str]:
        """Gives modules that imported a replaced name before (`from time import sleep`) the new one.

        Returns what could not be changed: descriptions of defaults, closures, attributes and the like that hold an old
        one.
        """
        in_modules = [(old, new) for _, owner, _, old, new in self._done if isinstance(owner, ModuleType)]
        news = {id(old): (old, new) for old, new in in_modules if callable(old)}
        namespaces = [namespace for _, namespace in foreign_namespaces()]
        for namespace in namespaces:
            for name, value in list(namespace.items()):
                if id(value) in news and (new := news[id(value)][1]) is not value:
                    self._done.append((namespace, None, name, value, new))
                    namespace[name] = new
        replaced = {id(old) for *_, old, _ in self._done}
        kept, words, self._kept, self._words = self._kept, self._words, [], []
        return Holders(news, replaced, kept, words).describe() if news or kept else []

    def undo(self) -> None:
        """Puts everything back, the last first."""
        for namespace, owner, name, old, _ in reversed(self._done):
            if namespace is not None:
                namespace[name] = old
            elif old is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, old)
        for function in reversed(self._undo):
            function()
        self.__init__()  # type: ignore[misc]
