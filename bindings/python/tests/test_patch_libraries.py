"""ecru.patch(): libraries that know nothing of it run concurrently."""

import importlib.util
import os
import smtplib
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest
import servers
from http_servers import DELAY_SECONDS, SlowHandler, SlowServer
from patched import patched

import ecru

CLIENTS = 50


def at_once(function: Callable[[int], Any], clients: int = CLIENTS) -> list[Any]:
    """The function's results, all called at once, which took less than half of one after the other."""
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as executor:
        results = list(executor.map(function, range(clients)))
    assert time.monotonic() - began < clients * DELAY_SECONDS / 2
    return results


@patched
def test_requests_200_at_once():
    import requests

    with SlowServer(("127.0.0.1", 0), SlowHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with requests.Session() as session:
            session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=200))
            texts = at_once(lambda i: session.get(f"http://127.0.0.1:{server.server_port}/{i}").text, 200)
        assert texts == [f"/{i}" for i in range(200)]
        server.shutdown()


@patched
def test_requests_by_name_take_few_threads():
    import requests

    with SlowServer(("127.0.0.1", 0), SlowHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        texts = at_once(lambda i: requests.get(f"http://localhost:{server.server_port}/{i}").text, 200)
        assert texts == [f"/{i}" for i in range(200)]
        server.shutdown()
    assert len(os.listdir("/proc/self/task")) < 80  # the pool that looks names up


@patched
def test_flask_serves_at_once():
    import flask
    import requests
    import werkzeug.serving

    app = flask.Flask("app")

    @app.route("/<number>")
    def answer(number: str) -> str:
        time.sleep(DELAY_SECONDS)
        return f"{number} {flask.request.headers['X-Number']}"

    werkzeug.serving.LISTEN_QUEUE = 100
    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    texts = at_once(lambda i: requests.get(f"{url}/{i}", headers={"X-Number": str(i)}).text)
    assert texts == [f"{i} {i}" for i in range(CLIENTS)]
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(servers.find("redis-server") is None, reason="no redis-server")
@patched
def test_redis_waits_at_once():
    import redis

    with servers.redis() as path:
        client = redis.Redis(unix_socket_path=path)

        def take(i: int) -> bytes:
            client.set(f"key{i}", i)
            assert client.blpop([f"list{i}"], DELAY_SECONDS) is None
            return client.get(f"key{i}")

        assert at_once(take) == [str(i).encode() for i in range(CLIENTS)]
        threading.Timer(0.05, client.rpush, ("list", "value")).start()
        assert client.blpop(["list"], 30) == (b"list", b"value")
        client.close()


@pytest.mark.skipif(servers.find("initdb") is None, reason="no PostgreSQL")
@patched
def test_psycopg_queries_at_once():
    import psycopg

    def query(i: int) -> int:
        with psycopg.connect(server) as connection:
            connection.execute("create temporary table numbers (number integer)")
            connection.execute("insert into numbers values (%s)", (i,))
            connection.execute("select pg_sleep(%s)", (DELAY_SECONDS,))
            return connection.execute("select number from numbers").fetchone()[0]

    with servers.postgres() as server:
        assert at_once(query, 30) == list(range(30))


@pytest.mark.skipif(importlib.util.find_spec("psycopg2") is None, reason="no psycopg2")
@pytest.mark.skipif(servers.find("postgres") is None, reason="no PostgreSQL")
@patched
def test_psycopg2_queries_at_once():
    import psycopg2
    import psycopg2.extensions

    def query(i: int) -> int:
        connection = psycopg2.connect(server)
        with connection, connection.cursor() as cursor:
            cursor.execute("create temporary table numbers (number integer)")
            cursor.execute("insert into numbers values (%s)", (i,))
            cursor.execute("select pg_sleep(%s)", (DELAY_SECONDS,))
            cursor.execute("select number from numbers")
            found = cursor.fetchone()[0]
        connection.close()
        return found

    with servers.postgres() as server:
        assert at_once(query, 30) == list(range(30))
        connection = psycopg2.connect(server)
        with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.1):
            connection.cursor().execute("select pg_sleep(2)")
        assert connection.closed


