"""ecru.net: connections, listeners, datagrams, look-ups; TLS is in test_tls.py."""

import gc
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from certificates import client_context
from hypothesis import given
from hypothesis import strategies as st
from net_helpers import running

from ecru import _native, net
from ecru._native import Cancelled, Closed, spawn

LONG = 30.0  # never reached


@pytest.fixture
def listener() -> Iterator[net.Listener]:
    with net.listen(("127.0.0.1", 0)) as listening:
        yield listening


def test_a_connection_carries_bytes_both_ways(listener: net.Listener) -> None:
    def echo() -> None:
        with listener.accept() as conn:
            while data := conn.recv(100):
                conn.sendall(data)

    with running(echo) as server, net.dial(listener.address) as conn:
        conn.sendall(b"hello")
        assert conn.recv(100) == b"hello"
        conn.write(b"again")
        buffer = bytearray(3)
        assert conn.recv_into(buffer) == 3
        assert bytes(buffer) == b"aga"
        conn.shutdown("w")
        assert conn.read_exactly(2) == b"in"
        assert conn.recv(1) == b""
        server.result()


@pytest.mark.parametrize("form", ["{0}:{1}", "tuple", "localhost:{1}"])
def test_addresses_are_tuples_or_text(listener: net.Listener, form: str) -> None:
    host, port = listener.address
    where = listener.address if form == "tuple" else form.format(host, port)
    with net.dial(where, timeout=5) as conn, listener.accept(timeout=5) as accepted:
        assert conn.peer_address == accepted.local_address == ("127.0.0.1", port)
        assert conn.local_address == accepted.peer_address


def test_unix_sockets_have_paths(tmp_path: Path) -> None:
    where = f"unix:{tmp_path}/socket"
    with net.listen(where, mode=0o600) as listening:
        assert listening.address == f"{tmp_path}/socket"
        assert (tmp_path / "socket").stat().st_mode & 0o777 == 0o600
        with net.dial(where) as conn, listening.accept() as accepted:
            conn.sendall(b"x")
            assert accepted.recv(1) == b"x"
            assert accepted.peer_address == ""
    assert not (tmp_path / "socket").exists()


def test_ipv6_hosts_stand_in_brackets() -> None:
    try:
        listening = net.listen("[::1]:0")
    except OSError:
        pytest.skip("no IPv6 here")
    with listening, net.dial(listening.address) as conn:
        assert listening.address[0] == "::1"
        assert conn.peer_address == listening.address


@pytest.mark.parametrize("bad", [80, None, ("host",), (1, 2), b"host:80", ["host", 80]])
def test_other_things_are_no_addresses(bad: object) -> None:
    with pytest.raises(TypeError, match="address"):
        net.dial(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["host", "127.0.0.1:99999", "127.0.0.1:", ("127.0.0.1", -1)])
def test_malformed_addresses_are_value_errors(bad: net.Address) -> None:
    with pytest.raises(ValueError, match=r"address|argument"):
        net.dial(bad)


def test_nobody_there_is_connection_refused(listener: net.Listener) -> None:
    where = listener.address
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        net.dial(where)


def test_a_local_address_is_bound_first(listener: net.Listener) -> None:
    with net.dial(listener.address, local=("127.0.0.2", 0)) as conn:
        assert conn.local_address[0] == "127.0.0.2"


def test_several_listeners_share_a_port_if_they_say_so() -> None:
    with net.listen(("127.0.0.1", 0), reuse_port=True) as first:
        with net.listen(first.address, reuse_port=True, backlog=5) as second:
            assert second.address == first.address
        with pytest.raises(OSError, match="in use"):
            net.listen(first.address)


def test_accepted_connections_come_by_iteration_until_the_listener_closes(listener: net.Listener) -> None:
    served = []

    def serve() -> None:
        for conn in listener:
            with conn:
                served.append(conn.peer_address)

    with running(serve) as server:
        for _ in range(3):
            with net.dial(listener.address) as conn:
                assert conn.recv(1) == b""
        listener.close()
        server.result()
    assert len(served) == 3


