"""asyncio's side of the Python benchmarks, and with another loop uvloop's (bench_uvloop.py)."""
import asyncio
import ssl

import measure


async def nothing() -> None:
    pass


async def pingpong(count: int) -> None:
    ping: asyncio.Queue[int] = asyncio.Queue()
    pong: asyncio.Queue[int] = asyncio.Queue()

    async def give_back() -> None:
        for _ in range(count):
            await pong.put(await ping.get())

    measure.begin()
    other = asyncio.create_task(give_back())
    for i in range(count):
        await ping.put(i)
        await pong.get()
    await other
    measure.end(count)


async def yields(count: int) -> None:
    async def turns() -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    measure.begin()
    await asyncio.gather(turns(), turns())
    measure.end(count)


async def spawn_join(count: int) -> None:
    measure.begin()
    for _ in range(count):
        await asyncio.create_task(nothing())
    measure.end(count)


async def spawn1000(count: int) -> None:
    measure.begin()
    for _ in range(count // measure.BATCH):
        await asyncio.gather(*[asyncio.create_task(nothing()) for _ in range(measure.BATCH)])
    measure.end(count // measure.BATCH * measure.BATCH)


async def parked(count: int) -> None:
    gate: asyncio.Queue[None] = asyncio.Queue()
    before = measure.memory_bytes()
    measure.begin()
    tasks = [asyncio.create_task(gate.get()) for _ in range(count)]
    await asyncio.sleep(0)
    memory = measure.memory_bytes() - before
    for _ in range(count):
        gate.put_nowait(None)
    await asyncio.gather(*tasks)
    measure.end(count, bytes_per_item=memory / count)


async def lock(count: int) -> None:
    lock = asyncio.Lock()
    measure.begin()
    for _ in range(count):
        async with lock:
            pass
    measure.end(count)


async def semaphore(count: int) -> None:
    ours, theirs = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def give_back() -> None:
        for _ in range(count):
            await theirs.acquire()
            ours.release()

    measure.begin()
    other = asyncio.create_task(give_back())
    for _ in range(count):
        theirs.release()
        await ours.acquire()
    await other
    measure.end(count)


async def queue(count: int) -> None:
    items: asyncio.Queue[int] = asyncio.Queue(measure.QUEUED)

    async def consume() -> None:
        for _ in range(count):
            await items.get()

    measure.begin()
    other = asyncio.create_task(consume())
    for i in range(count):
        await items.put(i)
    await other
    measure.end(count)


async def taskgroup(count: int) -> None:
    measure.begin()
    for _ in range(count // measure.BATCH):
        async with asyncio.TaskGroup() as group:
            for _ in range(measure.BATCH):
                group.create_task(nothing())
    measure.end(count // measure.BATCH * measure.BATCH)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(measure.BUFFER_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()


async def echo(port: int, context: ssl.SSLContext | None = None) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=measure.BACKLOG, ssl=context)
    await server.serve_forever()


async def echo_tls(port: int) -> None:
    await echo(port, measure.server_context())


class Answer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        self.write(data)


async def echo_protocol(port: int) -> None:
    """With callbacks instead of streams, which is the fastest there is."""
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", port, backlog=measure.BACKLOG)
    await server.serve_forever()


async def cpu_blocking(count: int) -> None:
    async def work() -> None:
        for _ in range(count // measure.procs):
            await asyncio.to_thread(measure.compute)

    measure.begin()
    await asyncio.gather(*[work() for _ in range(measure.procs)])
    measure.end(count)


CASES = {
    "pingpong": pingpong, "yield": yields, "spawn_join": spawn_join, "spawn1000": spawn1000, "parked100k": parked,
    "lock": lock, "semaphore": semaphore, "queue": queue, "taskgroup": taskgroup,
    "echo": echo, "echo_protocol": echo_protocol, "echo_tls": echo_tls, "cpu_blocking": cpu_blocking,
}

if __name__ == "__main__":
    measure.main(CASES, asyncio.run)
