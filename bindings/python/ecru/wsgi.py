"""A WSGI server (PEP 3333): HTTP/1.1 with a goroutine for each connection.

`serve(app, "127.0.0.1:8000")`, or `python -m ecru.wsgi module:app --bind 127.0.0.1:8000`. The application is plain
code: whatever waits in it through ecru (or the patched standard library) parks only its own request. It is called from
one OS thread, by many goroutines at once; it may run in several processes (ecru.gunicorn).

Keep-alive, pipelining, chunked bodies both ways, Expect: 100-continue, HEAD, TLS, limits for all a client sends, time
limits for all it may take, and an end that finishes what has begun. What could be read in two ways (request smuggling)
is refused: both lengths, odd transfer codings, bare line ends, folded or malformed fields. Fields with "_" in their
name are dropped, since they would become the same variable as those with "-".
"""

from __future__ import annotations

import argparse
import email.utils
import errno
import importlib
import io
import os
import re
import signal
import ssl
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from ecru import _native, net
from ecru._native import Cancelled, Closed, Token
from ecru._sync import Semaphore, WaitGroup

if TYPE_CHECKING:
    from wsgiref.types import ErrorStream, WSGIApplication

__all__ = ["Limits", "Server", "serve"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_BAD = bytes(set(range(32)) - set(b"\t\r\n")) + b"\x7f"  # no field and no request line has these
_NAMES_MOST = 1000
_LINGER_SECONDS, _LINGER_BYTES = 1.0, 1 << 20
_UNREAD_MOST = 65536  # of a body the application did not read: more, and the connection ends instead


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


class _Refused(Exception):
    """A request that gets an error for an answer, and the end of its connection."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Gone(ConnectionError):
    """The client has gone, takes too long, or sends what is no body. status: the answer, if it can be said at all."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(errno.ECONNRESET, why)
        self.status = status


# ---- requests --------------------------------------------------------------------------------------------------------

_variables: dict[str, str] = {}  # by field name as it came; "": to be dropped


def _variable(name: str) -> str:
    """The environment's name for a field's."""
    if not _TOKEN.fullmatch(name):
        raise _Refused(400, f"malformed field name {name!r}")
    upper = name.upper().replace("-", "_")
    if "_" in name:
        variable = ""
    elif upper in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        variable = upper
    else:
        variable = f"HTTP_{upper}"
    if len(_variables) < _NAMES_MOST:
        _variables[name] = variable
    return variable


def _add_field(environ: dict[str, Any], variable: str, value: str) -> None:
    """A field that came before: a list, but for those that must not be one."""
    if variable in ("CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_TRANSFER_ENCODING"):
        raise _Refused(400, f"several {variable}")
    environ[variable] += ("; " if variable == "HTTP_COOKIE" else ",") + value


def _parse_fields(lines: list[str], environ: dict[str, Any]) -> None:
    for line in lines:
        name, colon, value = line.partition(":")
        variable = _variables.get(name)
        if variable is None:
            variable = _variable(name)
        if not colon:
            raise _Refused(400, "a field without a colon")
        if variable in environ:
            _add_field(environ, variable, value.strip(" \t"))
        elif variable:
            environ[variable] = value.strip(" \t")


def _parse_target(target: str, environ: dict[str, Any]) -> None:
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        if path.lower().startswith(("http://", "https://")):
            environ["HTTP_HOST"], _, rest = path.partition("//")[2].partition("/")
            path = "/" + rest
        elif path != "*" or environ["REQUEST_METHOD"] != "OPTIONS":
            raise _Refused(400, "malformed request target")
    environ["REQUEST_URI"] = environ["RAW_URI"] = target
    environ["PATH_INFO"] = unquote_to_bytes(path.encode("latin-1")).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query


def _parse(head: bytes, environ: dict[str, Any], fields_most: int) -> None:
    """Puts a request's head, with its empty line, into the environment."""
    breaks = head.count(b"\r\n")
    if head.count(b"\r") != breaks or head.count(b"\n") != breaks or len(head.translate(None, _BAD)) != len(head):
        raise _Refused(400, "control characters")
    lines = head[:-4].decode("latin-1").split("\r\n")
    parts = lines.pop(0).split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]):
        raise _Refused(400, "malformed request line")
    if len(lines) > fields_most:
        raise _Refused(431, "too many fields")
    environ["REQUEST_METHOD"], target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise _Refused(505 if re.fullmatch(r"HTTP/\d\.\d", version) else 400, "unknown version")
    if environ["REQUEST_METHOD"] == "CONNECT":
        raise _Refused(501, "no proxy")
    environ["SERVER_PROTOCOL"] = version
    _parse_fields(lines, environ)
    if version == "HTTP/1.1" and "HTTP_HOST" not in environ:
        raise _Refused(400, "no host")
    _parse_target(target, environ)


