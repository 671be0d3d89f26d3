"""runloom's side of the Python benchmarks, on its one-threaded scheduler: with a GIL it has no other.

Its patch leaves threads what they are; the plain programs get fibers instead."""
import measure
import runloom


def nothing() -> None:
    pass


def pingpong(count: int) -> None:
    ping, pong = runloom.Chan(0), runloom.Chan(0)

    def give_back() -> None:
        for value in ping:
            pong.send(value)

    measure.begin()
    runloom.fiber(give_back)
    for i in range(count):
        ping.send(i)
        pong.recv()
    ping.close()
    measure.end(count)


def yields(count: int) -> None:
    group = runloom.WaitGroup()

    def turns() -> None:
        for _ in range(count):
            runloom.yield_now()
        group.done()

    measure.begin()
    group.add(2)
    runloom.fiber(turns)
    runloom.fiber(turns)
    group.wait()
    measure.end(count)


def spawn_batches(count: int, batch: int) -> None:
    """A wait group, because its fibers have nothing one could wait for."""
    group = runloom.WaitGroup()
    measure.begin()
    for _ in range(count // batch):
        group.add(batch)
        for _ in range(batch):
            runloom.fiber(group.done)
        group.wait()
    measure.end(count // batch * batch)


def spawn_join(count: int) -> None:
    spawn_batches(count, 1)


def spawn1000(count: int) -> None:
    spawn_batches(count, measure.BATCH)


def parked(count: int) -> None:
    gate, group, waiting = runloom.Chan(0), runloom.WaitGroup(), []

    def park() -> None:
        waiting.append(None)
        gate.recv()
        group.done()

    group.add(count)
    before = measure.memory_bytes()
    measure.begin()
    for _ in range(count):
        runloom.fiber(park)
    while len(waiting) < count:
        runloom.yield_now()
    memory = measure.memory_bytes() - before
    gate.close()
    group.wait()
    measure.end(count, bytes_per_item=memory / count)


def echo(port: int) -> None:
    def answer(connection) -> None:
        while data := connection.recv(measure.BUFFER_BYTES):
            connection.sendall(data)

    listener = runloom.sync.tcp_listen("127.0.0.1", port, backlog=measure.BACKLOG)
    while True:
        connection, _ = listener.accept()
        runloom.fiber(answer, connection)


def echo_patched(port: int) -> None:
    runloom.monkey.patch()
    import plain

    plain.echo(port, runloom.fiber)


def requests200(rounds: int) -> None:
    address = measure.slow_server()
    runloom.monkey.patch()
    import plain

    plain.requests200(rounds, address, runloom.fiber)


def cpu_blocking(count: int) -> None:
    group = runloom.WaitGroup()

    def work() -> None:
        for _ in range(count // measure.procs):
            runloom.blocking(measure.compute)
        group.done()

    measure.begin()
    group.add(measure.procs)
    for _ in range(measure.procs):
        runloom.fiber(work)
    group.wait()
    measure.end(count)


runloom.run(1, lambda: measure.main({
    "pingpong": pingpong, "yield": yields, "spawn_join": spawn_join, "spawn1000": spawn1000, "parked100k": parked,
    "echo": echo, "echo_patched": echo_patched, "requests200": requests200, "cpu_blocking": cpu_blocking,
}))
