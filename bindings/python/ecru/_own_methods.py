"""Calls of what a class inherits from a type in C, as cheap as those of the type's own.

CPython (3.11 on) specialises a call of a method in C only if its descriptor belongs to the very class of the object,
not to a base of it.
"""

from __future__ import annotations

from types import MethodDescriptorType
from typing import TypeVar

from ecru import _native

_Class = TypeVar("_Class", bound=type)


def own_methods(cls: _Class) -> _Class:
    """A decorator: the class gets descriptors of its own for the methods in C that it inherits."""
    if _native.implementation == "threads":
        return cls
    for base in cls.__mro__[1:-1]:
        for name, method in vars(base).items():
            if isinstance(method, MethodDescriptorType) and getattr(cls, name) is method:
                setattr(cls, name, _native.method_of(cls, method))
    return cls
