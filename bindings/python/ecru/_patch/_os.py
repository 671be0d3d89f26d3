"""os: opening, reading and writing of what can be waited for, also by files, and waiting for children."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ecru import _native
from ecru._blocking import run_apart, with_the_callers_signals
from ecru._patch import _open
from ecru._patch._fifo import os_open
from ecru._patch._files import ATOMIC_BYTES
from ecru._patch._registry import Registry

P = ParamSpec("P")
R = TypeVar("R")

_read, _write, _readv, _writev, _close, _dup2 = os.read, os.write, os.readv, os.writev, os.close, os.dup2
_sendfile = os.sendfile
_waitpid, _wait3, _wait4, _waitid, _system = os.waitpid, os.wait3, os.wait4, os.waitid, os.system


def is_to_wait(fd: int) -> bool:
    """Whether who reads or writes it expects to wait: it is blocking, or only not because it was kept."""
    try:
        return os.get_blocking(fd) or _native.socket_is_kept(fd)
    except (OSError, TypeError, OverflowError):
        return False  # the call itself says what is wrong


def wait(fd: int, writes: bool) -> None:
    """Parks until it is ready."""
    if _native.socket_is_kept(fd):
        _native.socket_wait(fd, writes, None)
    else:
        _native.wait_fd(fd, "w" if writes else "r")


def read(fd: int, length: int, /) -> bytes:
    """As os.read."""
    if is_to_wait(fd):
        wait(fd, False)
    return _read(fd, length)


def readv(fd: int, buffers: Sequence[Any], /) -> int:
    """As os.readv."""
    if is_to_wait(fd):
        wait(fd, False)
    return _readv(fd, buffers)


def write(fd: int, data: Any, /) -> int:
    """As os.write: all of it, if the descriptor is a blocking one."""
    if not is_to_wait(fd):
        return _write(fd, data)
    with memoryview(data) as view, view.cast("B") as left:
        done = 0
        while True:
            wait(fd, True)
            done += _write(fd, left[done : done + ATOMIC_BYTES])
            if done >= len(left):
                return done


def writev(fd: int, buffers: Sequence[Any], /) -> int:
    """As os.writev."""
    return write(fd, b"".join(buffers)) if is_to_wait(fd) else _writev(fd, buffers)


def sendfile(out_fd: int, in_fd: int, offset: int | None, count: int, *more: Any, **options: Any) -> int:
    """As os.sendfile. What can be waited for and is not known to be a socket takes a little at a time."""
    if is_to_wait(out_fd) and not stat.S_ISREG(os.fstat(out_fd).st_mode):
        wait(out_fd, True)
        count = count if _native.socket_is_kept(out_fd) else min(count, ATOMIC_BYTES)
    return _sendfile(out_fd, in_fd, offset, count, *more, **options)


def close(fd: int) -> None:
    """As os.close: who waits for it gets OSError (EBADF)."""
    if isinstance(fd, int) and fd >= 0:
        _native.socket_end(fd)
    _close(fd)


def dup2(fd: int, fd2: int, inheritable: bool = True) -> int:
    """As os.dup2: who waits for what fd2 was gets OSError (EBADF)."""
    os.fstat(fd)  # else fd2 is left as it is
    if fd2 != fd and fd2 >= 0:
        _native.socket_end(fd2)
    return _dup2(fd, fd2, inheritable)


def _in_a_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """As what it waits for, a process, there may be any number of them."""
    return run_apart(partial(function, *args, **kwargs))


def is_running(pid: int) -> bool:
    """Whether it is a child that has yet to end. One that has is left to be waited for."""
    try:
        return _waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def wait_for_exit(pid: int, seconds: float | None = None) -> bool:
    """Parks until a child has ended, which is left to be waited for. Whether it has within so many seconds."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(_native.wait_fd(pidfd, "r", seconds))
    finally:
        close(pidfd)


def waitpid(pid: int, options: int, /) -> tuple[int, int]:
    """As os.waitpid."""
    if options & os.WNOHANG:
        return _waitpid(pid, options)
    if pid <= 0 or options:
        return _in_a_thread(_waitpid, pid, options)
    found = _waitpid(pid, os.WNOHANG)
    if found == (0, 0):
        wait_for_exit(pid)
        found = _waitpid(pid, 0)
    return found


def wait_any() -> tuple[int, int]:
    """As os.wait."""
    return waitpid(-1, 0)


def wait3(options: int) -> tuple[int, int, Any]:
    """As os.wait3."""
    return _wait3(options) if options & os.WNOHANG else _in_a_thread(_wait3, options)


def wait4(pid: int, options: int) -> tuple[int, int, Any]:
    """As os.wait4."""
    return _wait4(pid, options) if options & os.WNOHANG else _in_a_thread(_wait4, pid, options)


def waitid(idtype: int, ident: int, options: int, /) -> Any:
    """As os.waitid."""
    if options & os.WNOHANG:
        return _waitid(idtype, ident, options)
    return _in_a_thread(_waitid, idtype, ident, options)


def system(command: str) -> int:
    """As os.system."""
    return run_apart(with_the_callers_signals(_system, command))


def install(registry: Registry) -> None:
    """Replaces them."""
    functions: tuple[Callable[..., Any], ...] = (
        read,
        write,
        readv,
        writev,
        sendfile,
        close,
        dup2,
        waitpid,
        wait3,
        wait4,
        waitid,
        system,
    )
    for function in functions:
        registry.replace(os, function.__name__, function)
    registry.replace(os, "wait", wait_any)
    registry.replace(os, "open", os_open)
    _open.install(registry)
