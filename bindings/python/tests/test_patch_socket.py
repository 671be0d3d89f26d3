"""ecru.patch(): sockets, select and selectors park."""

import array
import errno
import http.client
import os
import select
import selectors
import socket
import socketserver
import tempfile
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from http_servers import DELAY_SECONDS, SlowHandler, SlowServer
from patched import patched

from ecru import _native

CLIENTS = 100


def go(function: Callable[..., Any], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def raises(kind: type[BaseException], function: Callable[..., Any], *args: Any) -> Any:
    try:
        function(*args)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} expected")


@patched
def test_many_clients_echo_at_once():
    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            time.sleep(DELAY_SECONDS)
            while data := self.request.recv(1000):
                self.request.sendall(data)

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = CLIENTS

    def ask(i: int) -> None:
        with socket.create_connection(server.server_address) as client:
            for k in range(5):
                client.sendall(b"%d/%d" % (i, k))
                assert client.recv(100) == b"%d/%d" % (i, k)
        answered.append(i)

    answered: list[int] = []
    with Server(("127.0.0.1", 0), Echo) as server:
        serving = go(server.serve_forever, 0.05)
        began = time.monotonic()
        join([go(ask, i) for i in range(CLIENTS)])
        assert time.monotonic() - began < CLIENTS * DELAY_SECONDS / 3
        server.shutdown()
        serving.join()
    assert sorted(answered) == list(range(CLIENTS))


@patched
def test_timeouts_are_the_sockets_own():
    a, b = socket.socketpair()
    a.settimeout(0.05)
    began = time.monotonic()
    for operation in (a.recv, a.recvfrom, a.recvmsg):
        assert str(raises(TimeoutError, operation, 10)) == "timed out"
    assert time.monotonic() - began >= 0.15
    raises(TimeoutError, a.recv_into, bytearray(10))
    raises(TimeoutError, a.sendall, bytes(10_000_000))
    a.setblocking(False)
    assert a.gettimeout() == 0
    assert not a.getblocking()
    raises(BlockingIOError, a.recv, 10)
    assert a.fileno() >= 0
    a.settimeout(None)
    assert a.getblocking()
    go(lambda: (time.sleep(0.05), b.send(b"late")))
    assert a.recv(10) == b"late"
    b.shutdown(socket.SHUT_WR)
    assert a.recv(10) == b""
    a.close()
    b.close()


@patched
def test_a_timeout_is_each_calls_own():
    a, b = socket.socketpair()
    a.settimeout(0.5)
    outcomes: list[Any] = []

    def take() -> None:
        try:
            outcomes.append(a.recv(1))
        except TimeoutError:
            outcomes.append(None)

    threads = [go(take) for _ in range(3)]
    time.sleep(0.01)
    b.send(b"x")
    join(threads)
    assert sorted(map(repr, outcomes)) == ["None", "None", "b'x'"]
    a.close()
    b.close()


@patched
def test_closing_wakes_who_waits():
    for operation in ("recv", "recvfrom", "accept"):
        if operation == "accept":
            waiting = socket.create_server(("127.0.0.1", 0))
            arguments = ()
        else:
            waiting, other = socket.socketpair()
            arguments = (10,)
        errors: list[int] = []
        thread = go(
            lambda w=waiting, o=operation, a=arguments, e=errors: e.append(raises(OSError, getattr(w, o), *a).errno)
        )
        time.sleep(0.01)
        waiting.close()
        thread.join()
        assert errors == [errno.EBADF], operation
        assert waiting.fileno() == -1
    other.close()


@patched
def test_what_is_closed_is_ready_for_who_selects_it():
    for given in (lambda sock: sock, lambda sock: sock.fileno()):
        (a, b), (c, d) = socket.socketpair(), socket.socketpair()
        thing, found = given(a), []
        thread = go(lambda t=thing, c=c, f=found: f.extend(select.select([t, c], [], [t])))
        time.sleep(0.01)
        assert not found
        a.close()
        thread.join()
        assert found == [[thing], [], [thing]]
        with pytest.raises((OSError, ValueError)):
            select.select([thing], [], [])
        for end in (b, c, d):
            end.close()


@patched
def test_who_polls_what_is_closed_goes_on():
    epoll = select.epoll()
    found: list[Any] = []
    thread = go(lambda: found.append(epoll.poll()))
    time.sleep(0.01)
    assert not found
    epoll.close()
    thread.join()
    assert found == [[]]
    with pytest.raises(ValueError, match="closed epoll"):
        epoll.poll()


@patched
def test_numbers_are_reused_without_harm():
    for _ in range(50):
        a, b = socket.socketpair()
        thread = go(b.recv, 1)
        time.sleep(0)
        a.send(b"x")
        thread.join()
        fd = b.detach()  # and closed behind its back
        os.close(fd)
        a.close()