@patched
def test_pymysql_queries_at_once():
    import pymysql

    def query(i: int) -> str:
        with pymysql.connect(
            host="127.0.0.1", port=server.server_address[1], user="ecru", ssl_disabled=True
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("select %s", (i,))
            return cursor.fetchone()[0]

    with servers.FakeMySQL() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        assert at_once(query) == [f"select {i}" for i in range(CLIENTS)]
        server.shutdown()


@patched
def test_smtplib_sends_at_once():
    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            while line := self.rfile.readline():
                command = line[:4].upper()
                if command == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                    time.sleep(DELAY_SECONDS)
                self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
                if command == b"QUIT":
                    return

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 100

    def send(i: int) -> Any:
        with smtplib.SMTP("127.0.0.1", server.server_address[1]) as client:
            return client.sendmail("a@localhost", ["b@localhost"], f"Subject: {i}\r\n\r\ntext")

    mails: list[bytes] = []
    with Server(("127.0.0.1", 0), Session) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        assert at_once(send) == [{}] * CLIENTS
        server.shutdown()
    assert sorted(mails) == sorted(b"Subject: %d\r\n\r\ntext\r\n" % i for i in range(CLIENTS))


@patched
def test_websockets_answer_at_once():
    from websockets.sync.client import connect
    from websockets.sync.server import serve

    def answer(connection: Any) -> None:
        for text in connection:
            time.sleep(DELAY_SECONDS)
            connection.send(text)

    def ask(i: int) -> Any:
        with connect(f"ws://127.0.0.1:{port}") as connection:
            connection.send(str(i))
            return connection.recv()

    with serve(answer, "127.0.0.1", 0) as server:
        port = server.socket.getsockname()[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert at_once(ask) == [str(i) for i in range(CLIENTS)]
        server.shutdown()
        thread.join()


@patched
def test_trio_runs_in_the_main_thread_and_in_others():
    import trio

    async def sleep_and_ask() -> str:
        await trio.sleep(DELAY_SECONDS)
        return await trio.to_thread.run_sync(lambda: time.sleep(DELAY_SECONDS) or threading.current_thread().name)

    async def sleep_together() -> list[str]:
        names: list[str] = []

        async def note() -> None:
            names.append(await sleep_and_ask())

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(note)
        return names

    assert len(trio.run(sleep_together)) == 10
    assert [len(names) for names in at_once(lambda _: trio.run(sleep_together), 10)] == [10] * 10


@patched
def test_sqlite_is_offloaded_where_it_blocks():
    from ecru import run_blocking

    connections = [sqlite3.connect(":memory:", check_same_thread=False) for _ in range(20)]
    for connection in connections:
        connection.create_function("nap", 1, ORIGINAL_SLEEP)

    def query(i: int) -> int:
        return run_blocking(lambda: connections[i].execute("select ?, nap(?)", (i, DELAY_SECONDS)).fetchone())[0]

    assert at_once(query, 20) == list(range(20))
    for connection in connections:
        connection.close()


def ORIGINAL_SLEEP(seconds: float) -> None:
    import ecru

    ecru.get_original("time", "sleep")(seconds)


@patched
def test_subprocesses_run_at_once():
    tasks = len(os.listdir("/proc/self/task"))
    shell = f"sleep {DELAY_SECONDS}; cat; echo error >&2; exit 3"

    def run(i: int) -> tuple[bytes, bytes, int]:
        done = subprocess.run(["sh", "-c", shell], input=b"%d" % i, capture_output=True, timeout=30)
        return done.stdout, done.stderr, done.returncode

    assert at_once(run) == [(b"%d" % i, b"error\n", 3) for i in range(CLIENTS)]
    assert len(os.listdir("/proc/self/task")) <= tasks + 4


@patched
def test_a_childs_pipes_and_end_park():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        data = os.urandom(1_000_000)
        thread = threading.Thread(target=lambda: (child.stdin.write(data), child.stdin.close()))
        thread.start()
        assert child.stdout.read() == data
        thread.join()
    with subprocess.Popen(["sleep", "1000"]) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.05)
        threading.Timer(0.05, child.kill).start()
        assert child.wait(30) == -9
    with subprocess.Popen(
        ["sh", "-c", "read x; echo $x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        threading.Timer(0.05, lambda: (child.stdin.write("line\n"), child.stdin.flush())).start()
        assert child.stdout.readline() == "line\n"
    assert subprocess.check_output("echo shell", shell=True) == b"shell\n"
    assert os.system("exit 2") == 2 << 8
    with pytest.raises(FileNotFoundError):
        subprocess.run(["/no/such/program"], check=False)


@patched
def test_a_childs_end_is_asked_of_os_waitpid():
    """Which a program may have replaced; and it may have waited for the child itself."""
    with subprocess.Popen(["true"]) as child:
        assert os.waitpid(child.pid, 0)[1] == 0
        with mock.patch("subprocess.os.waitpid", return_value=(child.pid, 3 << 8)):
            assert child.wait() == 3
    with subprocess.Popen(["false"]) as child:
        os.waitpid(child.pid, 0)
        assert child.wait(30) == 0


@patched
def test_pipes_of_os_park():
    reader, writer = os.pipe()
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(reader, 100_000), b"")))
    thread.start()
    assert os.write(writer, bytes(1_000_000)) == 1_000_000
    os.close(writer)
    thread.join()
    assert sum(map(len, got)) == 1_000_000
    os.close(reader)


@patched
def test_forked_children_have_goroutines():
    lock, queue = threading.Lock(), threading.Event()
    with lock:
        child = os.fork()
        if child == 0:
            try:
                assert lock.locked()
                lock.release()
                seen: list[object] = []
                thread = threading.Thread(target=lambda: (time.sleep(0.01), seen.append(ecru.current()), queue.set()))
                thread.start()
                assert queue.wait(10)
                thread.join()
                assert seen[0] is not None  # a goroutine
                os._exit(7)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def _square(number: int) -> int:
    time.sleep(0.05)
    return number * number


@patched
def test_multiprocessing_pools_work():
    import multiprocessing

    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(_square, range(6)) == [0, 1, 4, 9, 16, 25]


@patched
def test_a_childs_output_is_another_childs_input():
    with subprocess.Popen(["sh", "-c", "sleep 0.1; echo text"], stdout=subprocess.PIPE) as first:
        assert subprocess.check_output(["cat"], stdin=first.stdout) == b"text\n"
