"""python.py CASE PROCS N|PORT: ecru's side of the Python benchmarks. One process measures one case once and prints one
line of key=value pairs; ci/bench python repeats, interleaves and compares. The programs under tests/peers/python do the
same work with other libraries, written as one would write it there; those of Go are tests/peers/go.

CPU time of the whole process is the judge. Imports are outside, everything a case creates is inside.

case          one operation is
pingpong      one round trip of two over two channels (unbuffered, or queues where there are no channels; raw greenlets:
              a value there and back)
yield         one turn of a pair: each of the two has yielded once
spawn_join    start one that ends at once, wait for it; one at a time
spawn1000     the same, but 1000 are started before they are waited for
parked100k    start one, park it on a shared channel (gevent: event), wake it; bytes_per_item (resident pages and page
              tables) while all are parked. (10 000 threads, because of the system's limits.)
lock          one acquire and release of a lock nobody else wants, in a with block
rlock         the same of a lock its owner may take again
semaphore     one round trip of two that wait for each other's permit, on two semaphores
queue         one item that goes from a producer to a consumer through a queue of 100 (trio: a channel of 100)
taskgroup     start one that ends at once, 1000 in each group; the end of the group
echo          one request of 64 B on one of 100 connections; the server reads up to 512 B at a time and sends them back,
              by a goroutine, greenlet, task or thread a connection. The client is io_load.c; CPU is the server's.
echo_patched  the same by a program with plain sockets and threads (tests/peers/python/plain.py), its modules patched
echo_tls      echo over TLS; the client is tls_load.py
requests200   one of 200 requests.get at once, by as many threads of a plain program, patched, of a server that takes
              200 ms for each; wall_ms is for all 200
wsgi_hello    one request of a WSGI application under gunicorn with one worker and 64 connections; the client is wrk
wsgi_own      the same by the library's own server, in one process (gevent: pywsgi)
cpu_blocking  one call of a millisecond in C without the GIL, handed over by PROCS at a time
gil_held      one call of 200 ms in C with the GIL; meanwhile another process (asker.py) asks an echo server in this one, by a goroutine
              of C (others: by a thread); longest_ms and p50_us are its round trips
"""
import ctypes
import pathlib
import socket
import subprocess
import sys
import tempfile

import ecru
import ecru._abi

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers" / "python"))
import measure  # noqa: E402

GUNICORN_WORKER = "ecru.gunicorn.Worker"


def nothing() -> None:
    pass


def pingpong(count: int) -> None:
    ping, pong = ecru.Chan(0), ecru.Chan(0)

    def give_back() -> None:
        for _ in range(count):
            pong.send(ping.recv())

    measure.begin()
    other = ecru.spawn(give_back)
    for i in range(count):
        ping.send(i)
        pong.recv()
    other.result()
    measure.end(count)


def yields(count: int) -> None:
    def turns() -> None:
        for _ in range(count):
            ecru.yield_()

    measure.begin()
    pair = [ecru.spawn(turns), ecru.spawn(turns)]
    for one in pair:
        one.result()
    measure.end(count)


def spawn_join(count: int) -> None:
    measure.begin()
    for _ in range(count):
        ecru.spawn(nothing).result()
    measure.end(count)


