"""Libraries that wait in C of their own, and can be told not to."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from ecru import _native
from ecru._patch._imports import after_import
from ecru._patch._registry import Registry

_PSYCOPG = "PSYCOPG_WAIT_FUNC"


def install(registry: Registry) -> None:
    """psycopg: a function of its that waits by select.poll, unless the user has chosen one. psycopg2: a callback.
    sqlite3: classes that wait for locks.
    """
    after_import(registry, "sqlite3", lambda module: _patch_sqlite(registry, module))
    after_import(registry, "psycopg2.extensions", lambda module: _patch_psycopg2(registry, module))
    if _PSYCOPG in os.environ:
        return
    os.environ[_PSYCOPG] = "wait_poll"
    registry.on_undo(lambda: os.environ.pop(_PSYCOPG, None))


def _patch_sqlite(registry: Registry, package: ModuleType) -> None:
    from ecru._patch import _sqlite

    _sqlite.patch(registry, package)


def _patch_psycopg2(registry: Registry, extensions: ModuleType) -> None:
    if extensions.get_wait_callback() is not None:
        return

    def wait(connection: Any) -> None:
        """Parks until the server has done what it was asked."""
        while True:
            state = connection.poll()
            if state == extensions.POLL_OK:
                return
            if state not in (extensions.POLL_READ, extensions.POLL_WRITE):
                raise extensions.OperationalError(f"unknown state of the connection: {state}")
            _native.wait_fd(connection.fileno(), "r" if state == extensions.POLL_READ else "w")

    extensions.set_wait_callback(wait)
    registry.on_undo(lambda: extensions.set_wait_callback(None))