def _mount(environ: dict[str, Any], script_name: str) -> None:
    path = environ["PATH_INFO"]
    if path == script_name or path.startswith(f"{script_name}/"):
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = script_name, path[len(script_name) :]


class _Body(io.RawIOBase):
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
        except _Refused as error:
            raise self._broken(error, error.status) from None
        except ValueError as error:
            raise self._broken(error, 400) from None
        except (OSError, Closed) as error:
            raise self._broken(error, 408 if isinstance(error, TimeoutError) else 0) from error

    def _broken(self, error: Exception, status: int) -> _Gone:
        self.exchange.keep = False
        return _Gone(f"the request's body is incomplete: {error}", status)

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
                raise _Refused(413, "larger than the limit")
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


# ---- responses -------------------------------------------------------------------------------------------------------


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
        self.body: _Body | None = None
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
                raise _Refused(417, "unknown expectation")
            self.expects = True
        if coding is not None:
            self._check_coding(coding, length)
            self.body = _Body(self, 0, True, most)
            return io.BufferedReader(self.body)
        assert length is not None
        if not length.isascii() or not length.isdigit() or len(length) > 18:
            raise _Refused(400, "malformed length")
        count = int(length)
        if most is not None and count > most:
            raise _Refused(413, "body too large")
        if count <= self.conn.buffered:
            self.expects = False
            return io.BytesIO(self.conn.read_exactly(count))
        self.body = _Body(self, count, False, None)
        return io.BufferedReader(self.body)

    def _check_coding(self, coding: str, length: str | None) -> None:
        if coding.lower() != "chunked":
            raise _Refused(501, "unknown transfer coding")
        if length is not None or self.environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            raise _Refused(400, "two lengths")
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
            raise _Gone(f"the client has gone: {error}") from None

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
        """Calls the application and sends what it gives. Whatever it raises gets a 500, if that can still be said."""
        try:
            self._run(app)
        except _Gone as error:
            self.keep = False
            if error.status and not self.sent:
                self.status = str(error.status)
                with suppress(_Gone):
                    self._send_out(_refusal(error.status, str(error)))
        except Exception:
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
        with suppress(_Gone):
            self._send_out(self._head(len(data)) + self._framed(data))


def _refusal(status: int, why: str) -> bytes:
    phrase = HTTPStatus(status).phrase
    data = f"{phrase}: {why}\n".encode("latin-1", "replace")
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nDate: {_date()}\r\nServer: ecru\r\n"
    return f"{head}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode("latin-1") + data


# ---- the server ------------------------------------------------------------------------------------------------------


