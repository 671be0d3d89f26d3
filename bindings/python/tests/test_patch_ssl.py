"""ecru.patch(): TLS sockets park, with the timeouts of plain ones."""

import http.server
import socket
import ssl
import threading
from typing import Any

from certificates import client_context, server_context
from patched import patched

CLIENTS = 20


def pair() -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """Two ends that have shaken hands, each in a goroutine of its own."""
    server, client = server_context(), client_context()
    ends = socket.socketpair()
    wrapped: dict[str, ssl.SSLSocket] = {}
    thread = threading.Thread(target=lambda: wrapped.update(server=server.wrap_socket(ends[0], server_side=True)))
    thread.start()
    wrapped["client"] = client.wrap_socket(ends[1], server_hostname="localhost")
    thread.join()
    return wrapped["server"], wrapped["client"]


def raises(kind: type[BaseException], function: Any, *args: Any) -> str:
    try:
        function(*args)
    except kind as error:
        return str(error)
    raise AssertionError(f"{kind.__name__} expected")


@patched
def test_both_ends_of_a_connection_in_one_thread():
    a, b = pair()
    data = bytes(range(256)) * 20_000
    thread = threading.Thread(target=a.sendall, args=(data,))
    thread.start()
    got = bytearray()
    while len(got) < len(data):
        got += b.recv(100_000)
    thread.join()
    assert got == data
    end = threading.Thread(target=a.unwrap)
    end.start()
    b.unwrap().close()
    end.join()
    a.close()


@patched
def test_timeouts_and_not_blocking():
    a, b = pair()
    assert b.gettimeout() is None
    assert b.timeout is None
    assert b.getblocking()
    b.settimeout(0.05)
    assert b.timeout == 0.05
    assert raises(TimeoutError, b.recv, 10) == "The read operation timed out"
    assert raises(TimeoutError, b.sendall, bytes(50_000_000)) == "The write operation timed out"
    b.setblocking(False)
    assert not b.getblocking()
    raises(ssl.SSLWantReadError, b.recv, 10)
    b.settimeout(None)
    threading.Timer(0.05, a.sendall, (b"late",)).start()
    assert b.recv(10) == b"late"
    threading.Timer(0.05, b.close).start()
    raises(OSError, b.recv, 10)
    a.close()


@patched
def test_https_at_once():
    import requests

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            all_here.wait(60)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *args: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 100

        def finish_request(self, request: Any, address: Any) -> None:
            with servers.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, address)

    servers, clients = server_context(), client_context()

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=clients, **kwargs)

    def ask(i: int) -> None:
        texts[i] = session.get(f"https://localhost:{server.server_port}/{i}").text

    texts: dict[int, str] = {}
    all_here = threading.Barrier(CLIENTS)  # none is answered before all have asked
    with Server(("127.0.0.1", 0), Handler) as server, requests.Session() as session:
        session.mount("https://", Adapter(pool_maxsize=CLIENTS))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.shutdown()
    assert texts == {i: f"/{i}" for i in range(CLIENTS)}
