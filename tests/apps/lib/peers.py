"""The sides of a proxied connection that tests/apps/proxy cannot get from nc: serves on a port of its own choice, or is a client.
usage: peers.py serve | peers.py <case> <port> <port of the server>
The first line a client sends to the server says what it shall do."""
import hashlib
import socket
import struct
import sys
import threading
import time

MEBIBYTE = 1 << 20
PATTERN = bytes(range(256)) * 4096


def reset(connection):  # when it is closed
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Service(threading.Thread):
    flooded = 0  # bytes the server could send to who does not read
    resets = 0

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection = connection
        self.file = connection.makefile("rwb")

    def run(self):
        try:
            word, *rest = self.file.readline().decode().split()
            getattr(self, "do_" + word)(*rest)
            self.file.flush()
            self.connection.shutdown(socket.SHUT_WR)
        except ConnectionResetError:
            Service.resets += 1
        except OSError:
            pass
        finally:
            self.connection.close()
            try:
                self.file.close()  # the last to hold the socket
            except OSError:
                pass

    def do_digest(self):  # of all until the client has said everything
        digest, count = hashlib.sha256(), 0
        while piece := self.file.read(MEBIBYTE):
            digest.update(piece)
            count += len(piece)
        self.file.write(f"{count} {digest.hexdigest()}\n".encode())

    def do_send(self, mebibytes):
        for _ in range(int(mebibytes)):
            self.file.write(PATTERN)

    def do_end_first(self):  # its direction ends, then it listens
        self.connection.shutdown(socket.SHUT_WR)
        Service.heard = self.file.read()

    def do_heard(self):
        self.file.write(Service.heard)

    def do_flood(self):
        while True:
            Service.flooded += self.connection.send(PATTERN)

    def do_flooded(self):
        self.file.write(b"%d\n" % Service.flooded)

    def do_resets(self):
        self.file.write(b"%d\n" % Service.resets)

    def do_reset(self):
        reset(self.connection)
        raise OSError

    def do_drip(self, times):
        for _ in range(int(times)):
            self.file.write(b".")
            self.file.flush()
            time.sleep(0.1)

    def do_echo(self):
        while piece := self.file.read1(4096):
            self.connection.sendall(piece)


def serve():
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    while True:
        Service(listener.accept()[0]).start()


def connect(port, line):
    connection = socket.create_connection(("127.0.0.1", port), timeout=100)
    connection.sendall(line)
    return connection


def read_all(connection):
    text = b""
    while piece := connection.recv(MEBIBYTE):
        text += piece
    return text


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happens"
        time.sleep(0.02)


def ask(port, line):
    return read_all(connect(port, line))


def end_first(port, server):
    connection = connect(port, b"end_first\n")
    assert read_all(connection) == b""  # the server's end has come through, this direction is still open
    connection.sendall(b"said after the server's end")
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""
    until(lambda: ask(server, b"heard\n") == b"said after the server's end")


def reset_by_client(port, server):
    before = int(ask(server, b"resets\n"))
    connection = connect(port, b"echo\nx")
    assert connection.recv(1) == b"x"
    reset(connection)
    connection.close()
    until(lambda: int(ask(server, b"resets\n")) == before + 1)


def reset_by_server(port, server):
    try:
        assert read_all(connect(port, b"reset\n")) == b"", "data?"
        raise AssertionError("a reset arrives as an orderly end")
    except ConnectionResetError:
        pass


def stalled(port, server):
    clients = [connect(port, b"flood\n") for _ in range(20)]
    seen = [-1, 0]

    def stands_still():
        time.sleep(0.5)
        seen[:] = [seen[1], int(ask(server, b"flooded\n"))]
        return seen[0] == seen[1] > 0

    until(stands_still)
    for client in clients:
        reset(client)
        client.close()
    print(seen[1] // len(clients) // MEBIBYTE)  # MiB that fitted between the server and one client who does not read


def idle(port, server):
    connection = connect(port, b"echo\nx")
    assert connection.recv(1) == b"x"
    try:
        assert connection.recv(1) == b"", "data?"
    except ConnectionResetError:
        pass


def stuck(port, server):  # it does not read, and is given up all the same
    before = int(ask(server, b"resets\n"))
    connection = connect(port, b"flood\n")
    until(lambda: int(ask(server, b"resets\n")) > before)
    connection.close()


def drip(port, server):  # one direction is busy: neither is idle
    assert ask(port, b"drip 30\n") == b"." * 30


def crowded(port, server):
    first = connect(port, b"echo\nx")
    assert first.recv(1) == b"x"
    second = connect(port, b"echo\ny")  # the system takes it, the proxy does not
    second.settimeout(0.5)
    try:
        second.recv(1)
        raise AssertionError("one too many is served")
    except TimeoutError:
        pass
    first.close()
    second.settimeout(60)
    assert second.recv(1) == b"y"


def drain(port, server):  # the test sends SIGTERM when it reads "ready"
    connection = connect(port, b"echo\nx")
    assert connection.recv(1) == b"x"
    print("ready", flush=True)
    sys.stdin.readline()
    connection.sendall(b"y")
    assert connection.recv(1) == b"y"
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""


if sys.argv[1] == "serve":
    serve()
else:
    globals()[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
