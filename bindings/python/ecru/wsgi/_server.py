"""The server: its listeners, connections and end."""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO
from wsgiref.util import FileWrapper

from ecru import _native, net
from ecru._native import Cancelled, Closed, Token
from ecru._sync import Semaphore, WaitGroup
from ecru.wsgi._exchange import Exchange, refusal
from ecru.wsgi._limits import Limits, Refused
from ecru.wsgi._request import mount, parse

if TYPE_CHECKING:
    from _typeshed.wsgi import ErrorStream, WSGIApplication

_LINGER_SECONDS, _LINGER_BYTES = 1.0, 1 << 20


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
        """Raises RuntimeError in a thread that runs no goroutines; TypeError: the application cannot be called."""
        if not callable(app):
            raise TypeError(f"an application is a callable, not {app!r}")
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
                parse(head, environ, self.limits.fields)
                if self._script_name:
                    mount(environ, self._script_name)
                exchange = Exchange(self, conn, environ)
            except Refused as error:
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
            self._refuse(conn, Refused(431, "head too large"))
            return b""
        except TimeoutError:
            if conn.buffered:
                self._refuse(conn, Refused(408, "it takes too long"))
            return b""
        finally:
            self._idle.discard(conn)

    def _refuse(self, conn: net.Conn, error: Refused) -> None:
        conn.sendall(refusal(error.status, str(error)), self.limits.send_seconds)
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
    run(server, [net.listen(address, tls=tls, reuse_port=reuse_port) for address in addresses])


def run(server: Server, listeners: Sequence[net.Listener]) -> None:
    tasks = [_native.spawn(server.serve, listener) for listener in listeners]
    try:
        for task in tasks:
            task.result()
    finally:
        server.stop()
        with Token(shield=True):
            for task in tasks:
                task.join()
