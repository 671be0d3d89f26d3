"""One request and its response."""

from __future__ import annotations

import email.utils
import io
import re
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ecru import net
from ecru._native import Closed
from ecru.wsgi._body import Body
from ecru.wsgi._limits import Gone, Refused

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ecru.wsgi._server import Server


class _Clock:
    """The Date field, made once a second."""

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def __call__(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, email.utils.formatdate(second, usegmt=True)
        return self._text


def _length(value: str, before: int | None) -> int:
    """Content-Length as the application gives it; before: once more."""
    if not value.isdigit() or before is not None:
        raise ValueError(f"no Content-Length: {value!r}")
    return int(value)


_date = _Clock()
_STATUS = re.compile(r"[1-9]\d\d [^\r\n\0]*")
_OWN = frozenset({"connection", "transfer-encoding", "keep-alive"})  # the server's to say


class Exchange:
    """One request and its response: environ, status, fields (of the response), written (bytes of its body)."""

    __slots__ = (
        "body",
        "chunked",
        "conn",
        "environ",
        "expects",
        "fields",
        "keep",
        "left",
        "limits",
        "sent",
        "server",
        "silent",
        "status",
        "written",
    )

    def __init__(self, server: Server, conn: net.Conn, environ: dict[str, Any]) -> None:
        self.server, self.conn, self.environ, self.limits = server, conn, environ, server.limits
        self.fields: list[tuple[str, str]] | None = None
        self.status = ""
        self.sent = False  # the head
        self.silent = environ["REQUEST_METHOD"] == "HEAD"  # no body goes out
        self.chunked = False
        self.left: int | None = None  # of what Content-Length promises
        self.written = 0
        self.expects = False  # a 100 (Continue) before it sends its body
        self.body: Body | None = None
        asked = environ.get("HTTP_CONNECTION", "").lower()
        self.keep = "close" not in asked if environ["SERVER_PROTOCOL"] == "HTTP/1.1" else "keep-alive" in asked
        environ["wsgi.input"] = self._input()

    def _input(self) -> io.BufferedIOBase:
        environ, most = self.environ, self.limits.body_bytes
        coding, length = environ.get("HTTP_TRANSFER_ENCODING"), environ.get("CONTENT_LENGTH")
        if coding is None and length is None:
            return io.BytesIO()
        if "HTTP_EXPECT" in environ and environ["SERVER_PROTOCOL"] == "HTTP/1.1":
            if environ["HTTP_EXPECT"].lower() != "100-continue":
                raise Refused(417, "unknown expectation")
            self.expects = True
        if coding is not None:
            self._check_coding(coding, length)
            self.body = Body(self, 0, True, most)
            return io.BufferedReader(self.body)
        assert length is not None
        if not length.isascii() or not length.isdigit() or len(length) > 18:
            raise Refused(400, "malformed length")
        count = int(length)
        if most is not None and count > most:
            raise Refused(413, "body too large")
        if count <= self.conn.buffered:
            self.expects = False
            return io.BytesIO(self.conn.read_exactly(count))
        self.body = Body(self, count, False, None)
        return io.BufferedReader(self.body)

    def _check_coding(self, coding: str, length: str | None) -> None:
        if coding.lower() != "chunked":
            raise Refused(501, "unknown transfer coding")
        if length is not None or self.environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            raise Refused(400, "two lengths")
        del self.environ["HTTP_TRANSFER_ENCODING"]  # the application sees a plain body

    def go_on(self) -> None:
        """Tells a client that waits for it to send the body."""
        if self.expects:
            self.expects = False
            if not self.sent:
                self._send_out(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _send_out(self, data: bytes) -> None:
        try:
            self.conn.sendall(data, self.limits.send_seconds)
        except (OSError, Closed) as error:
            self.keep = False
            raise Gone(f"the client has gone: {error}") from None

    # -- what the application calls

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        """PEP 3333's. Raises TypeError, ValueError for what is no status and no list of fields."""
        if exc_info is not None:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.fields is not None:
            raise AssertionError("start_response was called before")
        if type(status) is not str or not _STATUS.fullmatch(status):
            raise ValueError(f"a status is '200 OK', not {status!r}")
        if type(headers) is not list:
            raise TypeError(f"headers are a list, not {headers!r}")
        self.status, self.fields = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333's, for applications of old; also what sends each piece of an iterable."""
        if type(data) is not bytes:
            raise TypeError(f"bodies are of bytes, not {type(data).__name__}")
        if not self.sent:
            self._send_out(self._head(None) + self._framed(data))
        elif data and not self.silent:
            self._send_out(self._framed(data))

    # -- framing

    def _framed(self, data: bytes) -> bytes:
        if self.silent or not data:
            return b""
        if self.chunked:
            self.written += len(data)
            return b"%x\r\n%b\r\n" % (len(data), data)
        if self.left is not None:
            if len(data) > self.left:
                self.keep = False
                data = data[: self.left]
            self.left -= len(data)
        self.written += len(data)
        return data

    def _head(self, length: int | None) -> bytes:
        """The response's head. length: of the whole body, if it is known and the application has not said it."""
        if self.fields is None:
            raise AssertionError("the application did not call start_response")
        code = self.status[:3]
        bodiless = code in ("204", "304") or code[0] == "1"
        self.silent = self.silent or bodiless
        lines = [f"HTTP/1.1 {self.status}"]
        own = {"date": True, "server": True}
        promised = None
        for name, value in self.fields:
            small = name.lower()
            if small == "content-length":
                promised = _length(value, promised)
            elif small == "connection":
                self.keep = self.keep and "close" not in value.lower()
            if small in own:
                own[small] = False
            if small not in _OWN and not (bodiless and small == "content-length" and code != "304"):
                lines.append(f"{name}: {value}")
        if own["date"]:
            lines.append(f"Date: {_date()}")
        if own["server"]:
            lines.append("Server: ecru")
        self._add_framing(lines, promised, length, bodiless)
        count = len(lines)
        lines.append("\r\n")
        text = "\r\n".join(lines)
        if text.count("\n") != count + 1 or text.count("\r") != count + 1 or "\0" in text:
            raise ValueError("line ends in a header")
        data = text.encode("latin-1")
        self.sent = True
        return data

    def _add_framing(self, lines: list[str], promised: int | None, length: int | None, bodiless: bool) -> None:
        modern = self.environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        if bodiless:
            pass
        elif promised is not None:
            self.left = promised
        elif length is not None:
            self.left = length
            lines.append(f"Content-Length: {length}")
        elif modern:
            self.chunked = True
            lines.append("Transfer-Encoding: chunked")
        else:
            self.keep = False
        self.keep = self.keep and not self.server.stopping and (self.body is None or not self.expects)
        if not self.keep:
            lines.append("Connection: close")
        elif not modern:
            lines.append("Connection: keep-alive")

    # -- the whole

    def run(self, app: WSGIApplication) -> None:
        """Calls the application and sends what it gives. Whatever it raises gets a 500, if that can still be said.

        So does sys.exit(): it is not for one request to end all others.
        """
        try:
            self._run(app)
        except Gone as error:
            self.keep = False
            if error.status and not self.sent:
                self.status = str(error.status)
                with suppress(Gone):
                    self._send_out(refusal(error.status, str(error)))
        except (Exception, SystemExit):
            self._fail()
        if self.body is not None:
            self.keep = self.keep and self.body.skip()
            self.body = None  # no cycle
        del self.environ["wsgi.input"]

    def _run(self, app: WSGIApplication) -> None:
        result = app(self.environ, self.start_response)
        try:
            if type(result) is list or type(result) is tuple:
                self._send_whole(result[0] if len(result) == 1 else b"".join(result))
            else:
                for piece in result:
                    if piece or type(piece) is not bytes:
                        self.write(piece)
                self._end()
        finally:
            if hasattr(result, "close"):
                result.close()

    def _send_whole(self, data: bytes) -> None:
        if self.sent:  # by write()
            self.write(data)
        else:
            if type(data) is not bytes:
                raise TypeError(f"bodies are of bytes, not {type(data).__name__}")
            self._send_out(self._head(len(data)) + self._framed(data))
        self._end()

    def _end(self) -> None:
        if not self.sent:
            self._send_out(self._head(0))
        if self.chunked and not self.silent:
            self._send_out(b"0\r\n\r\n")
        if self.left and not self.silent:
            self.keep = False
            words = f"{self.left} bytes of what Content-Length promised are missing"
            print(f"ecru.wsgi: {self.environ['REQUEST_URI']}: {words}", file=self.environ["wsgi.errors"])

    def _fail(self) -> None:
        traceback.print_exc(file=self.environ["wsgi.errors"])
        self.keep = False
        if self.sent:
            return  # cut off: the client sees that it is incomplete
        self.fields, self.left, self.chunked = [("Content-Type", "text/plain")], None, False
        self.silent = self.environ["REQUEST_METHOD"] == "HEAD"
        self.status, data = "500 Internal Server Error", b"Internal Server Error\n"
        with suppress(Gone):
            self._send_out(self._head(len(data)) + self._framed(data))


def refusal(status: int, why: str) -> bytes:
    phrase = HTTPStatus(status).phrase
    data = f"{phrase}: {why}\n".encode("latin-1", "replace")
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nDate: {_date()}\r\nServer: ecru\r\n"
    return f"{head}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode("latin-1") + data