def spawn1000(count: int) -> None:
    measure.begin()
    for _ in range(count // measure.BATCH):
        for task in [ecru.spawn(nothing) for _ in range(measure.BATCH)]:
            task.result()
    measure.end(count // measure.BATCH * measure.BATCH)


def parked(count: int) -> None:
    gate, done, waiting = ecru.Chan(0), ecru.Chan(0), 0

    def park() -> None:
        nonlocal waiting
        waiting += 1
        gate.recv()
        waiting -= 1
        if waiting == 0:
            done.send(None)

    before = measure.memory_bytes()
    measure.begin()
    for _ in range(count):
        ecru.go(park)
    while waiting < count:
        ecru.yield_()
    memory = measure.memory_bytes() - before
    for _ in range(count):
        gate.send(None)
    done.recv()
    measure.end(count, bytes_per_item=memory / count)


def with_lock(lock: ecru.Lock | ecru.RLock, count: int) -> None:
    measure.begin()
    for _ in range(count):
        with lock:
            pass
    measure.end(count)


def lock(count: int) -> None:
    with_lock(ecru.Lock(), count)


def rlock(count: int) -> None:
    with_lock(ecru.RLock(), count)


def semaphore(count: int) -> None:
    ours, theirs = ecru.Semaphore(0), ecru.Semaphore(0)

    def give_back() -> None:
        for _ in range(count):
            theirs.acquire()
            ours.release()

    measure.begin()
    other = ecru.spawn(give_back)
    for _ in range(count):
        theirs.release()
        ours.acquire()
    other.result()
    measure.end(count)


def queue(count: int) -> None:
    items: ecru.Queue[int] = ecru.Queue(measure.QUEUED)

    def consume() -> None:
        for _ in range(count):
            items.get()

    measure.begin()
    other = ecru.spawn(consume)
    for i in range(count):
        items.put(i)
    other.result()
    measure.end(count)


def taskgroup(count: int) -> None:
    measure.begin()
    for _ in range(count // measure.BATCH):
        with ecru.TaskGroup() as group:
            for _ in range(measure.BATCH):
                group.go(nothing)
    measure.end(count // measure.BATCH * measure.BATCH)


def answer(connection: ecru.net.Conn) -> None:
    while data := connection.recv(measure.BUFFER_BYTES):
        connection.sendall(data)
    connection.close()


def serve(listener: ecru.net.Listener) -> None:
    while True:
        ecru.go(answer, listener.accept())


def echo(port: int) -> None:
    serve(ecru.net.listen(("127.0.0.1", port)))


def echo_tls(port: int) -> None:
    serve(ecru.net.listen(("127.0.0.1", port), tls=measure.server_context()))


def echo_patched(port: int) -> None:
    ecru.patch()
    import plain

    plain.echo(port)


def requests200(rounds: int) -> None:
    address = measure.slow_server()
    ecru.patch()
    import plain

    plain.requests200(rounds, address)


def wsgi(port: int) -> None:
    measure.gunicorn(GUNICORN_WORKER, port)


def wsgi_own(port: int) -> None:
    import hello

    ecru.wsgi.serve(hello.application, ("127.0.0.1", port))


def cpu_blocking(count: int) -> None:
    def work() -> None:
        for _ in range(count // measure.procs):
            ecru.run_blocking(measure.compute)

    measure.begin()
    for task in [ecru.spawn(work) for _ in range(measure.procs)]:
        task.result()
    measure.end(count)


ECHO = """
#include <stddef.h>
struct beside { long long (*read)(void *, void *, size_t), (*write)(void *, const void *, size_t, size_t *); void *io; };
void echo(struct beside *with) {
  char buffer[512];
  long long count;
  while ((count = with->read(with->io, buffer, sizeof buffer)) > 0 && with->write(with->io, buffer, (size_t)count, NULL) >= 0) {}
}
"""


def gil_held(turns: int) -> None:
    """The server is a goroutine of C: it needs no GIL."""
    ffi, lib = ecru._abi.ffi, ecru._abi.lib
    with tempfile.NamedTemporaryFile(suffix=".so") as library:
        subprocess.run(["cc", "-x", "c", "-", "-shared", "-fPIC", "-O2", "-o", library.name], input=ECHO, text=True, check=True)
        echo = ctypes.cast(ctypes.CDLL(library.name).echo, ctypes.c_void_p).value
    io = ffi.new("ecru_io **")
    beside = ffi.new("void *[3]", [ffi.addressof(lib, "ecru_io_read"), ffi.addressof(lib, "ecru_io_write"), ffi.NULL])

    def serve(connection: socket.socket) -> None:
        connection.setblocking(False)
        assert lib.ecru_io_adopt(io, connection.fileno(), lib.ECRU_IO_KEEP_OPEN) == 0
        beside[2] = io[0]
        assert lib.ecru_go(ffi.cast("ecru_fn", echo), beside) == 0

    measure.hold_gil(turns, serve, ecru.sleep)


def compute_ft(count: int) -> None:
    """Pure Python: scales where the interpreter has no GIL."""

    def work() -> None:
        for _ in range(count // measure.procs):
            measure.spin()

    if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():
        ecru.set_workers(measure.procs)
    measure.begin()
    for task in [ecru.spawn(work) for _ in range(measure.procs)]:
        task.result()
    measure.end(count)


measure.main({
    "pingpong": pingpong, "yield": yields, "spawn_join": spawn_join, "spawn1000": spawn1000, "parked100k": parked,
    "lock": lock, "rlock": rlock, "semaphore": semaphore, "queue": queue, "taskgroup": taskgroup,
    "echo": echo, "echo_patched": echo_patched, "echo_tls": echo_tls, "requests200": requests200,
    "wsgi_hello": wsgi, "wsgi_own": wsgi_own, "cpu_blocking": cpu_blocking, "gil_held": gil_held, "compute_ft": compute_ft,
})
