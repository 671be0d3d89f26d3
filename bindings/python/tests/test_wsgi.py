"""ecru.wsgi: what goes over the wire, byte by byte."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsgi_helpers import TEXT, App, Serving, get, hello, read_response, rest_of, show

import ecru
from ecru.wsgi import Limits

# ---- plain requests --------------------------------------------------------------------------------------------------


def test_a_connection_carries_many_requests() -> None:
    with Serving(hello) as serving, serving.dial() as conn:
        for _ in range(3):
            conn.sendall(get())
            status, fields, body = read_response(conn)
            assert (status, body) == ("HTTP/1.1 200 OK", b"hello")
            assert fields["content-length"] == "5"
            assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", fields["date"])
            assert "connection" not in fields
        assert serving.server.connections == 1
    assert serving.server.requests == 3
    assert serving.errors.getvalue() == ""


def test_pipelined_requests_are_answered_in_order() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(100)
        start_response("200 OK", TEXT[:])
        return [environ["PATH_INFO"].encode() + body]

    with Serving(app) as serving, serving.dial() as conn:
        conn.sendall(get("/1") + get("/2", "Content-Length: 3", method="POST") + b"abc" + b"\r\n" + get("/3"))
        assert [read_response(conn)[2] for _ in range(3)] == [b"/1", b"/2abc", b"/3"]


def test_the_environment_says_what_was_asked() -> None:
    request = get("/a%20b/%C3%A4?x=%20&y", "Content-Type: text/x", "X-Two: 1", "x-two:2 ", "Cookie: a", "Cookie: b")
    with Serving(validator(show)) as serving, serving.dial() as conn:
        conn.sendall(request)
        text = read_response(conn)[2].decode()
        port = serving.address[1]
    for line in (
        "REQUEST_METHOD='GET'",
        "SCRIPT_NAME=''",
        f"PATH_INFO={'/a b/ä'.encode().decode('latin-1')!r}",
        "QUERY_STRING='x=%20&y'",
        "REQUEST_URI='/a%20b/%C3%A4?x=%20&y'",
        "CONTENT_TYPE='text/x'",
        "HTTP_X_TWO='1,2'",
        "HTTP_COOKIE='a; b'",
        "HTTP_HOST='example.org'",
        "SERVER_PROTOCOL='HTTP/1.1'",
        "SERVER_NAME='127.0.0.1'",
        f"SERVER_PORT='{port}'",
        "REMOTE_ADDR='127.0.0.1'",
    ):
        assert f"{line}\n" in text


def test_whole_urls_and_asterisks_may_be_asked_for() -> None:
    with Serving(show) as serving:
        text = serving.exchange(get("http://other.org/path?q", "Connection: close")).decode()
        assert "HTTP_HOST='other.org'" in text
        assert "PATH_INFO='/path'" in text
        assert "PATH_INFO='/'" in serving.exchange(get("http://other.org", "Connection: close")).decode()
        assert "PATH_INFO='*'" in serving.exchange(get("*", "Connection: close", method="OPTIONS")).decode()


def test_an_application_may_be_mounted_below_the_root() -> None:
    with Serving(show, script_name="/sub") as serving:
        for path, expected in (("/sub/x", ("/sub", "/x")), ("/sub", ("/sub", "")), ("/subway", ("", "/subway"))):
            text = serving.exchange(get(path, "Connection: close")).decode()
            assert f"PATH_INFO={expected[1]!r}\n" in text
            assert f"SCRIPT_NAME={expected[0]!r}\n" in text


def test_fields_with_underscores_are_dropped() -> None:
    with Serving(show) as serving:
        text = serving.exchange(get("/", "X_A: 1", "Content_Length: 5", "X-B: 2", "Connection: close")).decode()
    assert "HTTP_X_A" not in text
    assert "CONTENT_LENGTH" not in text
    assert "HTTP_X_B='2'" in text


@pytest.mark.parametrize(
    ("version", "field", "kept"),
    [
        ("1.1", "A: b", True),
        ("1.1", "Connection: close", False),
        ("1.0", "A: b", False),
        ("1.0", "Connection: Keep-Alive", True),
    ],
)
def test_connections_are_kept_as_the_client_says(version: str, field: str, kept: bool) -> None:
    with Serving(hello) as serving, serving.dial() as conn:
        conn.sendall(get("/", field, version=version))
        _, fields, body = read_response(conn)
        assert body == b"hello"
        assert fields.get("connection") == ({"1.0": "keep-alive", "1.1": None}[version] if kept else "close")
        if not kept:
            assert conn.recv(1) == b""


# ---- bodies of requests ----------------------------------------------------------------------------------------------


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT[:])
    return [body]


def chunks(*pieces: bytes, trailer: bytes = b"") -> bytes:
    return b"".join(b"%X;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


def test_bodies_come_by_length_or_in_chunks() -> None:
    with Serving(echo) as serving, serving.dial() as conn:
        conn.sendall(get("/", "Content-Length: 5", method="POST") + b"hello")
        assert read_response(conn)[2] == b"hello"
        conn.sendall(get("/", "Content-Length: 200000", method="POST"))
        for _ in range(20):
            conn.sendall(b"x" * 10_000)
            ecru.yield_()
        assert read_response(conn)[2] == b"x" * 200_000
        conn.sendall(
            get("/", "Transfer-Encoding: Chunked", method="POST") + chunks(b"ab", b"c" * 20, trailer=b"T: 1\r\n")
        )
        assert read_response(conn)[2] == b"ab" + b"c" * 20


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 60), st.booleans())
def test_any_division_gives_the_same_body(pieces: list[bytes], step: int, chunked: bool) -> None:
    body = b"".join(pieces)
    if chunked:
        request = get("/", "Transfer-Encoding: chunked", method="POST") + chunks(*pieces)
    else:
        request = get("/", f"Content-Length: {len(body)}", method="POST") + body
    request += get("/second", "Connection: close")
    with shared_echo().dial() as conn:
        for at in range(0, len(request), step):
            conn.sendall(request[at : at + step])
            ecru.yield_()
        assert read_response(conn)[2] == body
        assert read_response(conn)[2] == b""
        assert conn.recv(1) == b""


_shared: list[Serving] = []


def shared_echo() -> Serving:
    if not _shared:
        _shared.append(Serving(echo))
    return _shared[0]


@pytest.fixture(scope="module", autouse=True)
def shared_end() -> Iterator[None]:
    yield
    while _shared:
        _shared.pop().__exit__()


def test_the_input_is_a_file() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        stream = environ["wsgi.input"]
        first, rest = stream.readline(), stream.readlines()
        start_response("200 OK", TEXT[:])
        return [repr([first, rest, stream.read(5), list(stream)]).encode()]

    with Serving(validator(app)) as serving, serving.dial() as conn:
        conn.sendall(
            get("/", "Content-Type: a/b", "Transfer-Encoding: chunked", method="PUT") + chunks(b"a\nb", b"b\nc")
        )
        assert read_response(conn)[2] == b"[b'a\\n', [b'bb\\n', b'c'], b'', []]"


def test_who_expects_it_is_told_to_go_on() -> None:
    with Serving(echo) as serving, serving.dial() as conn:
        conn.sendall(get("/", "Content-Length: 3", "Expect: 100-Continue", method="PUT"))
        assert conn.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        conn.sendall(b"abc")
        assert read_response(conn)[2] == b"abc"
        conn.sendall(get("/", "Content-Length: 3", "Expect: 100-continue", method="PUT") + b"abc")
        assert read_response(conn)[0] == "HTTP/1.1 200 OK"  # it did not wait, nor do we


def test_a_body_nobody_asked_for_ends_the_connection() -> None:
    with Serving(hello) as serving, serving.dial() as conn:
        conn.sendall(get("/", "Content-Length: 3", "Expect: 100-continue", method="PUT"))
        status, fields, _ = read_response(conn)
        assert (status, fields["connection"]) == ("HTTP/1.1 200 OK", "close")
        assert conn.recv(1) == b""


def test_what_the_application_does_not_read_is_skipped() -> None:
    with Serving(hello) as serving, serving.dial() as conn:
        conn.sendall(get("/", "Content-Length: 10000", method="POST"))
        assert read_response(conn)[2] == b"hello"
        conn.sendall(b"x" * 10_000 + get("/", "Transfer-Encoding: chunked", method="POST"))
        assert read_response(conn)[2] == b"hello"
        conn.sendall(chunks(b"x" * 5000) + get("/", "Content-Length: 10000000", method="POST"))
        assert read_response(conn)[2] == b"hello"
        assert conn.recv(1) == b""  # too much


def test_a_body_cut_off_is_an_error_for_the_application() -> None:
    seen: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            seen.append(error)
            raise
        return []

    with Serving(app) as serving:
        assert serving.exchange(get("/", "Content-Length: 10", method="POST") + b"12345") == b""
        answer = serving.exchange(get("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhelloX\r\n0\r\n\r\n")
    assert len(seen) == 2
    assert "incomplete" in str(seen[0])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert serving.errors.getvalue() == ""


# ---- responses -------------------------------------------------------------------------------------------------------


def responding(status: str, fields: list[tuple[str, str]], *pieces: bytes, whole: bool = False) -> App:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, fields[:])
        return list(pieces) if whole else iter(pieces)

    return app


def test_what_has_no_length_goes_in_chunks() -> None:
    with Serving(responding("200 OK", TEXT, b"one", b"", b"three")) as serving:
        with serving.dial() as conn:
            conn.sendall(get())
            _, fields, body = read_response(conn)
            assert (fields["transfer-encoding"], body) == ("chunked", b"onethree")
        old = serving.exchange(get(version="1.0"))
        assert old.endswith(b"Connection: close\r\n\r\nonethree")
        assert b"chunked" not in old


def test_pieces_are_sent_as_they_come() -> None:
    gate: ecru.Chan[None] = ecru.Chan()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT[:])
        for _ in range(3):
            yield b"piece"
            gate.recv()

    with Serving(app) as serving, serving.dial() as conn:
        conn.sendall(get())
        conn.read_until(b"\r\n\r\n")
        for _ in range(3):
            assert conn.read_exactly(10) == b"5\r\npiece\r\n"
            gate.send(None)
        assert conn.read_exactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_answers_have_no_body(status: str) -> None:
    app = responding(status, [("ETag", "x"), ("Content-Length", "9")], b"nine bytes")
    with Serving(app) as serving, serving.dial() as conn:
        for _ in range(2):
            conn.sendall(get())
            head = conn.read_until(b"\r\n\r\n").decode()
            assert head.startswith(f"HTTP/1.1 {status}\r\n")
            assert "chunked" not in head
            assert ("Content-Length: 9" in head) == status.startswith("304")


def test_head_gets_the_fields_alone() -> None:
    with Serving(hello) as serving, serving.dial() as conn:
        conn.sendall(get(method="HEAD") + get())
        assert b"Content-Length: 5\r\n" in conn.read_until(b"\r\n\r\n")
        assert read_response(conn)[2] == b"hello"


def test_a_length_that_is_promised_is_kept() -> None:
    with Serving(responding("200 OK", [("Content-Length", "5")], b"123", b"4567")) as serving:
        response = serving.exchange(get())
        assert response.endswith(b"\r\n\r\n12345")
    with Serving(responding("200 OK", [("Content-Length", "5")], b"123")) as serving:
        assert serving.exchange(get() + get()).endswith(b"\r\n\r\n123")  # cut off, so that the client sees it
        assert "missing" in serving.errors.getvalue()


def test_the_applications_own_fields_win() -> None:
    fields = [("Date", "today"), ("SERVER", "mine"), ("Connection", "close"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]
    with Serving(responding("299 Odd Status", fields, b"x", whole=True)) as serving:
        response = serving.exchange(get()).decode()
    head = response.split("\r\n")
    assert head[0] == "HTTP/1.1 299 Odd Status"
    assert head.count("Connection: close") == 1
    assert [line for line in head if line.lower().startswith(("date", "server", "set-"))] == [
        "Date: today",
        "SERVER: mine",
        "Set-Cookie: a",
        "Set-Cookie: b",
    ]


def test_write_is_there_for_applications_of_old() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT[:])
        write(b"one")
        write(b"two")
        return [b"three"]

    with Serving(validator(app)) as serving, serving.dial() as conn:
        conn.sendall(get())
        assert read_response(conn)[2] == b"onetwothree"


def test_files_can_be_returned(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(300_000))

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "300000")])
        return environ["wsgi.file_wrapper"](path.open("rb"), 65536)  # type: ignore[no-any-return]

    with Serving(app) as serving, serving.dial() as conn:
        conn.sendall(get())
        assert read_response(conn)[2] == path.read_bytes()


def test_the_result_is_closed_whatever_happens() -> None:
    closed = []

    class Result:
        def __init__(self, *pieces: object) -> None:
            self.pieces = iter(pieces)

        def __iter__(self) -> "Result":
            return self

        def __next__(self) -> object:
            piece = next(self.pieces)
            if isinstance(piece, Exception):
                raise piece
            return piece

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", TEXT[:])
        return {"/good": Result(b"x"), "/bad": Result(b"x", LookupError("late")), "/text": Result("x")}[
            environ["PATH_INFO"]
        ]

    with Serving(app) as serving:
        assert serving.exchange(get("/good")).endswith(b"1\r\nx\r\n0\r\n\r\n")
        assert serving.exchange(get("/bad")).endswith(b"1\r\nx\r\n")  # cut off
        assert serving.exchange(get("/text")).startswith(b"HTTP/1.1 500 ")
    assert len(closed) == 3
    assert "late" in serving.errors.getvalue()
    assert "bodies are of bytes" in serving.errors.getvalue()


# ---- applications that fail ------------------------------------------------------------------------------------------


def raising(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    raise LookupError("secret words")


def exiting(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    sys.exit("secret words")


def silent(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    return [b"no start"]


@pytest.mark.parametrize(
    "app",
    [
        raising,
        exiting,
        silent,
        responding("200", TEXT),
        responding("200 OK\r\nX: y", TEXT),
        responding("200 OK", [("X", "a\r\nY: b")], b"x"),
        responding("200 OK", [("X", "a\nY: b")], b"x", whole=True),
        responding("200 OK", [("Content-Length", "-1")], b"x"),
        responding("200 OK", [("Content-Length", "1"), ("Content-Length", "1")], b"x"),
        responding("200 OK", [("X", "\u20ac")], b"x"),
        responding("200 OK", ("X", "y"), b"x"),  # type: ignore[arg-type]
    ],
)
def test_errors_are_answered_and_reported(app: App) -> None:
    with Serving(app) as serving:
        response = serving.exchange(get() + get())
    assert response.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert response.endswith(b"Connection: close\r\n\r\nInternal Server Error\n")
    assert serving.errors.getvalue().startswith("Traceback")
    assert b"secret" not in response


def test_start_response_may_change_its_mind_after_an_error() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT[:])
        if environ["PATH_INFO"] == "/late":
            yield b"x"
        try:
            raise LookupError("wrong")
        except LookupError:
            start_response("503 Busy", TEXT[:], sys.exc_info())
            yield b"busy"

    def twice(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT[:])
        start_response("200 OK", TEXT[:])
        return []

    with Serving(validator(app)) as serving:
        assert serving.exchange(get()).startswith(b"HTTP/1.1 503 Busy\r\n")
        assert serving.exchange(get("/late")).endswith(b"1\r\nx\r\n")
        assert "LookupError: wrong" in serving.errors.getvalue()
    with Serving(twice) as serving:
        assert serving.exchange(get()).startswith(b"HTTP/1.1 500 ")


# ---- clients that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, b"\x16\x03\x01\x02\x00\x01\r\n\r\n"),
        (400, b"GET\r\n\r\n"),
        (400, b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"),
        (400, b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET / HTTX/1.1\r\nHost: a\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, b"GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        (501, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nNoColon\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (501, b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        (417, b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: wonders\r\n\r\nx"),
        (413, b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\nx"),
        (
            413,
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n",
        ),
        (400, b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: 1\r\n" * 500 + b"\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 3000 + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20 + b"\r\n"),
    ],
)
def test_bad_requests_are_refused_and_end_the_connection(status: int, request_: bytes) -> None:
    limits = Limits(head_bytes=2000, fields=10, body_bytes=1000)
    with Serving(echo, limits=limits) as serving:
        response = serving.exchange(request_ + get())
        assert response.startswith(b"HTTP/1.1 %d " % status)
        assert response.count(b"HTTP/1.1") == 1
        assert b"Connection: close\r\n" in response
        assert serving.exchange(get("/", "Connection: close")).startswith(b"HTTP/1.1 200 OK")
        assert serving.errors.getvalue() == ""


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_break_the_server(data: bytes, after_head: bool) -> None:
    serving = shared_echo()
    response = serving.exchange((get("/", "Transfer-Encoding: chunked", method="PUT") if after_head else b"") + data)
    assert response == b"" or response.startswith(b"HTTP/1.1 ")
    assert serving.errors.getvalue() == ""


def test_slow_clients_are_not_waited_for() -> None:
    limits = Limits(head_seconds=0.05, idle_seconds=0.05, body_seconds=0.05, send_seconds=0.2)
    with Serving(echo, limits=limits) as serving:
        with serving.dial() as conn:
            assert conn.recv(1) == b""  # said nothing
        with serving.dial() as conn:
            conn.sendall(b"GET / HT")
            assert rest_of(conn).startswith(b"HTTP/1.1 408 ")
        with serving.dial() as conn:
            conn.sendall(get("/", "Content-Length: 5", method="POST") + b"x")
            assert rest_of(conn).startswith(b"HTTP/1.1 408 ")
        with serving.dial() as conn:
            conn.sendall(get())
            assert read_response(conn)[0] == "HTTP/1.1 200 OK"
            assert conn.recv(1) == b""
    big = responding("200 OK", TEXT, bytes(1 << 25), whole=True)
    with Serving(big, limits=limits) as serving, serving.dial() as conn:
        conn.sendall(get())
        with ecru.timeout(30):
            while serving.server.connections:
                ecru.sleep(0.01)


def test_a_client_that_leaves_disturbs_nobody() -> None:
    with Serving(responding("200 OK", TEXT, *[bytes(1 << 16)] * 100)) as serving:
        for _ in range(5):
            with serving.dial() as conn:
                conn.sendall(get())
                conn.read_until(b"\r\n\r\n")
        with ecru.timeout(30):
            while serving.server.connections:
                ecru.sleep(0.01)
        assert serving.errors.getvalue() == ""


def test_connections_are_limited() -> None:
    with Serving(hello, limits=Limits(connections=2)) as serving:
        first, second, third = (serving.dial() for _ in range(3))
        for conn in (first, second, third):
            conn.sendall(get())
        assert read_response(first)[2] == read_response(second)[2] == b"hello"
        with pytest.raises(TimeoutError):
            third.recv(1, timeout=0.05)
        first.close()
        assert read_response(third)[2] == b"hello"
        second.close()
        third.close()
