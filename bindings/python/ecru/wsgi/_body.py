"""The body of a request: wsgi.input."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ecru import net
from ecru._native import Closed
from ecru.wsgi._limits import Gone, Refused

if TYPE_CHECKING:
    from ecru.wsgi._exchange import Exchange

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_UNREAD_MOST = 65536  # of a body the application did not read: more, and the connection ends instead


class Body(io.RawIOBase):
    """A request's body. left: bytes still to come, of this piece if it is chunked."""

    def __init__(self, exchange: Exchange, left: int, chunked: bool, most: int | None) -> None:
        self.exchange, self.left, self.chunked, self.most = exchange, left, chunked, most
        self.ended = not chunked and left == 0
        self.first = True

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """What is there of the body; 0 at its end. Raises OSError: it will not come."""
        view = memoryview(buffer)
        if self.ended or not view:
            return 0
        try:
            return self._read(view)
        except EOFError as error:
            raise self._broken(error, 0) from None
        except Refused as error:
            raise self._broken(error, error.status) from None
        except ValueError as error:
            raise self._broken(error, 400) from None
        except (OSError, Closed) as error:
            raise self._broken(error, 408 if isinstance(error, TimeoutError) else 0) from error

    def _broken(self, error: Exception, status: int) -> Gone:
        self.exchange.keep = False
        return Gone(f"the request's body is incomplete: {error}", status)

    def _read(self, view: memoryview) -> int:
        self.exchange.go_on()
        if self.chunked and self.left == 0 and not self._next_chunk():
            return 0
        conn, seconds = self.exchange.conn, self.exchange.limits.body_seconds
        got = conn.recv_into(view[: self.left], 0, seconds)
        if got == 0:
            raise EOFError("the connection ended")
        self.left -= got
        self.ended = self.left == 0 and not self.chunked
        return got

    def _next_chunk(self) -> bool:
        conn, seconds = self.exchange.conn, self.exchange.limits.body_seconds
        if not self.first and conn.read_exactly(2, seconds) != b"\r\n":
            raise ValueError("malformed chunk")
        self.first = False
        size = _CHUNK.fullmatch(conn.read_line(256, seconds))
        if size is None:
            raise ValueError("malformed chunk")
        self.left = int(size[1], 16)
        if self.most is not None:
            self.most -= self.left
            if self.most < 0:
                raise Refused(413, "larger than the limit")
        if self.left > 0:
            return True
        self.ended = True
        self._skip_trailers(conn, seconds)
        return False

    def _skip_trailers(self, conn: net.Conn, seconds: float | None) -> None:
        most = self.exchange.limits.head_bytes
        while (line := conn.read_line(most, seconds)) != b"\r\n":
            most -= len(line)
            if most <= 0 or not line.endswith(b"\r\n"):
                raise ValueError("malformed trailers")

    def skip(self) -> bool:
        """Reads what the application did not. returns: False: too much, or it does not come."""
        if self.ended:
            return True
        if self.exchange.expects or (not self.chunked and self.left > _UNREAD_MOST):
            return False
        left, scratch = _UNREAD_MOST, bytearray(16384)
        with suppress(OSError):
            while left > 0 and (got := self.readinto(scratch)):
                left -= got
        return self.ended
