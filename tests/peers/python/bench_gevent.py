"""gevent's side of the Python benchmarks, with its own interface; patched where the case says so."""
import gevent
import gevent.event
import gevent.lock
import gevent.monkey
import gevent.pool
import gevent.pywsgi
import gevent.queue
import gevent.server
import gevent.socket
import gevent.ssl
import measure


def nothing() -> None:
    pass


def pingpong(count: int) -> None:
    ping, pong = gevent.queue.SimpleQueue(), gevent.queue.SimpleQueue()

    def give_back() -> None:
        for _ in range(count):
            pong.put(ping.get())

    measure.begin()
    other = gevent.spawn(give_back)
    for i in range(count):
        ping.put(i)
        pong.get()
    other.join()
    measure.end(count)


def yields(count: int) -> None:
    def turns() -> None:
        for _ in range(count):
            gevent.sleep(0)

    measure.begin()
    gevent.joinall([gevent.spawn(turns), gevent.spawn(turns)])
    measure.end(count)


def spawn_join(count: int) -> None:
    measure.begin()
    for _ in range(count):
        gevent.spawn(nothing).join()
    measure.end(count)


def spawn1000(count: int) -> None:
    measure.begin()
    for _ in range(count // measure.BATCH):
        gevent.joinall([gevent.spawn(nothing) for _ in range(measure.BATCH)])
    measure.end(count // measure.BATCH * measure.BATCH)


def parked(count: int) -> None:
    """On an event: a queue looks at all that wait for it with each that it wakes."""
    gate = gevent.event.Event()
    before = measure.memory_bytes()
    measure.begin()
    greenlets = [gevent.spawn(gate.wait) for _ in range(count)]
    gevent.sleep(0)
    memory = measure.memory_bytes() - before
    gate.set()
    gevent.joinall(greenlets)
    measure.end(count, bytes_per_item=memory / count)


def with_lock(lock, count: int) -> None:
    measure.begin()
    for _ in range(count):
        with lock:
            pass
    measure.end(count)


def lock(count: int) -> None:
    with_lock(gevent.lock.Semaphore(), count)


def rlock(count: int) -> None:
    with_lock(gevent.lock.RLock(), count)


def semaphore(count: int) -> None:
    ours, theirs = gevent.lock.Semaphore(0), gevent.lock.Semaphore(0)

    def give_back() -> None:
        for _ in range(count):
            theirs.acquire()
            ours.release()

    measure.begin()
    other = gevent.spawn(give_back)
    for _ in range(count):
        theirs.release()
        ours.acquire()
    other.join()
    measure.end(count)


def queue(count: int) -> None:
    items = gevent.queue.Queue(measure.QUEUED)

    def consume() -> None:
        for _ in range(count):
            items.get()

    measure.begin()
    other = gevent.spawn(consume)
    for i in range(count):
        items.put(i)
    other.join()
    measure.end(count)


def taskgroup(count: int) -> None:
    measure.begin()
    for _ in range(count // measure.BATCH):
        group = gevent.pool.Group()
        for _ in range(measure.BATCH):
            group.spawn(nothing)
        group.join(raise_error=True)
    measure.end(count // measure.BATCH * measure.BATCH)


def answer(connection, address) -> None:
    while data := connection.recv(measure.BUFFER_BYTES):
        connection.sendall(data)


def echo(port: int) -> None:
    gevent.server.StreamServer(("127.0.0.1", port), answer, backlog=measure.BACKLOG).serve_forever()


def echo_tls(port: int) -> None:
    context = measure.server_context(gevent.ssl.SSLContext)
    gevent.server.StreamServer(("127.0.0.1", port), answer, backlog=measure.BACKLOG, ssl_context=context).serve_forever()


def echo_patched(port: int) -> None:
    gevent.monkey.patch_all()
    import plain

    plain.echo(port)


def requests200(rounds: int) -> None:
    address = measure.slow_server()
    gevent.monkey.patch_all()
    import plain

    plain.requests200(rounds, address)


def wsgi(port: int) -> None:
    measure.gunicorn("gevent", port)


def wsgi_own(port: int) -> None:
    """With TCP_NODELAY: else each answer, which pywsgi sends in two pieces, waits 40 ms for the other side's acknowledgement."""
    import hello

    listener = gevent.socket.socket(fileno=measure.listening(port).detach())
    listener.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
    gevent.pywsgi.WSGIServer(listener, hello.application, log=None).serve_forever()


def cpu_blocking(count: int) -> None:
    pool = gevent.get_hub().threadpool

    def work() -> None:
        for _ in range(count // measure.procs):
            pool.apply(measure.compute)

    measure.begin()
    gevent.joinall([gevent.spawn(work) for _ in range(measure.procs)], raise_error=True)
    measure.end(count)


measure.main({
    "pingpong": pingpong, "yield": yields, "spawn_join": spawn_join, "spawn1000": spawn1000, "parked100k": parked,
    "lock": lock, "rlock": rlock, "semaphore": semaphore, "queue": queue, "taskgroup": taskgroup,
    "echo": echo, "echo_patched": echo_patched, "echo_tls": echo_tls, "requests200": requests200,
    "wsgi_hello": wsgi, "wsgi_own": wsgi_own, "cpu_blocking": cpu_blocking,
})