@patched
def test_detached_and_duplicated():
    a, b = socket.socketpair()
    c = b.dup()
    thread = go(a.recv, 10)
    time.sleep(0)
    b.close()
    c.sendall(b"still")
    thread.join()
    fd = a.detach()
    assert os.get_blocking(fd)
    again = socket.socket(fileno=fd)
    go(lambda: (time.sleep(0.01), c.sendall(b"more")))
    assert again.recv(10) == b"more"
    again.close()
    c.close()


@patched
def test_datagrams_files_and_descriptors():
    a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    a.bind(("127.0.0.1", 0))
    b.bind(("127.0.0.1", 0))
    go(lambda: (time.sleep(0.02), b.sendto(b"datagram", ("localhost", a.getsockname()[1]))))
    assert a.recvfrom(4) == (b"data", b.getsockname())
    buffer = bytearray(8)
    go(lambda: (time.sleep(0.02), b.sendto(b"datagram", a.getsockname())))
    assert a.recvfrom_into(buffer) == (8, b.getsockname())
    c, d = socket.socketpair()
    passed = array.array("i", [a.fileno()])
    go(lambda: (time.sleep(0.02), c.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])))
    data, ancillary, _, _ = d.recvmsg(10, 100)
    assert data == b"x"
    assert len(ancillary) == 1
    os.close(array.array("i", ancillary[0][2])[0])
    with tempfile.TemporaryFile() as file:
        file.write(bytes(3_000_000))
        file.seek(0)
        got: list[int] = []
        thread = go(lambda: [got.append(len(data)) for data in iter(lambda: d.recv(65536), b"")])
        assert c.sendfile(file) == 3_000_000
        c.close()
        thread.join()
        assert sum(got) == 3_000_000
    for open_socket in (a, b, d):
        open_socket.close()


@patched
def test_os_sendfile_fills_files_at_once():
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as copy:
        file.write(bytes(1_000_000))
        assert os.sendfile(copy.fileno(), file.fileno(), 0, 1_000_000) == 1_000_000


@patched
def test_os_sendfile_parks():
    for warm in (True, False):
        a, b = socket.socketpair()
        if warm:  # it has been waited for
            go(lambda b=b: (time.sleep(0.02), b.send(b"x")))
            assert a.recv(1) == b"x"
        with tempfile.TemporaryFile() as file:
            file.write(bytes(1_000_000))
            got: list[int] = []
            thread = go(lambda b=b, got=got: [got.append(len(data)) for data in iter(lambda: b.recv(65536), b"")])
            sent = 0
            while sent < 1_000_000:
                sent += os.sendfile(a.fileno(), file.fileno(), sent, 1_000_000 - sent)
            assert os.sendfile(out_fd=a.fileno(), in_fd=file.fileno(), offset=1_000_000, count=5) == 0
        a.close()
        thread.join()
        b.close()
        assert sum(got) == 1_000_000


@patched
def test_connecting_fails_as_ever():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    raises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", port))
    client = socket.socket()
    assert client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
    raises(socket.gaierror, client.connect, ("no-such-host.invalid", 80))
    raises(TypeError, client.connect, 5)
    client.close()
    raises(OSError, client.recv, 1)


@patched
def test_a_unix_socket_with_a_full_backlog_is_waited_for():
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as server:
        path = f"{directory}/socket"
        server.bind(path)
        server.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        threads = [go(client.connect, path) for client in clients]
        time.sleep(0.01)
        for _ in clients:
            server.accept()[0].close()
        join(threads)
        for client in clients:
            client.close()


@patched
def test_select_poll_and_epoll_park():
    a, b = socket.socketpair()
    idle, other = socket.socketpair()
    turns: list[int] = []
    ticking = go(lambda: [turns.append(1) or time.sleep(0.005) for _ in range(10)])
    assert select.select([a], [], [], 0.03) == ([], [], [])
    assert turns
    assert select.select([a], [b], []) == ([], [b], [])
    poll, epoll = select.poll(), select.epoll()
    poll.register(a, select.POLLIN)
    poll.register(idle, select.POLLIN)
    epoll.register(a, select.EPOLLIN)
    assert poll.poll(10) == []
    assert epoll.poll(0.01) == []
    go(lambda: (time.sleep(0.02), b.send(b"x")))
    assert select.select([a, idle], [], [], 30) == ([a], [], [])
    assert poll.poll() == [(a.fileno(), select.POLLIN)]
    assert epoll.poll() == [(a.fileno(), select.EPOLLIN)]
    assert select.select((a.fileno(), idle), (b.fileno(),), [a.fileno()]) == ([a.fileno()], [b.fileno()], [])
    a.recv(1)
    go(lambda: (time.sleep(0.02), b.send(b"x")))
    assert select.select([a.fileno(), idle.fileno()], [], [], 30) == ([a.fileno()], [], [])
    a.recv(1)
    go(lambda: (time.sleep(0.02), b.send(b"x")))
    assert epoll.poll() == [(a.fileno(), select.EPOLLIN)]
    epoll.close()
    assert epoll.closed
    ticking.join()
    for kind in (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector):
        assert kind.__module__ == "selectors"
        a.recv(1)
        with kind() as selector:
            selector.register(a, selectors.EVENT_READ, "data")
            assert selector.select(0.01) == []
            go(lambda: (time.sleep(0.01), b.send(b"x")))
            assert [key.data for key, _ in selector.select()] == ["data"]
    for open_socket in (a, b, idle, other):
        open_socket.close()


