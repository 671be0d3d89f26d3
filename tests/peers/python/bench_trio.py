"""trio's side of the Python benchmarks."""
import measure
import trio


async def nothing() -> None:
    pass


async def pingpong(count: int) -> None:
    to_other, ping = trio.open_memory_channel[int](0)
    to_us, pong = trio.open_memory_channel[int](0)

    async def give_back() -> None:
        async for value in ping:
            await to_us.send(value)

    measure.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_back)
        for i in range(count):
            await to_other.send(i)
            await pong.receive()
        to_other.close()
    measure.end(count)


async def yields(count: int) -> None:
    async def turns() -> None:
        for _ in range(count):
            await trio.sleep(0)

    measure.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns)
        nursery.start_soon(turns)
    measure.end(count)


async def spawn_batches(count: int, batch: int) -> None:
    measure.begin()
    for _ in range(count // batch):
        async with trio.open_nursery() as nursery:
            for _ in range(batch):
                nursery.start_soon(nothing)
    measure.end(count // batch * batch)


async def spawn_join(count: int) -> None:
    await spawn_batches(count, 1)


async def spawn1000(count: int) -> None:
    await spawn_batches(count, measure.BATCH)


async def parked(count: int) -> None:
    gate, park = trio.open_memory_channel[None](0)
    before = measure.memory_bytes()
    measure.begin()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(park.receive)
        while park.statistics().tasks_waiting_receive < count:
            await trio.sleep(0)
        memory = measure.memory_bytes() - before
        for _ in range(count):
            gate.send_nowait(None)
    measure.end(count, bytes_per_item=memory / count)


async def lock(count: int) -> None:
    lock = trio.Lock()
    measure.begin()
    for _ in range(count):
        async with lock:
            pass
    measure.end(count)


async def semaphore(count: int) -> None:
    ours, theirs = trio.Semaphore(0), trio.Semaphore(0)

    async def give_back() -> None:
        for _ in range(count):
            await theirs.acquire()
            ours.release()

    measure.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_back)
        for _ in range(count):
            theirs.release()
            await ours.acquire()
    measure.end(count)


async def queue(count: int) -> None:
    to_other, items = trio.open_memory_channel[int](measure.QUEUED)

    async def consume() -> None:
        async for _ in items:
            pass

    measure.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        for i in range(count):
            await to_other.send(i)
        to_other.close()
    measure.end(count)


async def taskgroup(count: int) -> None:
    await spawn_batches(count, measure.BATCH)


async def answer(stream: trio.abc.Stream) -> None:
    while data := await stream.receive_some(measure.BUFFER_BYTES):
        await stream.send_all(data)


async def echo_tls(port: int) -> None:
    await trio.serve_ssl_over_tcp(quietly, port, measure.server_context(), host="127.0.0.1", https_compatible=True, backlog=measure.BACKLOG)


async def quietly(stream: trio.abc.Stream) -> None:
    """A client that goes away is no error; one does before the handshake, to see whether the server listens."""
    try:
        await answer(stream)
    except trio.BrokenResourceError:
        pass


async def echo(port: int) -> None:
    await trio.serve_tcp(answer, port, host="127.0.0.1", backlog=measure.BACKLOG)


async def cpu_blocking(count: int) -> None:
    async def work() -> None:
        for _ in range(count // measure.procs):
            await trio.to_thread.run_sync(measure.compute)

    measure.begin()
    async with trio.open_nursery() as nursery:
        for _ in range(measure.procs):
            nursery.start_soon(work)
    measure.end(count)


async def driven(case: object) -> None:
    await case  # trio.run takes a function


measure.main({
    "pingpong": pingpong, "yield": yields, "spawn_join": spawn_join, "spawn1000": spawn1000, "parked100k": parked,
    "lock": lock, "semaphore": semaphore, "queue": queue, "taskgroup": taskgroup, "echo": echo, "echo_tls": echo_tls,
    "cpu_blocking": cpu_blocking,
}, lambda case: trio.run(driven, case))