class Server:
    """Serves an application on any number of listeners.

    access_log: a text stream that gets a line for each request. errors: wsgi.errors, None: stderr. drain_seconds: what
    has begun may take so long once the server is to end. script_name: SCRIPT_NAME, where the application is mounted,
    of requests whose path begins with it.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        limits: Limits | None = None,
        access_log: TextIO | None = None,
        errors: ErrorStream | None = None,
        drain_seconds: float = 30.0,
        multiprocess: bool = False,
        script_name: str = "",
    ) -> None:
        """Raises RuntimeError in a thread that runs no goroutines."""
        self.app, self.access_log, self.drain_seconds = app, access_log, drain_seconds
        self.logs = access_log is not None
        self.limits = limits or Limits()
        self.stopping = False
        self.requests = 0
        self._errors, self._multiprocess, self._script_name = errors, multiprocess, script_name
        self._token = Token(_native.home_token())
        self._idle: set[net.Conn] = set()
        self._listeners: set[net.Listener] = set()
        self._running = WaitGroup()
        most = self.limits.connections
        self._places = None if most is None else Semaphore(most)

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._running.count

    def serve(self, listener: net.Listener) -> None:
        """Serves until stop(), or until the current token fires; then ends as stop() says, and closes the listener.

        Several goroutines may serve a listener each; each returns when all connections have ended. Raises Cancelled.
        """
        self._listeners.add(listener)
        if self.stopping:
            listener.close()
        try:
            self._accept(listener)
        finally:
            self.stop()
            with Token(shield=True):
                if not self._running.wait(self.drain_seconds):
                    self._token.cancel()
                    self._running.wait()

    def _accept(self, listener: net.Listener) -> None:
        connections = iter(listener)
        while True:
            if self._places is not None:
                self._places.acquire()
            conn = next(connections, None)
            if conn is None:
                return
            self.take(conn)

    def take(self, conn: net.Conn) -> None:
        """Serves a connection that was accepted elsewhere, in a goroutine of its own."""
        self._running.add()
        try:
            with self._token:
                _native.go(self._handle, conn)
        except BaseException:
            self._running.done()
            raise

    def stop(self) -> None:
        """Ends: accepts no more, ends connections that are idle, the others after the response to what has begun.

        Does not wait; serve() does, for drain_seconds at most, then what is left is cancelled. Idempotent.
        """
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        for conn in list(self._idle):
            with suppress(OSError, Closed):
                net.Conn.shutdown(conn, "r")  # a request that is there is still read

    def _handle(self, conn: net.Conn) -> None:
        try:
            with conn:
                self._converse(conn)
        except (OSError, Closed, Cancelled, EOFError):
            pass  # the client went away, or is told to
        finally:
            self._running.done()
            if self._places is not None:
                self._places.release()

    def _converse(self, conn: net.Conn) -> None:
        seconds = self.limits.head_seconds
        if isinstance(conn, net.TLSConn):
            conn.handshake(seconds)
        base = self._environ(conn)
        keep = True
        while keep:
            head = self._read_head(conn, seconds)
            if not head:
                return
            self.requests += 1
            environ = base.copy()
            began = time.perf_counter()
            try:
                _parse(head, environ, self.limits.fields)
                if self._script_name:
                    _mount(environ, self._script_name)
                exchange = Exchange(self, conn, environ)
            except _Refused as error:
                self._refuse(conn, error)
                return
            exchange.run(self.app)
            if self.logs:
                self.log(exchange, time.perf_counter() - began)
            keep = exchange.keep
            seconds = self.limits.idle_seconds
        self._linger(conn)

    def _read_head(self, conn: net.Conn, seconds: float | None) -> bytes:
        """A request's head, or b"": there is none."""
        self._idle.add(conn)
        try:
            while not self.stopping or conn.buffered:
                head = conn.read_until(b"\r\n\r\n", self.limits.head_bytes, seconds)
                if not head.startswith(b"\r\n"):
                    return head
                if head := head[2:].removeprefix(b"\r\n"):  # some clients end a body with one too many
                    return head
            return b""
        except ValueError:
            self._refuse(conn, _Refused(431, "head too large"))
            return b""
        except TimeoutError:
            if conn.buffered:
                self._refuse(conn, _Refused(408, "it takes too long"))
            return b""
        finally:
            self._idle.discard(conn)

    def _refuse(self, conn: net.Conn, error: _Refused) -> None:
        conn.sendall(_refusal(error.status, str(error)), self.limits.send_seconds)
        self._linger(conn)

    def _linger(self, conn: net.Conn) -> None:
        """Ends a connection so that what was sent arrives: closing it with unread input would take it back."""
        conn.shutdown("w")
        conn.set_deadline(_LINGER_SECONDS)
        left = _LINGER_BYTES
        while left > 0 and (data := conn.recv(65536)):
            left -= len(data)

    def _environ(self, conn: net.Conn) -> dict[str, Any]:
        """What all requests of a connection have in common."""
        local, peer = conn.local_address, conn.peer_address
        host, port = local if isinstance(local, tuple) else ("localhost", 80)
        environ = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if conn.tls is not None else "http",
            "wsgi.errors": self._errors or sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": self._multiprocess,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
            "SERVER_SOFTWARE": "ecru",
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SCRIPT_NAME": "",
            "REMOTE_ADDR": peer[0] if isinstance(peer, tuple) else peer,
            "REMOTE_PORT": str(peer[1]) if isinstance(peer, tuple) else "",
        }
        if conn.tls is not None:
            environ["HTTPS"] = "on"
        return environ

    def log(self, exchange: Exchange, seconds: float) -> None:
        """Tells of a request that has been served. Called if `logs` is set."""
        environ = exchange.environ
        asked = f"{environ['REQUEST_METHOD']} {environ['REQUEST_URI']} {environ['SERVER_PROTOCOL']}"
        when = time.strftime("%d/%b/%Y:%H:%M:%S %z")
        line = f'{environ["REMOTE_ADDR"] or "-"} - - [{when}] "{asked}" {exchange.status[:3] or "-"} {exchange.written}'
        line = line.encode("ascii", "backslashreplace").decode()
        print(f"{line} {seconds * 1e6:.0f}us", file=self.access_log, flush=True)