def test_a_socket_that_listens_can_be_taken_over(listener: net.Listener) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        for given in (plain, plain.fileno()):
            with net.Listener.of_socket(given) as taken, net.dial(taken.address) as conn, taken.accept(5) as accepted:
                conn.sendall(b"x")
                assert accepted.recv(1) == b"x"
        assert plain.fileno() >= 0
    with pytest.raises(OSError, match="descriptor"):
        net.Listener.of_socket(-1)


def test_accept_makes_the_given_type(listener: net.Listener) -> None:
    class Mine(net.Conn):
        pass

    with net.dial(listener.address), listener.accept(type=Mine) as conn:
        assert type(conn) is Mine
        conn.note = "a subclass has a dict"  # type: ignore[attr-defined]
        reference = weakref.ref(conn)
    del conn
    gc.collect()
    assert reference() is None
    with pytest.raises(TypeError):
        listener.accept(type=int)  # type: ignore[arg-type]


# ---- time ------------------------------------------------------------------------------------------------------------


def test_every_wait_can_be_limited(listener: net.Listener) -> None:
    a, b = net.pair()
    with a, b:
        with pytest.raises(TimeoutError):
            listener.accept(timeout=0.01)
        with pytest.raises(TimeoutError):
            a.recv(1, timeout=0.01)
        with pytest.raises(TimeoutError):
            a.recv_into(bytearray(1), timeout=0.01)
        with pytest.raises(TimeoutError):
            a.read_line(timeout=0.01)
        with pytest.raises(TimeoutError):
            a.read_exactly(2, timeout=0.01)
        with pytest.raises(TimeoutError):
            a.read_until(b"x", timeout=0.01)
        with pytest.raises(TimeoutError):
            a.sendall(bytes(1 << 24), timeout=0.01)
        b.sendall(b"late")
        assert a.recv(10) == b"late"


def test_a_deadline_holds_for_all_calls_and_those_under_way() -> None:
    a, b = net.pair()
    with a, b:
        task = spawn(a.recv, 1)
        _native.yield_()
        a.set_deadline(0.01)
        assert isinstance(task.exception(), TimeoutError)
        with pytest.raises(TimeoutError):
            a.recv(1, timeout=30)
        with pytest.raises(TimeoutError):
            a.sendall(bytes(1 << 24))
        a.set_deadline(None)
        b.sendall(b"x")
        assert a.recv(1) == b"x"
        a.set_deadline(0, "r")
        b.sendall(b"y")
        with pytest.raises(TimeoutError):
            a.recv(1)
        a.sendall(b"z")


def test_a_calls_own_limit_leaves_the_deadline() -> None:
    a, b = net.pair()
    with a, b:
        a.set_deadline(0.2, "r")
        with pytest.raises(TimeoutError):
            a.recv(1, timeout=0.001)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            a.recv(1)
        assert time.monotonic() - began < 30


def test_a_token_ends_a_wait_and_nothing_is_lost() -> None:
    a, b = net.pair()
    with a, b:
        task = spawn(a.read_exactly, 4)
        b.sendall(b"ab")
        _native.sleep(0.01)
        task.cancel()
        assert isinstance(task.exception(), Cancelled)
        b.sendall(b"cd")
        assert a.read_exactly(4) == b"abcd"


def two_ends() -> tuple[_native.IO, _native.IO]:
    here, there = socket.socketpair()
    return _native.IO(here.detach()), _native.IO(there.detach())


@pytest.mark.parametrize("others", [None, LONG])
@pytest.mark.parametrize("short_first", [False, True])
def test_each_readers_limit_is_its_own(others: float | None, short_first: bool) -> None:
    a, b = two_ends()
    limits = [0.01, others] if short_first else [others, 0.01]
    readers = dict(zip(limits, [spawn(a.recv, 1, limit) for limit in limits], strict=True))
    assert isinstance(readers[0.01].exception(), TimeoutError)
    b.send(b"x")
    assert readers[others].result() == b"x"
    waiting = [spawn(a.wait, "r", limit) for limit in limits]
    assert isinstance(waiting[limits.index(0.01)].exception(), TimeoutError)
    a.close()
    assert isinstance(waiting[limits.index(others)].exception(), Closed)
    b.close()


