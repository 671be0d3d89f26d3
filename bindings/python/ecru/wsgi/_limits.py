"""What a client may send and take, and how it fails."""

from __future__ import annotations

import errno
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a client may send, in bytes and fields, and the seconds it may take. None: no limit."""

    head_bytes: int = 65536
    fields: int = 100
    body_bytes: int | None = None
    head_seconds: float | None = 30.0  # for the first request's head, the TLS handshake before
    idle_seconds: float | None = 75.0  # for each further head, the pause before included
    body_seconds: float | None = 60.0  # for each piece of a body
    send_seconds: float | None = 60.0  # for each piece of a response
    connections: int | None = None


class Refused(Exception):
    """A request that gets an error for an answer, and the end of its connection."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Gone(ConnectionError):
    """The client has gone, takes too long, or sends what is no body. status: the answer, if it can be said at all."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(errno.ECONNRESET, why)
        self.status = status
