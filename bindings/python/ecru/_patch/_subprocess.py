"""subprocess: pipes of children park, and so does waiting for them: by a pidfd, without threads or SIGCHLD."""

from __future__ import annotations

import io
import subprocess
import warnings
from types import ModuleType
from typing import Any

from ecru import _native
from ecru._patch import _os
from ecru._patch._registry import Registry

_wait = subprocess.Popen._wait  # type: ignore[attr-defined]


class PipeIO(io.FileIO):
    """A pipe's end that nobody else has: it is made non-blocking, and waits by parking."""

    def __init__(self, fd: int, mode: str) -> None:
        """Takes fd."""
        super().__init__(fd, mode)
        _native.socket_keep(fd)

    def readinto(self, buffer: Any, /) -> int:
        """Parks until there is something, or the end."""
        while (got := super().readinto(buffer)) is None:
            _native.socket_wait(self.fileno(), False, None)
        return got

    def read(self, size: int | None = -1, /) -> bytes:
        """What is there, or all until the end."""
        if size is None or size < 0:
            return self.readall()
        while (got := super().read(size)) is None:
            _native.socket_wait(self.fileno(), False, None)
        return got

    def readall(self) -> bytes:
        """All until the end."""
        return b"".join(iter(lambda: self.read(io.DEFAULT_BUFFER_SIZE), b""))

    def write(self, data: Any, /) -> int:
        """All of it."""
        with memoryview(data) as view, view.cast("B") as left:
            done = 0
            while True:
                sent = super().write(left[done:])
                done += sent or 0
                if sent is not None and done >= len(left):
                    return done
                if sent is None:
                    _native.socket_wait(self.fileno(), True, None)

    def close(self) -> None:
        """Who waits for it gets OSError (EBADF)."""
        if not self.closed:
            _native.socket_end(self.fileno())
        super().close()


def open_pipe(fd: int, mode: str, bufsize: int = -1) -> io.RawIOBase | io.BufferedReader | io.BufferedWriter:
    """As io.open of a pipe's end in binary."""
    raw = PipeIO(fd, mode)
    if bufsize == 0:
        return raw
    if bufsize == 1:
        text = "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    size = bufsize if bufsize > 1 else io.DEFAULT_BUFFER_SIZE
    return io.BufferedReader(raw, size) if mode == "rb" else io.BufferedWriter(raw, size)


def wait(self: subprocess.Popen[Any], timeout: float | None) -> Any:
    """As Popen._wait."""
    if timeout is not None and self.returncode is None and not _os.wait_for_exit(self.pid, max(timeout, 0)):
        raise subprocess.TimeoutExpired(self.args, timeout)
    return _wait(self, timeout)


def install(registry: Registry) -> None:
    """Gives subprocess such pipes, and Popen such a wait."""
    names = ModuleType("io", io.__doc__)
    vars(names).update(vars(io), open=open_pipe)
    registry.replace(subprocess, "io", names)
    registry.replace(subprocess.Popen, "_wait", wait)