def test_each_writers_limit_is_its_own() -> None:
    a, b = two_ends()
    everything = bytes(1 << 22)
    patient = spawn(a.sendall, everything)
    received = len(b.recv(1))  # it has begun, on whichever thread
    assert isinstance(spawn(a.send, b"x", 0.01).exception(), TimeoutError)
    assert isinstance(spawn(a.sendall, b"x", 0.01).exception(), TimeoutError)
    while received < len(everything):
        received += len(b.recv(1 << 20))
    patient.result()
    a.close()
    b.close()


def test_what_many_receive_at_a_time_is_not_mixed() -> None:
    sizes = [1, 64, 479, 480, 4096, 8191, 8192, 65535, 65536, 65537, 200_000, 2, 300]

    def send(end: net.Conn, letter: bytes) -> None:
        for size in sizes:
            end.sendall(letter * size)
            _native.yield_()
        end.close()

    def receive(end: net.Conn, letter: bytes, most: int) -> int:
        received = 0
        while data := end.recv(most):
            assert data == letter * len(data)
            received += len(data)
        end.close()
        return received

    readers = []
    for number, most in enumerate([100, 512, 4096, 65536, 65537, 1 << 20] * 3):
        a, b = net.pair()
        letter = bytes([number + 65])
        readers.append((spawn(receive, b, letter, most), sum(sizes)))
        spawn(send, a, letter)
    for task, expected in readers:
        assert task.result() == expected


def test_each_acceptors_limit_is_its_own(listener: net.Listener) -> None:
    patient = spawn(listener.accept)
    assert isinstance(spawn(listener.accept, 0.01).exception(), TimeoutError)
    with net.dial(listener.address), patient.result():
        pass


def test_a_deadline_ends_calls_with_a_later_limit() -> None:
    a, b = two_ends()
    waiting = spawn(a.recv, 1, LONG)
    _native.yield_()
    a.set_deadline(0.01)
    assert isinstance(waiting.exception(), TimeoutError)
    with pytest.raises(TimeoutError):
        a.recv(1, LONG)
    a.set_deadline(None)
    b.send(b"x")
    assert a.recv(1, LONG) == b"x"
    a.close()
    b.close()


def test_the_callers_own_deadline_is_no_timeout_error(listener: net.Listener) -> None:
    with _native.Token(timeout=0.01), pytest.raises(Cancelled) as caught:
        net.dial(listener.address, tls=client_context(), timeout=60)  # nobody shakes hands
    assert caught.value.reason == "deadline"


# ---- closing ---------------------------------------------------------------------------------------------------------


def test_closing_wakes_whoever_waits(listener: net.Listener) -> None:
    a, b = net.pair()
    with b:
        tasks = [spawn(a.recv, 1), spawn(a.sendall, bytes(1 << 24)), spawn(listener.accept)]
        _native.yield_()
        a.close()
        listener.close()
        assert [type(task.exception()) for task in tasks] == [Closed] * 3
        assert a.closed
        assert a.fileno() == -1
        assert "closed" in repr(a)
        a.close()
        with pytest.raises(Closed):
            a.recv(1)


def test_a_connection_nobody_holds_closes_itself() -> None:
    a, b = net.pair()
    with b:
        del a
        gc.collect()
        assert b.recv(1) == b""


def test_a_detached_descriptor_goes_on() -> None:
    a, b = net.pair()
    with b, socket.socket(fileno=a.detach()) as plain:
        assert a.closed
        assert os.get_blocking(plain.fileno())
        plain.sendall(b"x")
        assert b.recv(1) == b"x"


# ---- reading by line, length, separator ------------------------------------------------------------------------------


def test_lines_and_lengths_mix_with_what_is_there() -> None:
    a, b = net.pair()
    with a, b:
        b.sendall(b"GET /\r\nlength 5\nhellorest\n\nend")
        assert a.read_line() == b"GET /\r\n"
        assert a.readline() == b"length 5\n"
        assert a.read_exactly(0) == b""
        assert a.read_exactly(5) == b"hello"
        assert a.recv(2) == b"re"
        assert a.read_until(b"\n\n") == b"st\n\n"
        assert a.buffered == 3
        b.close()
        with pytest.raises(EOFError):
            a.read_until(b"\n")
        with pytest.raises(EOFError):
            a.read_exactly(4)
        assert a.read_line() == b"end"
        assert a.read_line() == a.read_until(b"x") == a.recv(1) == b""


