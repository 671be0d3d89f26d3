"""open of a descriptor, and with it os.fdopen, of a pipe, a socket or a terminal: its file parks where io's would wait.

Of a path it is the original: what is opened by name waits for the disk, or, a FIFO, for the other side.
"""

from __future__ import annotations

import builtins
import io
import os
import stat
from typing import Any

from ecru._patch._buffered import Reader, Writer
from ecru._patch._files import WaitingIO
from ecru._patch._registry import Registry

_open = io.open


def _waits(fd: int) -> bool:
    """Whether who reads or writes it may have to wait, and expects to."""
    try:
        mode = os.fstat(fd).st_mode
        return (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)) and os.get_blocking(fd)
    except (OSError, OverflowError):
        return False  # the call itself says what is wrong


def open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """As the builtin."""
    if not isinstance(file, int) or not _waits(file):
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    try:
        like = _open(file, mode, buffering, encoding, errors, newline, False, opener)
    except Exception:
        like = None  # the original says what is wrong, and closes what it would close
    if like is None or isinstance(getattr(like, "buffer", like), io.BufferedRandom):  # what seeks never waits
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    raw = WaitingIO(file, mode.translate({ord("b"): None, ord("t"): None}), closefd)
    if isinstance(like, io.FileIO):
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    buffered = Reader(raw, size) if raw.readable() else Writer(raw, size)
    if not isinstance(like, io.TextIOWrapper):
        return buffered
    text: Any = io.TextIOWrapper(buffered, like.encoding, like.errors, newline, like.line_buffering)
    text.mode = mode
    return text


def install(registry: Registry) -> None:
    """Replaces io's and builtins', which are one."""
    registry.replace(io, "open", open)
    registry.replace(builtins, "open", io.open)