@patched
def test_http_clients_and_server_of_the_standard_library():
    def ask(i: int) -> None:
        host, port = server.server_address[:2]
        if i % 2:
            with urllib.request.urlopen(f"http://{host}:{port}/{i}") as response:
                answers.append(response.read())
        else:
            connection = http.client.HTTPConnection(host, port)
            connection.request("GET", f"/{i}")
            answers.append(connection.getresponse().read())
            connection.close()

    answers: list[bytes] = []
    with SlowServer(("127.0.0.1", 0), SlowHandler) as server:
        serving = go(server.serve_forever, 0.05)
        began = time.monotonic()
        join([go(ask, i) for i in range(CLIENTS)])
        assert time.monotonic() - began < CLIENTS * DELAY_SECONDS / 3
        server.shutdown()
        serving.join()
    assert sorted(answers) == sorted(b"/%d" % i for i in range(CLIENTS))


def wait_in_vain(waiting: socket.socket) -> None:
    waiting.settimeout(0.01)
    raises(TimeoutError, waiting.recv, 1)
    assert _native.socket_is_kept(waiting.fileno())


def closed_in_c(close: Callable[[int], object]) -> tuple[socket.socket, int]:
    """A socket object that has waited, and does not know that its descriptor was closed; its number."""
    a, b = socket.socketpair()
    with b:
        wait_in_vain(a)
        close(a.fileno())
    return a, a.fileno()


@patched
def test_a_descriptor_closed_in_c_leaves_its_number_to_others():
    for close in (socket.close, lambda fd: os.fdopen(fd, "rb").close(), lambda fd: os.closerange(fd, fd + 1)):
        stale, number = closed_in_c(close)
        reading, writing = os.pipe()
        assert number in (reading, writing)
        writer = go(lambda end: time.sleep(0.01) or os.write(end, b"y"), writing)
        assert os.read(reading, 1) == b"y"
        writer.join()
        writer = go(lambda end: time.sleep(0.01) or os.write(end, b"y"), writing)
        assert select.select([reading], [], [], 30)[0] == [reading]
        writer.join()
        stale.detach()
        os.close(reading)
        os.close(writing)


@patched
def test_a_descriptor_closed_in_c_may_be_adopted_by_others():
    stale, number = closed_in_c(socket.close)
    reading, writing = os.pipe()
    assert number in (reading, writing)
    with ExitStack() as closing:
        near, far = _native.IO(reading), _native.IO(writing)
        closing.callback(near.close)
        closing.callback(far.close)
        writer = go(lambda: time.sleep(0.01) or far.sendall(b"y"))
        assert near.recv(1, timeout=30) == b"y"
        writer.join()
    stale.detach()


@patched
def test_a_socket_nobody_closed_leaves_its_number_to_others():
    def use_and_drop() -> set[int]:
        a, b = socket.socketpair()
        wait_in_vain(a)
        wait_in_vain(b)
        return {a.fileno(), b.fileno()}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        dropped = use_and_drop()
    reading, writing = os.pipe()
    assert {reading, writing} == dropped
    writer = go(lambda: time.sleep(0.01) or os.write(writing, b"y"))
    assert os.read(reading, 1) == b"y"
    join([writer])
    os.close(reading)
    os.close(writing)


@patched
def test_what_is_duplicated_over_a_socket_has_its_number():
    a, b = socket.socketpair()
    reading, writing = os.pipe()
    wait_in_vain(a)
    a.settimeout(None)
    said: list[int] = []
    waiting = go(lambda: said.append(raises(OSError, a.recv, 1).errno))
    _native.yield_()
    raises(OSError, os.dup2, 1 << 20, a.fileno())
    assert os.dup2(a.fileno(), a.fileno()) == a.fileno()
    _native.yield_()
    assert said == []
    assert os.dup2(reading, a.fileno(), inheritable=False) == a.fileno()
    waiting.join()
    assert said == [errno.EBADF]
    assert not os.get_inheritable(a.fileno())
    writer = go(lambda: time.sleep(0.01) or os.write(writing, b"y"))
    assert os.read(a.fileno(), 1) == b"y"
    writer.join()
    for end in (reading, writing, a.detach(), b.detach()):
        os.close(end)
