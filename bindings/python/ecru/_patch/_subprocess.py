"""subprocess: pipes of children park, and so does waiting for them: by a pidfd, without threads or SIGCHLD."""

from __future__ import annotations

import io
import subprocess
import warnings
from types import ModuleType
from typing import Any

from ecru._patch import _os
from ecru._patch._buffered import Reader, Writer
from ecru._patch._files import WaitingIO
from ecru._patch._registry import Registry
from ecru._patch._select import Selector

_wait = subprocess.Popen._wait  # type: ignore[attr-defined]


def open_pipe(fd: int, mode: str, bufsize: int = -1) -> io.RawIOBase | Reader | Writer:
    """As io.open of a pipe's end in binary."""
    raw = WaitingIO(fd, mode)
    if bufsize == 0:
        return raw
    if bufsize == 1:
        text = "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    size = bufsize if bufsize > 1 else io.DEFAULT_BUFFER_SIZE
    return Reader(raw, size) if mode == "rb" else Writer(raw, size)


def wait(self: subprocess.Popen[Any], timeout: float | None) -> Any:
    """As Popen._wait."""
    seconds = None if timeout is None else max(timeout, 0)
    if self.returncode is None and _os.is_running(self.pid) and not _os.wait_for_exit(self.pid, seconds):
        assert timeout is not None
        raise subprocess.TimeoutExpired(self.args, timeout)
    return _wait(self, timeout)


def install(registry: Registry) -> None:
    """Gives subprocess such pipes and such a selector, and Popen such a wait."""
    names = ModuleType("io", io.__doc__)
    vars(names).update(vars(io), open=open_pipe)
    registry.replace(subprocess, "io", names)
    registry.replace(subprocess.Popen, "_wait", wait)
    registry.replace_here(subprocess, "_PopenSelector", Selector)
