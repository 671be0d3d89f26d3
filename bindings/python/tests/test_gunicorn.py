"""ecru.gunicorn: a real gunicorn with our workers."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import client_context, key_and_certificate

import ecru
from ecru import net

pytest.importorskip("gunicorn")

PROGRAM = """
import os
import time

def slow():
    yield b"begun, "
    while not os.path.exists("go"):
        time.sleep(0.001)  # patched
    yield b"done"

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Worker", str(os.getpid()))])
    if environ["PATH_INFO"] == "/slow":
        return slow()
    if environ["PATH_INFO"] == "/fail":
        raise LookupError("in the application")
    return [f"{environ['wsgi.url_scheme']} {environ['wsgi.multiprocess']}".encode()]
"""


class Gunicorn:
    """A gunicorn and what it has said."""

    def __init__(self, directory: Path, *options: str, program: str) -> None:
        (directory / "served.py").write_text(program)
        self.log = directory / "log"
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-k",
            "ecru.gunicorn.Worker",
            "--bind",
            "127.0.0.1:0",
            "served:app",
        ]
        command += ["--chdir", str(directory), "--log-file", str(self.log), "--no-control-socket", *options]
        self.errors = directory / "errors"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stderr=errors)
        port = self.wait_for(r"Listening at: https?://127\.0\.0\.1:(\d+)")
        self.address = ("127.0.0.1", int(port))

    def wait_for(self, pattern: str, count: int = 1) -> str:
        """The last of `count` matches in the log, or its group, once they are there."""
        with ecru.timeout(40):
            while True:
                found = re.findall(pattern, self.log.read_text() if self.log.exists() else "")
                if len(found) >= count:
                    return str(found[count - 1])
                assert self.process.poll() is None, self.log.read_text()
                ecru.sleep(0.01)

    def get(self, path: str = "/", *fields: str) -> tuple[int, str]:
        """The worker that answers, and the body."""
        with net.dial(self.address, timeout=20) as conn:
            return ask(conn, path, *fields)


def ask(conn: net.Conn, path: str = "/", *fields: str) -> tuple[int, str]:
    conn.set_deadline(20)
    conn.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: a", "Connection: close", *fields, "", ""]).encode())
    head, _, body = b"".join(conn).partition(b"\r\n\r\n")
    worker = re.search(rb"Worker: (\d+)", head)
    return (int(worker[1]) if worker else 0), body.decode()


@contextmanager
def gunicorn(directory: Path, *options: str, program: str = PROGRAM) -> Iterator[Gunicorn]:
    running = Gunicorn(directory, *options, program=program)
    try:
        yield running
        running.process.terminate()
        assert ecru.run_blocking(running.process.wait, 40) == 0
    finally:
        running.process.kill()
        running.process.wait()


def test_requests_are_served_and_logged(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--access-logfile", str(tmp_path / "access")) as running:
        assert running.get()[1] == "http False"
        assert running.get("/", "X-Forwarded-Proto: https")[1] == "https False"
        assert running.get("/fail")[1] == "Internal Server Error\n"
        running.wait_for("LookupError: in the application")
    assert "Warning" not in running.errors.read_text()
    lines = (tmp_path / "access").read_text().splitlines()
    assert len(lines) == 3
    assert '"GET / HTTP/1.1" 200 10 ' in lines[0]
    assert '"GET /fail HTTP/1.1" 500 22 ' in lines[2]


def test_a_reload_replaces_the_workers_and_loses_nothing(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--workers", "1", "--graceful-timeout", "30") as running:
        running.wait_for("Booting worker")
        conn = net.dial(running.address)
        slow = ecru.spawn(ask, conn, "/slow")
        before = running.get()[0]
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("Booting worker", 2)
        with ecru.timeout(30):
            while running.get()[0] == before:
                ecru.sleep(0.01)
        assert not slow.done
        (tmp_path / "go").touch()
        worker, body = slow.result()
        assert (worker, body) == (before, "7\r\nbegun, \r\n4\r\ndone\r\n0\r\n\r\n")
        running.wait_for(f"Worker exiting .pid: {before}")
        conn.close()


def test_the_end_finishes_what_has_begun(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as running, net.dial(running.address) as conn:
        conn.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        conn.read_until(b"begun, \r\n")
        running.process.terminate()
        running.wait_for("Handling signal: term")
        (tmp_path / "go").touch()
        assert b"".join(conn) == b"4\r\ndone\r\n0\r\n\r\n"


def test_quit_waits_for_nobody(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as running, net.dial(running.address) as conn:
        conn.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        conn.read_until(b"begun, \r\n")
        running.process.send_signal(signal.SIGQUIT)
        assert b"".join(conn) == b""
        assert ecru.run_blocking(running.process.wait, 40) == 0


def test_workers_are_replaced_after_max_requests(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--max-requests", "5") as running:
        first = {running.get()[0] for _ in range(5)}
        running.wait_for("Autorestarting worker after 5 requests")
        running.wait_for("Booting worker", 2)
        assert running.get()[0] not in first


def test_tls(tmp_path: Path) -> None:
    (tmp_path / "all.pem").write_text(key_and_certificate())
    files = ["--certfile", str(tmp_path / "all.pem"), "--keyfile", str(tmp_path / "all.pem")]
    with gunicorn(tmp_path, *files) as running:
        running.wait_for("Booting worker")
        with net.dial(running.address, tls=client_context(), timeout=20) as conn:
            assert ask(conn)[1] == "https False"


EARLY = """
import os
import signal

import ecru

patch = ecru.patch

def patch_late():
    if not os.path.exists("told"):
        open("told", "x").close()
        os.kill(os.getpid(), signal.SIGTERM)
    patch()

ecru.patch = patch_late
"""


def test_a_worker_that_is_told_to_end_before_it_serves_does(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(EARLY)
    with gunicorn(tmp_path, "--config", str(tmp_path / "early.py")) as running:
        running.wait_for("Worker exiting")
        running.wait_for("Booting worker", 2)
        assert running.get()[1] == "http False"


PRELOADED = """
import socket

import ecru

ecru.patch()
socket.getaddrinfo("localhost", 80)

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(len(socket.getaddrinfo("localhost", 80)) > 0).encode()]
"""


def test_workers_of_a_preloaded_application_look_names_up(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--preload", program=PRELOADED) as running:
        assert running.get()[1] == "True"
