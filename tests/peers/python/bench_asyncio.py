"""asyncio's side of the Python benchmarks, and with another loop uvloop's (bench_uvloop.py)."""
import asyncio

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


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(measure.BUFFER_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()


async def echo(port: int) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=measure.BACKLOG)
    await server.serve_forever()


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
    "echo": echo, "echo_protocol": echo_protocol, "cpu_blocking": cpu_blocking,
}

if __name__ == "__main__":
    measure.main(CASES, asyncio.run)
