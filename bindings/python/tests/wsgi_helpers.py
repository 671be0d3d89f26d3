"""What tests of the WSGI server share: applications, a server for a block, requests and responses by the byte."""

import io
from collections.abc import Callable, Iterable
from typing import Any

import ecru
from ecru import net
from ecru.wsgi import Server

App = Callable[..., Iterable[bytes]]
TEXT = [("Content-Type", "text/plain")]


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", TEXT[:])
    return [b"hello"]


def show(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Its own request, as the application saw it."""
    body = environ["wsgi.input"].read(1 << 20)
    start_response("200 OK", TEXT[:])
    names = sorted(name for name in environ if name.isupper())
    return ["".join(f"{name}={environ[name]!r}\n" for name in names).encode(), b"body=%r\n" % body]


class Serving:
    """A server in a goroutine, and connections to it."""

    def __init__(self, app: App, tls: Any = None, **options: Any) -> None:
        self.errors = io.StringIO()
        self.listener = net.listen("127.0.0.1:0", tls=tls)
        self.address = self.listener.address
        self.server = Server(app, errors=self.errors, **options)
        self.task = ecru.spawn(self.server.serve, self.listener)

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.drain_seconds = 0.2
        self.server.stop()
        with ecru.timeout(30):
            self.task.join()

    def dial(self) -> net.Conn:
        conn = net.dial(self.address)
        conn.set_deadline(20)
        return conn

    def exchange(self, request: bytes) -> bytes:
        """All the server says to bytes after which the client ends its side."""
        with self.dial() as conn:
            conn.sendall(request)
            conn.shutdown("w")
            return rest_of(conn)


def rest_of(conn: net.Conn) -> bytes:
    return b"".join(iter(lambda: conn.recv(65536), b""))


def read_response(conn: net.Conn) -> tuple[str, dict[str, str], bytes]:
    """Status line, fields (names in lower case) and body of one response that has a length or chunks."""
    head = conn.read_until(b"\r\n\r\n").decode("latin-1")
    status, *lines = head[:-4].split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(conn.read_line(), 16):
            body += conn.read_exactly(size + 2)[:-2]
        assert conn.read_line() == b"\r\n"
        return status, fields, body
    return status, fields, conn.read_exactly(int(fields.get("content-length", 0)))


def get(path: str = "/", *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: example.org", *fields, "", ""]).encode("latin-1")
