"""open of a descriptor, and with it os.fdopen, of a pipe, a socket or a terminal, and of a FIFO's name: the file parks
where io's would wait. Of any other name it is the original.
"""

from __future__ import annotations

import builtins
import io
import os
import stat
from typing import Any

from ecru._patch._buffered import Reader, Writer
from ecru._patch._fifo import is_fifo, os_open
from ecru._patch._files import WaitingIO
from ecru._patch._registry import Registry

_open = io.open
_FLAGS = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}


def _waits(fd: int) -> bool:
    """Whether who reads or writes it may have to wait, and expects to."""
    try:
        mode = os.fstat(fd).st_mode
        return (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)) and os.get_blocking(fd)
    except (OSError, OverflowError):
        return False  # the call itself says what is wrong


def _fifo(
    path: Any,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
    opener: Any,
) -> Any:
    """The file of a FIFO, opened for one of reading and writing."""
    _open(os.devnull, mode, buffering, encoding, errors, newline).close()  # says what is wrong before it waits
    flags = next(_FLAGS[letter] for letter in mode if letter in _FLAGS) | os.O_CLOEXEC
    fd = os_open(path, flags, 0o666) if opener is None else opener(path, flags)
    file = open(fd, mode, buffering, encoding, errors, newline)
    raw = getattr(file, "buffer", file)
    getattr(raw, "raw", raw).name = path
    return file


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
    if closefd and isinstance(mode, str) and "x" not in mode and "+" not in mode and is_fifo(file):
        return _fifo(os.fspath(file), mode, buffering, encoding, errors, newline, opener)
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