def test_lines_come_by_iteration() -> None:
    a, b = net.pair()
    with a, b:
        b.sendall(b"1\n22\n\n3")
        b.shutdown("w")
        assert list(a) == [b"1\n", b"22\n", b"\n", b"3"]


def test_lines_are_limited() -> None:
    a, b = net.pair()
    with a, b:
        b.sendall(b"x" * 10 + b"\n")
        assert a.read_line(0) == b""
        assert a.read_line(4) == b"xxxx"
        with pytest.raises(ValueError, match="no separator within 5 bytes"):
            a.read_until(b"\n", 5)
        assert a.read_until(b"\n", 7) == b"xxxxxx\n"
        for separator, most in ((b"", 10), (b"ab", 1)):
            with pytest.raises(ValueError, match="separator"):
                a.read_until(separator, most)
        with pytest.raises(TypeError):
            a.read_until("text")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="fewer"):
            a.read_exactly(-1)


def test_one_goroutine_reads_lines_at_a_time() -> None:
    a, b = net.pair()

    def read_when_nobody_does() -> None:
        while True:
            try:
                a.read_line()
            except RuntimeError:  # several workers: the block below was just looking
                _native.yield_()

    with a, b, running(read_when_nobody_does):
        with pytest.raises(RuntimeError, match="another goroutine"):
            while True:
                with suppress(TimeoutError):
                    a.recv(1, timeout=0)
                _native.yield_()
        for read in (a.read_line, lambda: a.recv(1), lambda: a.read_exactly(1), lambda: a.recv_into(bytearray(1))):
            with pytest.raises(RuntimeError, match="another goroutine"):
                read()


pieces = st.lists(st.binary(min_size=1, max_size=30), max_size=8)
reads = st.lists(
    st.one_of(
        st.tuples(st.just("recv"), st.integers(1, 20)),
        st.tuples(st.just("exactly"), st.integers(0, 20)),
        st.tuples(st.just("line"), st.integers(1, 20)),
        st.tuples(st.just("until"), st.binary(min_size=1, max_size=2)),
    ),
    max_size=15,
)


def read_model(conn: net.Conn, rest: bytes, kind: str, argument: int | bytes) -> bytes:
    """Does one read and checks it against all that is to come. returns: what is to come then."""
    if kind == "recv":
        got = conn.recv(argument)
        assert rest.startswith(got)
        assert len(got) <= argument
        assert bool(got) == bool(rest)
    elif kind == "exactly":
        if argument > len(rest):
            with pytest.raises(EOFError):
                conn.read_exactly(argument)
            return rest
        got = conn.read_exactly(argument)
        assert got == rest[:argument]
    elif kind == "line":
        got = conn.read_line(argument)
        assert got == (rest[: rest.find(b"\n") + 1] or rest)[:argument]
    else:
        at = rest.find(argument)
        if at < 0 and rest:
            with pytest.raises(EOFError):
                conn.read_until(argument)
            return rest
        got = conn.read_until(argument)
        assert got == rest[: at + len(argument)]
    return rest[len(got) :]


@given(pieces, reads)
def test_any_mixture_of_reads_gives_the_stream(pieces: list[bytes], reads: list[tuple[str, int | bytes]]) -> None:
    a, b = net.pair()

    def send() -> None:
        for piece in pieces:
            b.sendall(piece.replace(b"\x00", b"\n"))
            _native.yield_()
        b.close()

    with a, running(send):
        rest = b"".join(pieces).replace(b"\x00", b"\n")
        for kind, argument in reads:
            rest = read_model(a, rest, kind, argument)
        assert rest == a.read_exactly(len(rest))


def test_large_reads_and_writes_are_whole() -> None:
    a, b = net.pair()
    data = os.urandom(1 << 20) * 4
    with a, b, running(b.sendall, data):
        assert a.read_exactly(len(data)) == data


