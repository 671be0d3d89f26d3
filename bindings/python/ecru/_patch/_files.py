"""Raw files of descriptors that others may share: they stay as they are, and are used when they are ready."""

from __future__ import annotations

import io
from typing import Any

from ecru import _native

ATOMIC_BYTES = 4096  # PIPE_BUF: what a pipe that can be written to has room for


class WaitingIO(io.FileIO):
    """Parks where FileIO would wait."""

    def readinto(self, buffer: Any, /) -> int:
        """Parks until there is something, or the end."""
        _native.wait_fd(self.fileno(), "r")
        return super().readinto(buffer) or 0

    def read(self, size: int | None = -1, /) -> bytes:
        """What is there, or all until the end."""
        if size is None or size < 0:
            return self.readall()
        _native.wait_fd(self.fileno(), "r")
        return super().read(size) or b""

    def readall(self) -> bytes:
        """All until the end."""
        return b"".join(iter(lambda: self.read(io.DEFAULT_BUFFER_SIZE), b""))

    def write(self, data: Any, /) -> int:
        """All of it."""
        with memoryview(data) as view, view.cast("B") as left:
            done = 0
            while True:
                _native.wait_fd(self.fileno(), "w")
                done += super().write(left[done : done + ATOMIC_BYTES]) or 0
                if done >= len(left):
                    return done

    def close(self) -> None:
        """Who waits for it gets OSError (EBADF)."""
        if not self.closed and self.closefd:
            _native.socket_end(self.fileno())
        super().close()