def serve(
    app: WSGIApplication,
    *addresses: net.Address,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    access_log: TextIO | None = None,
    drain_seconds: float = 30.0,
    reuse_port: bool = False,
) -> None:
    """Serves an application at these addresses until the current token fires; then finishes what has begun.

    Raises OSError: an address cannot be had; Cancelled at the end.
    """
    server = Server(app, limits=limits, access_log=access_log, drain_seconds=drain_seconds)
    _serve(server, [net.listen(address, tls=tls, reuse_port=reuse_port) for address in addresses])


def _serve(server: Server, listeners: Sequence[net.Listener]) -> None:
    tasks = [_native.spawn(server.serve, listener) for listener in listeners]
    try:
        for task in tasks:
            task.result()
    finally:
        server.stop()
        with Token(shield=True):
            for task in tasks:
                task.join()


# ---- the command -----------------------------------------------------------------------------------------------------


def _load(name: str) -> WSGIApplication:
    """The application "module:name" stands for; `name()` may be called for it."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    path, call, _ = (path or "application").partition("(")
    for part in path.split("."):
        found = getattr(found, part)
    if call:
        found = found()
    if not callable(found):
        raise TypeError(f"{name} is no application: it cannot be called")
    return found  # type: ignore[no-any-return]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ecru.wsgi", description="Serves a WSGI application.")
    parser.add_argument("app", help="module:application; module:factory() is called")
    parser.add_argument(
        "--bind", action="append", metavar="ADDRESS", help="host:port or unix:/path; several may be given"
    )
    parser.add_argument("--certfile", help="serve TLS with this certificate chain")
    parser.add_argument("--keyfile", help="its private key")
    parser.add_argument("--access-log", metavar="FILE", help='a line for each request; "-": stdout')
    parser.add_argument("--max-body", type=int, metavar="BYTES", help="larger requests are refused")
    parser.add_argument("--keep-alive", type=float, default=75.0, metavar="SECONDS", help="for idle connections")
    parser.add_argument(
        "--drain", type=float, default=30.0, metavar="SECONDS", help="to finish after SIGTERM or SIGINT"
    )
    parser.add_argument("--chdir", default=".", metavar="DIRECTORY", help="where the module is")
    return parser.parse_args(arguments)


def _context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certfile, options.keyfile)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _log_stream(name: str | None) -> TextIO | None:
    if name is None or name == "-":
        return sys.stdout if name else None
    return open(name, "a", encoding="utf-8")


def _stop_at_signals(server: Server) -> None:
    """SIGTERM and SIGINT end it gracefully, the second of them at once."""

    def on_signal(number: int, frame: object) -> None:
        if server.stopping:
            server._token.cancel()
        server.stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def _main(arguments: Iterable[str] | None = None) -> None:
    options = _options(None if arguments is None else list(arguments))
    os.chdir(options.chdir)
    sys.path.insert(0, os.getcwd())
    limits = Limits(body_bytes=options.max_body, idle_seconds=options.keep_alive)
    log = _log_stream(options.access_log)
    server = Server(_load(options.app), limits=limits, access_log=log, drain_seconds=options.drain)
    context = _context(options)
    listeners = [net.listen(address, tls=context) for address in options.bind or ["127.0.0.1:8000"]]
    _stop_at_signals(server)
    for listener in listeners:
        print(f"ecru.wsgi: serving {options.app} at {listener.local()}", file=sys.stderr, flush=True)
    _serve(server, listeners)


if __name__ == "__main__":
    _main()