def test_writes_of_many_do_not_interleave() -> None:
    a, b = net.pair()
    with a, b:
        tasks = [spawn(b.sendall, bytes([65 + i]) * 300_000) for i in range(5)]
        got = a.read_exactly(5 * 300_000)
        for task in tasks:
            task.result()
        assert sorted(got[at] for at in range(0, len(got), 300_000)) == [65, 66, 67, 68, 69]
        for at in range(0, len(got), 300_000):
            assert got[at : at + 300_000] == got[at : at + 1] * 300_000


@pytest.mark.parametrize("arguments", ["", "-1", "1, 2, 3", "1, limit=2", "1, bytes=2", "'x'"])
def test_wrong_arguments_are_told(arguments: str) -> None:
    a, b = net.pair()
    with a, b, pytest.raises((TypeError, ValueError), match=r"argument|negative|integer"):
        eval(f"a.recv({arguments})")


def test_arguments_have_names() -> None:
    a, b = net.pair()
    with a, b:
        b.sendall(data=b"hello", timeout=5)
        assert a.recv(bytes=2, timeout=5) == b"he"
        assert a.wait(directions="r", timeout=5) == "r"
        assert a.recv_into(buffer=bytearray(9), bytes=0, timeout=5) == 3


def test_a_plain_thread_may_use_them_too(listener: net.Listener) -> None:
    got = []

    def client() -> None:
        with net.dial(listener.address, timeout=10) as conn:
            conn.sendall(b"from a thread\n")
            got.append(conn.read_line())

    thread = threading.Thread(target=client)
    thread.start()
    with listener.accept(timeout=10) as conn:
        conn.sendall(conn.read_line().upper())
    while thread.is_alive():
        _native.sleep(0.001)
    assert got == [b"FROM A THREAD\n"]


def test_a_thousand_connections_at_once(listener: net.Listener) -> None:
    def serve() -> None:
        for conn in listener:
            _native.go(answer, conn)

    def answer(conn: net.Conn) -> None:
        with conn:
            for line in conn:
                conn.sendall(line)

    def ask(number: int) -> bytes:
        with net.dial(listener.address) as conn:
            conn.sendall(b"%d\n" % number)
            return conn.read_line()

    with running(serve):
        tasks = [spawn(ask, number) for number in range(400)]
        assert [task.result() for task in tasks] == [b"%d\n" % number for number in range(400)]
        listener.close()


# ---- datagrams and names ---------------------------------------------------------------------------------------------


def test_datagrams_say_who_sent_them() -> None:
    with net.listen_datagram() as a, net.listen_datagram(("127.0.0.1", 0)) as b:
        assert a.send_to(b"hello", b.local_address) == 5
        assert b.recv_from(100) == (b"hello", a.local_address)
        host, port = b.local_address
        assert a.send_to(b"named", f"localhost:{port}") == 5
        assert b.recv_from(3)[0] == b"nam"
        assert a.send_to(b"", (host, port)) == 0
        assert b.recv_from(100, timeout=5)[0] == b""
        with pytest.raises(TimeoutError):
            b.recv_from(100, timeout=0.01)


def test_a_dialled_datagram_socket_has_one_other_side() -> None:
    with net.listen_datagram() as a, net.dial_datagram(a.local_address) as b:
        b.send(b"x")
        data, sender = a.recv_from(10)
        assert (data, sender) == (b"x", b.local_address)
        a.send_to(b"y", sender)
        assert b.recv(10) == b"y"
        assert b.peer_address == a.local_address


def test_unix_datagrams(tmp_path: Path) -> None:
    with net.listen_datagram(f"unix:{tmp_path}/a") as a, net.listen_datagram(f"unix:{tmp_path}/b") as b:
        a.send_to(b"x", f"unix:{tmp_path}/b")
        assert b.recv_from(10) == (b"x", f"{tmp_path}/a")


def test_names_are_looked_up() -> None:
    assert "127.0.0.1" in net.lookup("localhost", family=4, timeout=30)
    assert net.lookup("127.0.0.9") == ["127.0.0.9"]
    assert net.lookup("::1") == ["::1"]
    with pytest.raises(ValueError, match="family"):
        net.lookup("localhost", family=5)
    for attempt in (lambda: net.lookup("127.0.0.1", family=6), lambda: net.dial("a..b:1")):
        with pytest.raises(socket.gaierror, match="host") as caught:
            attempt()
        assert caught.value.errno == socket.EAI_NONAME
