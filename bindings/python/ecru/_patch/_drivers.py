"""Libraries that wait in C of their own, and can be told not to."""

from __future__ import annotations

import os

from ecru._patch._registry import Registry

_PSYCOPG = "PSYCOPG_WAIT_FUNC"


def install(registry: Registry) -> None:
    """psycopg: a function of its that waits by select.poll, unless the user has chosen one."""
    if _PSYCOPG in os.environ:
        return
    os.environ[_PSYCOPG] = "wait_poll"
    registry.on_undo(lambda: os.environ.pop(_PSYCOPG, None))
