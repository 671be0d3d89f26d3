"""sys.stdin and input() park until something was typed or written.

The descriptor, which others share, stays as it is.
"""

from __future__ import annotations

import builtins
import io
import os
import stat
import sys

from ecru import _native
from ecru._patch._buffered import Reader
from ecru._patch._files import WaitingIO
from ecru._patch._registry import Registry

_input = builtins.input


def input(prompt: object = "", /) -> str:
    """As input(): at a terminal it is asked for a line once there is one."""
    if sys.stdin is not None and sys.stdin.isatty():
        print(prompt, end="", flush=True)
        _native.wait_fd(sys.stdin.fileno(), "r")
        return _input()
    return _input(prompt)


def _is_to_wait() -> bool:
    try:
        fd = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return fd == 0 and type(sys.stdin) is io.TextIOWrapper and not stat.S_ISREG(os.fstat(fd).st_mode)


def install(registry: Registry) -> None:
    """Replaces sys.stdin, if it is the system's and no file, and input."""
    if not _is_to_wait():
        return
    old = sys.stdin
    raw = WaitingIO(0, "rb", closefd=False)
    buffered = Reader(raw)
    registry.replace(
        sys, "stdin", io.TextIOWrapper(buffered, old.encoding, old.errors, line_buffering=bool(old.line_buffering))
    )
    registry.replace(builtins, "input", input)
