"""ecru.net with TLS: against itself and against the module ssl in a thread."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from certificates import client_context, server_context
from net_helpers import running

from ecru import _native, net
from ecru._native import Cancelled, Closed, spawn


@pytest.fixture
def listener() -> Iterator[net.Listener]:
    with net.listen(("127.0.0.1", 0), tls=server_context("h2", "http/1.1")) as listening:
        yield listening


@pytest.fixture
def both(listener: net.Listener) -> Iterator[tuple[net.TLSConn, net.TLSConn]]:
    """A client's and a server's side, hands shaken."""
    task = spawn(net.dial, listener.address, tls=client_context("http/1.1"), timeout=30)
    server = listener.accept()
    server.handshake(30)
    with task.result() as client, server:
        yield client, server


def test_both_sides_agree_and_talk(both: tuple[net.TLSConn, net.TLSConn]) -> None:
    client, server = both
    assert client.tls.version() == server.tls.version() == "TLSv1.3"
    assert client.tls.selected_alpn_protocol() == server.tls.selected_alpn_protocol() == "http/1.1"
    assert client.tls.getpeercert()["subjectAltName"]
    client.sendall(b"hello\nworld\nrest")
    assert server.read_line() == b"hello\n"
    assert server.read_until(b"\n") == b"world\n"
    assert server.read_exactly(2) == b"re"
    assert server.recv(100) == b"st"
    buffer = bytearray(10)
    server.write(b"back")
    assert client.recv_into(buffer) == 4
    assert buffer[:4] == b"back"
    assert client.send(b"x" * 100_000) == 65536


def test_the_handshake_of_an_accepted_one_comes_with_its_first_call(listener: net.Listener) -> None:
    def answer() -> None:
        with listener.accept() as conn:
            conn.sendall(conn.read_line().upper())

    with running(answer), net.dial(listener.address, tls=client_context(), timeout=30) as conn:
        conn.sendall(b"hello\n")
        assert conn.read_line() == b"HELLO\n"


def test_a_farewell_is_the_end_of_input(both: tuple[net.TLSConn, net.TLSConn]) -> None:
    client, server = both
    client.sendall(b"last")
    client.close()
    assert server.recv(10) == b"last"
    assert server.recv(10) == b""
    assert server.read_line() == b""


def test_a_half_closed_connection_still_receives(both: tuple[net.TLSConn, net.TLSConn]) -> None:
    client, server = both
    client.sendall(b"question")
    client.shutdown("w")
    assert server.read_exactly(8) == b"question"
    assert server.recv(1) == b""
    server.sendall(b"answer")
    server.close()
    assert client.recv(100) == b"answer"
    assert client.recv(100) == b""


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("suppressed", [False, True])
def test_a_stream_cut_off_is_an_end_unless_that_is_not_suppressed(ignored: bool, suppressed: bool) -> None:
    context = server_context()
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # some interpreters set it by default
    if ignored:
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    with net.listen(("127.0.0.1", 0), tls=context) as listening:
        task = spawn(net.dial, listening.address, tls=client_context(), timeout=30)
        with listening.accept() as server:
            assert isinstance(server, net.TLSConn)
            assert server.suppress_ragged_eofs
            server.suppress_ragged_eofs = suppressed
            server.sendall(b"x")
            client = task.result()
            assert client.recv(10) == b"x"  # with unread bytes it would be a reset
            _native.IO.close(client)
            if suppressed or ignored:
                assert server.recv(1) == b""
                assert server.read_line() == b""
            else:
                with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
                    server.recv(1)


def test_timeouts_lose_nothing(both: tuple[net.TLSConn, net.TLSConn]) -> None:
    client, server = both
    with pytest.raises(TimeoutError):
        client.recv(1, timeout=0.01)
    server.sendall(b"ab")
    with pytest.raises(TimeoutError):
        client.read_exactly(4, timeout=0.05)
    server.sendall(b"cd")
    assert client.read_exactly(4) == b"abcd"
    task = spawn(client.read_line)
    _native.yield_()
    task.cancel()
    assert isinstance(task.exception(), Cancelled)
    server.sendall(b"line\n")
    assert client.read_line() == b"line\n"


def test_an_interrupted_write_does_not_break_the_stream(both: tuple[net.TLSConn, net.TLSConn]) -> None:
    client, server = both
    with pytest.raises(TimeoutError):
        client.sendall(b"x" * (1 << 24), timeout=0.05)  # nobody reads
    done = spawn(lambda: (client.sendall(b"end"), client.shutdown("w")))
    got = b"".join(iter(lambda: server.recv(65536), b""))
    done.result()
    assert got.strip(b"x") == b"end"


def test_many_goroutines_share_one_connection(both: tuple[net.TLSConn, net.TLSConn]) -> None:
    client, server = both
    length = 100_000

    def echo() -> None:
        while data := server.recv(65536):
            server.sendall(data)
        server.shutdown("w")

    with running(echo):
        tasks = [spawn(client.sendall, bytes([65 + i]) * length) for i in range(6)]
        readers = [spawn(client.recv, 1) for _ in range(50)]
        singles = b"".join(reader.result() for reader in readers)
        rest = client.read_exactly(6 * length - len(singles))
        for task in tasks:
            task.result()
        client.shutdown("w")
        assert client.recv(1) == b""
    text = singles + rest
    assert sorted(text[at] for at in range(0, len(text), length)) == [65, 66, 67, 68, 69, 70]
    assert all(len(set(text[at : at + length])) == 1 for at in range(0, len(text), length))


def test_who_reads_does_not_wait_for_who_writes(both: tuple[net.TLSConn, net.TLSConn]) -> None:
    client, server = both
    length = 1 << 24

    def echo() -> None:
        while data := server.recv(65536):
            server.sendall(data)  # waits until the client reads

    with running(echo), running(client.sendall, bytes(length)):
        assert client.read_exactly(length, timeout=60) == bytes(length)


def test_what_the_engine_says_while_it_reads_is_sent(both: tuple[net.TLSConn, net.TLSConn]) -> None:
    client, server = both
    with pytest.raises(TimeoutError):
        client.sendall(b"x" * (1 << 24), timeout=0.05)  # leaves some that was enciphered
    reader = spawn(client.read_line)
    got = 0
    while got < 65536:  # who reads sends the rest of that
        got += len(server.recv(65536, timeout=30))
    server.sendall(b"line\n")
    assert reader.result() == b"line\n"


def test_closing_wakes_whoever_waits(both: tuple[net.TLSConn, net.TLSConn]) -> None:
    client, _ = both
    tasks = [spawn(client.recv, 1), spawn(client.sendall, bytes(1 << 25))]
    _native.sleep(0.01)
    client.close()
    assert [type(task.exception()) for task in tasks] == [Closed, Closed]


def test_a_stranger_is_refused_and_told(listener: net.Listener) -> None:
    server = spawn(lambda: listener.accept().recv(1))
    with pytest.raises(ssl.SSLCertVerificationError):
        net.dial(listener.address, tls=True, timeout=30)
    assert isinstance(server.exception(), ssl.SSLError)


def test_the_name_must_be_the_servers(listener: net.Listener) -> None:
    server = spawn(lambda: listener.accept().recv(1))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname"):
        net.dial(listener.address, tls=client_context(), server_hostname="example.org", timeout=30)
    assert server.exception() is not None


def test_who_does_not_speak_tls_is_an_error() -> None:
    with net.listen(("127.0.0.1", 0)) as plain:
        server = spawn(lambda: plain.accept().sendall(b"220 hello\r\n"))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            net.dial(plain.address, tls=client_context(), timeout=30)
        server.join()


def test_a_silent_server_ends_the_handshake_in_time() -> None:
    with net.listen(("127.0.0.1", 0)) as plain, pytest.raises(TimeoutError):
        net.dial(plain.address, tls=client_context(), timeout=0.05)


def test_the_module_ssl_understands_us(listener: net.Listener) -> None:
    data, got = os.urandom(500_000), []

    def client() -> None:
        plain = socket.create_connection(listener.address)
        with client_context("h2").wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(data)
            while len(got) < len(data):
                got.extend(tls.recv(65536))
            tls.unwrap()

    thread = threading.Thread(target=client)
    thread.start()
    with listener.accept(timeout=30) as conn:
        assert conn.read_exactly(len(data)) == data
        assert conn.tls.selected_alpn_protocol() == "h2"
        conn.sendall(data)
        assert conn.recv(1) == b""
    while thread.is_alive():
        _native.sleep(0.001)
    assert bytes(got) == data


def test_tls_1_2_serves_as_well() -> None:
    context = server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with net.listen(("127.0.0.1", 0), tls=context) as listening:
        server = spawn(lambda: listening.accept().sendall(b"x" * 200_000))
        with net.dial(listening.address, tls=client_context(), timeout=30) as conn:
            assert conn.tls.version() == "TLSv1.2"
            assert conn.read_exactly(200_000) == b"x" * 200_000
        server.result()
