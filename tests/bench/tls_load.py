"""tls_load.py PORT CONNECTIONS SECONDS: the client of echo_tls, the same for every server: 64 B there and back over TLS. One thread, a closed
loop: each connection sends its next request when the answer to the last is complete. Prints one line of key=value pairs; what the server
uses meanwhile, the handshakes included, is looked at by io_load.c, which runs this."""
import selectors
import socket
import ssl
import sys
import time

REQUEST = b"x" * 64


class Connection:
    """One connection and how far its request has come."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self.socket.setblocking(False)

    def ask(self) -> None:
        self.begun_ns, self.missing = time.perf_counter_ns(), len(REQUEST)
        if self.socket.send(REQUEST) != len(REQUEST):
            sys.exit("tls_load: a request was not taken whole")

    def hear(self) -> int:
        """Nanoseconds since it was asked, if all of the answer is there; else 0."""
        try:
            data = self.socket.recv(self.missing)
        except ssl.SSLWantReadError:
            return 0
        if not data:
            sys.exit("tls_load: the server has closed a connection")
        self.missing -= len(data)
        return 0 if self.missing else time.perf_counter_ns() - self.begun_ns


def measure(connections: list[Connection], seconds: float) -> list[int]:
    """The latencies of all requests."""
    latencies_ns = []
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.ask()
        end_ns = time.perf_counter_ns() + int(seconds * 1e9)
        while time.perf_counter_ns() < end_ns:
            for key, _ in selector.select(10):
                latency_ns = key.data.hear()
                if latency_ns:
                    latencies_ns.append(latency_ns)
                    key.data.ask()
    return latencies_ns


def main() -> None:
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connections = [Connection(context, port) for _ in range(count)]
    began_ns = time.perf_counter_ns()
    latencies_ns = sorted(measure(connections, seconds))
    wall_ns, requests = time.perf_counter_ns() - began_ns, len(latencies_ns)
    p50_us, p99_us = (latencies_ns[int(requests * share)] / 1000 for share in (0.5, 0.99))
    print(f"requests={requests} wall_ns={wall_ns} p50_us={p50_us:.1f} p99_us={p99_us:.1f}", flush=True)


main()
