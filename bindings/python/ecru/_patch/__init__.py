"""ecru.patch(): the standard library without a colour."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from ecru import _native
from ecru._patch._registry import Registry

# In the order they are installed; each is a module of this package.
_FEATURES = (
    "thread",
    "time",
    "select",
    "dns",
    "socket",
    "ssl",
    "queue",
    "os",
    "subprocess",
    "signal",
    "stdin",
    "multiprocessing",
    "drivers",
)


class EarlyImportWarning(RuntimeWarning):
    """Something was kept before ecru.patch() where it cannot be replaced: it still waits for the whole thread."""


class Patch:
    """Makes the standard library park goroutines instead of threads: unmodified libraries then run concurrently."""

    def __init__(self) -> None:
        """Nothing is patched."""
        self._registry = Registry()
        self._installed: list[str] = []

    def __call__(
        self,
        *,
        thread: bool = True,
        time: bool = True,
        select: bool = True,
        dns: bool = True,
        socket: bool = True,
        ssl: bool = True,
        queue: bool = True,
        os: bool = True,
        subprocess: bool = True,
        signal: bool = True,
        stdin: bool = True,
        multiprocessing: bool = True,
        drivers: bool = True,
    ) -> None:
        """Patches what is not False and not patched yet. Call it first, before other imports, in the main thread.

        thread: _thread and threading: threads are goroutines, locks park. With it concurrent.futures' threads are, too.
        time: sleep. select: with selectors. dns: getaddrinfo and its like, in a pool of threads. socket, ssl: the
        classes themselves. queue: SimpleQueue. os: read, write and close, wait and its like, system; fdopen, open of a
        descriptor, and of a FIFO. subprocess: pipes and wait. signal: pause, sigwait and its like; what handlers raise
        is raised in the main thread. stdin: sys.stdin and input. multiprocessing: semaphores and connections. drivers:
        psycopg waits in Python, where it would in C, psycopg2 by a callback, and sqlite3 parks while a database is
        locked.

        What modules imported before is changed (`from time import sleep`). EarlyImportWarning tells of what is not:
        defaults, closures, attributes, what stands in a container or a partial of a module, classes derived from
        replaced ones and their objects; of locks those that are taken, and those that are in a tuple or the like, too.
        Nothing tells of containers of other things within others, local variables and bound methods.
        RuntimeError: not in the main thread.

        Where goroutines are threads (ecru.implementation) nothing is replaced: what waits makes nobody else wait. The
        program's own threads may start goroutines from then on, as if they were some.
        """
        wanted = locals()
        if _native.implementation == "threads":
            _adopt_threads()
            return
        missing = [name for name in _FEATURES if wanted[name] and name not in self._installed]
        if not missing:
            return
        if not _native.is_home():
            _become_home()
        for name in missing:
            importlib.import_module(f"ecru._patch._{name}").install(self._registry)
            self._installed.append(name)
        for holder in self._registry.rebind():
            warnings.warn(f"{holder}: patch before it is imported", EarlyImportWarning, stacklevel=2)

    def undo(self) -> None:
        """Puts everything back, for tests.

        Threads that were started meanwhile stay goroutines, locks stay as they are.
        """
        self._registry.undo()
        self._installed.clear()

    def patched(self) -> frozenset[str]:
        """The names of what is patched, as of the call's parameters."""
        return frozenset(self._installed)

    def get_original(self, module: str, name: str) -> Any:
        """module.name as it was before it was patched, or is."""
        try:
            return self._registry.original(module, name)
        except KeyError:
            return getattr(importlib.import_module(module), name)


def _become_home() -> None:
    """As the main thread does where it waits; others may not. RuntimeError: it is one of those.

    By no goroutine: that starts workers where there is no GIL, and 3.13's collector finds nothing any more that was
    there when the first thread was started.
    """
    _native.yield_()
    if not _native.is_home():
        raise RuntimeError("this thread runs no goroutines: only the main thread is patched")


def _adopt_threads() -> None:
    from ecru._threads._home import adopt_threads

    adopt_threads()


patch = Patch()
patched = patch.patched
get_original = patch.get_original
