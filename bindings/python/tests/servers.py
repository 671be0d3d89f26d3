"""Servers that tests start: real ones in processes of their own, and one that only speaks enough of MySQL."""

import contextlib
import getpass
import os
import pwd
import shutil
import socket
import socketserver
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

START_SECONDS = 30
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # a sanitizer's library


def find(program: str) -> str | None:
    """The program's path; Debian keeps PostgreSQL's out of PATH."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    return shutil.which(program) or (str(newest[-1]) if newest else None)


def _await(answers: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not answers():
        assert time.monotonic() < end, "the server does not answer"
        time.sleep(0.02)


def _accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A Redis server; the path of its socket."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        try:
            _await(lambda: _accepts(path))
            yield path
        finally:
            _end(process)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server; the string to connect by. It refuses to run as root, and does as nobody then."""
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, pwd.getpwnam(user).pw_uid, -1)
        data, initdb, server = f"{directory}/data", find("initdb"), find("postgres")
        init = [
            initdb,
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "ecru",
            "--no-sync",
            "--no-instructions",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        as_user = {"user": user, "cwd": directory, "stdout": subprocess.DEVNULL, "env": ENVIRONMENT}
        subprocess.run(init, check=True, **as_user)
        run = [server, "-D", data, "-h", "", "-k", directory, "-N", "100", "-F", "-c", "shared_buffers=16MB"]
        process = subprocess.Popen(run, stderr=subprocess.DEVNULL, **as_user)
        try:
            ready = [find("pg_isready"), "--quiet", "-h", directory]
            _await(lambda: subprocess.run(ready, check=False, env=ENVIRONMENT).returncode == 0)
            yield f"host={directory} dbname=postgres user=ecru sslmode=disable"
        finally:
            _end(process)


class FakeMySQL(socketserver.ThreadingTCPServer):
    """Answers each query after a while with one row: the query's text."""

    request_queue_size = 200
    daemon_threads = True
    delay_seconds = 0.2

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        greeting = b"\x0a8.0.0\0" + struct.pack("<I", 1) + b"12345678\0" + struct.pack("<HBHH", 0xF7FF, 45, 2, 0x8009)
        self._put(0, greeting + bytes([21]) + bytes(10) + b"123456789012\0mysql_native_password\0")
        self._take()
        self._put(2, b"\0\0\0\2\0\0\0")
        while (query := self._take()) and query[0] == 3:
            if query[1:4].upper() != b"SEL":
                self._put(1, b"\0\0\0\2\0\0\0")
                continue
            time.sleep(self.server.delay_seconds)
            self._put(1, b"\1")
            empty, name = b"\0", b"\5query"
            column = b"\3def" + empty * 3 + name + name + b"\x0c" + struct.pack("<HIBHB", 45, 1000, 253, 0, 0) + b"\0\0"
            self._put(2, column)
            self._put(3, b"\xfe\0\0\2\0")
            self._put(4, bytes([len(query) - 1]) + query[1:])
            self._put(5, b"\xfe\0\0\2\0")

    def _put(self, number: int, body: bytes) -> None:
        self.wfile.write(struct.pack("<I", len(body))[:3] + bytes([number]) + body)

    def _take(self) -> bytes:
        head = self.rfile.read(4)
        return self.rfile.read(struct.unpack("<I", head[:3] + b"\0")[0]) if len(head) == 4 else b""
