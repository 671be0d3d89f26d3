"""Goroutines import as threads do: who needs a module that another one is importing waits until it is complete.

importlib tells who holds a module's lock by _thread.get_ident, which is one for all goroutines of a thread. It gets a
_thread of its own, where goroutines are threads; the module _thread stays what it is.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from ecru import _native


def install() -> None:
    """For all imports from now on. (Not before there are goroutines: the locks' first use would start the runtime.)"""
    bootstrap: Any = importlib._bootstrap
    if _native.implementation == "threads" or bootstrap._thread.get_ident is _native.get_ident:
        return
    threads = ModuleType("_thread")
    vars(threads).update(vars(bootstrap._thread))
    vars(threads).update(get_ident=_native.get_ident, allocate_lock=_native.Lock, RLock=_native.RLock)
    bootstrap._thread = threads
