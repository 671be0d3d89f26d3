"""What the standard library's threads cost, unpatched."""
import contextlib
import queue
import socket
import threading
import time

import measure
import plain

AT_MOST = 10_000  # parked at once: beyond it the system's limits of threads and mappings are near


def nothing() -> None:
    pass


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def pingpong(count: int) -> None:
    ping: queue.SimpleQueue[int] = queue.SimpleQueue()
    pong: queue.SimpleQueue[int] = queue.SimpleQueue()

    def give_back() -> None:
        for _ in range(count):
            pong.put(ping.get())

    measure.begin()
    other = threading.Thread(target=give_back)
    other.start()
    for i in range(count):
        ping.put(i)
        pong.get()
    other.join()
    measure.end(count)


def spawn_join(count: int) -> None:
    measure.begin()
    for _ in range(count):
        run_all([threading.Thread(target=nothing)])
    measure.end(count)


def spawn1000(count: int) -> None:
    measure.begin()
    for _ in range(count // measure.BATCH):
        run_all([threading.Thread(target=nothing) for _ in range(measure.BATCH)])
    measure.end(count // measure.BATCH * measure.BATCH)


def parked(count: int) -> None:
    count = min(count, AT_MOST)
    gate: queue.SimpleQueue[None] = queue.SimpleQueue()
    before = measure.memory_bytes()
    measure.begin()
    threads = [threading.Thread(target=gate.get) for _ in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)  # the last ones are on their way into the get
    memory = measure.memory_bytes() - before
    for _ in range(count):
        gate.put(None)
    for thread in threads:
        thread.join()
    measure.end(count, bytes_per_item=memory / count)


def with_lock(lock, count: int) -> None:
    measure.begin()
    for _ in range(count):
        with lock:
            pass
    measure.end(count)


def lock(count: int) -> None:
    with_lock(threading.Lock(), count)


def rlock(count: int) -> None:
    with_lock(threading.RLock(), count)


def semaphore(count: int) -> None:
    ours, theirs = threading.Semaphore(0), threading.Semaphore(0)

    def give_back() -> None:
        for _ in range(count):
            theirs.acquire()
            ours.release()

    measure.begin()
    other = threading.Thread(target=give_back)
    other.start()
    for _ in range(count):
        theirs.release()
        ours.acquire()
    other.join()
    measure.end(count)


def through_queue(count: int) -> None:
    items: queue.Queue[int] = queue.Queue(measure.QUEUED)

    def consume() -> None:
        for _ in range(count):
            items.get()

    measure.begin()
    other = threading.Thread(target=consume)
    other.start()
    for i in range(count):
        items.put(i)
    other.join()
    measure.end(count)


def echo_tls(port: int) -> None:
    """The handshake is the connection's thread's; a client that goes away is no error."""
    context = measure.server_context()

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
            plain.answer(secure)

    with measure.listening(port) as listener:
        while True:
            plain.start_thread(answer, listener.accept()[0])


def requests200(rounds: int) -> None:
    plain.requests200(rounds, measure.slow_server())


def wsgi(port: int) -> None:
    measure.gunicorn("gthread", port, "--threads", "64")


def cpu_blocking(count: int) -> None:
    def work() -> None:
        for _ in range(count // measure.procs):
            measure.compute()

    measure.begin()
    run_all([threading.Thread(target=work) for _ in range(measure.procs)])
    measure.end(count)


def gil_held(turns: int) -> None:
    def echo(connection: socket.socket) -> None:
        while data := connection.recv(measure.BUFFER_BYTES):
            connection.sendall(data)

    measure.hold_gil(turns, lambda connection: threading.Thread(target=echo, args=(connection,)).start(), time.sleep)


def compute_ft(count: int) -> None:
    def work() -> None:
        for _ in range(count // measure.procs):
            measure.spin()

    measure.begin()
    run_all([threading.Thread(target=work) for _ in range(measure.procs)])
    measure.end(count)


measure.main({
    "pingpong": pingpong, "spawn_join": spawn_join, "spawn1000": spawn1000, "parked100k": parked, "echo": plain.echo,
    "echo_patched": plain.echo, "echo_tls": echo_tls, "requests200": requests200, "wsgi_hello": wsgi, "cpu_blocking": cpu_blocking,
    "gil_held": gil_held, "compute_ft": compute_ft,
    "lock": lock, "rlock": rlock, "semaphore": semaphore, "queue": through_queue,
})
