"""The WSGI server's life, and its command."""

import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from certificates import client_context, key_and_certificate, server_context
from wsgi_helpers import TEXT, App, Serving, get, hello, read_response, rest_of

import ecru
from ecru import net
from ecru.wsgi import serve

# ---- the server's life -----------------------------------------------------------------------------------------------


def waiting(gate: ecru.Event) -> App:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT[:])
        gate.wait()
        return [b"done"]

    return app


def test_the_end_finishes_what_has_begun() -> None:
    gate = ecru.Event()
    with Serving(waiting(gate)) as serving:
        busy, idle = serving.dial(), serving.dial()
        busy.sendall(get() + get())
        while serving.server.requests < 1:
            ecru.sleep(0.001)
        serving.task.cancel()
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionError):
            serving.dial().recv(1)
        gate.set()
        assert [read_response(busy)[2] for _ in range(1)] == [b"done"]
        assert isinstance(serving.task.exception(), ecru.Cancelled)


def test_what_takes_too_long_at_the_end_is_cancelled() -> None:
    with Serving(waiting(ecru.Event()), drain_seconds=0.05) as serving, serving.dial() as conn:
        conn.sendall(get())
        while serving.server.requests < 1:
            ecru.sleep(0.001)
        serving.server.stop()
        assert rest_of(conn) == b""
        serving.task.result()


def test_serve_takes_several_addresses(tmp_path: Path) -> None:
    with net.listen("127.0.0.1:0") as free:
        address = free.address
    task = ecru.spawn(serve, hello, address, f"unix:{tmp_path}/socket", drain_seconds=1)
    while not (tmp_path / "socket").exists():
        ecru.sleep(0.001)
    for where in (address, f"unix:{tmp_path}/socket"):
        with net.dial(where) as conn:
            conn.sendall(get())
            assert read_response(conn)[2] == b"hello"
    task.cancel()
    assert isinstance(task.exception(), ecru.Cancelled)
    assert not (tmp_path / "socket").exists()


def test_requests_wait_for_each_other_no_more_than_they_must() -> None:
    meeting = ecru.Barrier(50)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        meeting.wait(20)  # all have to be there
        start_response("200 OK", TEXT[:])
        return [b"met"]

    def ask(serving: Serving) -> bytes:
        with serving.dial() as conn:
            conn.sendall(get())
            return read_response(conn)[2]

    with Serving(app) as serving:
        tasks = [ecru.spawn(ask, serving) for _ in range(50)]
        assert {task.result() for task in tasks} == {b"met"}


def test_tls() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT[:])
        return [f"{environ['wsgi.url_scheme']} {environ['wsgi.input'].read()}".encode()]

    with Serving(app, tls=server_context("http/1.1")) as serving:
        with net.dial(serving.address, tls=client_context("http/1.1"), timeout=20) as conn:
            conn.set_deadline(20)
            conn.sendall(get("/", "Content-Length: 3", method="POST") + b"abc")
            assert read_response(conn)[2] == b"https b'abc'"
            conn.sendall(get("/", "Connection: close"))
            assert read_response(conn)[2] == b"https b''"
            assert conn.recv(1) == b""
        with serving.dial() as plain:
            plain.sendall(get())
            assert b"HTTP" not in rest_of(plain)


def test_the_access_log_has_a_line_for_each_request() -> None:
    log = io.StringIO()
    with Serving(hello, access_log=log) as serving:
        serving.exchange(get("/a\xe4", "Connection: close"))
    assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /a\\xe4 HTTP/1\.1" 200 5 \d+us\n', log.getvalue())


# ---- the command -----------------------------------------------------------------------------------------------------

PROGRAM = """
import os
import ecru

def slow():
    yield b"begun, "
    while not os.path.exists("go"):
        ecru.sleep(0.001)
    yield b"done"

def make():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return slow() if environ["PATH_INFO"] == "/slow" else [b"from a process"]
    return app

app = make()
"""


def start_command(tmp_path: Path, *arguments: str) -> tuple["subprocess.Popen[str]", str]:
    (tmp_path / "served.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "ecru.wsgi", "--chdir", str(tmp_path), *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "serving" in line, line + process.stderr.read()
    return process, line.split()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(tmp_path: Path, number: int) -> None:
    process, address = start_command(tmp_path, "served:app", "--bind", "127.0.0.1:0", "--access-log", "-")
    with process:
        with net.dial(address) as conn, net.dial(address):  # the other one stays idle
            conn.sendall(get())
            assert read_response(conn)[2] == b"from a process"
            conn.sendall(get("/slow"))
            begun = conn.read_until(b"begun, \r\n")
            process.send_signal(number)
            (tmp_path / "go").touch()
            assert begun + rest_of(conn) == begun + b"4\r\ndone\r\n0\r\n\r\n"
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
        assert re.findall(r'"GET (\S+) HTTP/1.1" 200 (\d+) ', out) == [("/", "14"), ("/slow", "11")]


def test_the_command_serves_tls_and_factories(tmp_path: Path) -> None:
    (tmp_path / "all.pem").write_text(key_and_certificate())
    files = ["--certfile", str(tmp_path / "all.pem"), "--bind", "127.0.0.1:0"]
    process, address = start_command(tmp_path, "served:make()", *files)
    with process:
        with net.dial(address, tls=client_context(), timeout=20) as conn:
            conn.sendall(get())
            assert read_response(conn)[2] == b"from a process"
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("app", "words"), [("nowhere:app", "nowhere"), ("served:none", "none"), ("sys:path", "no application")]
)
def test_the_command_says_what_is_wrong(tmp_path: Path, app: str, words: str) -> None:
    (tmp_path / "served.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "ecru.wsgi", "--chdir", str(tmp_path), app]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode != 0
    assert words in result.stderr
