"""Many connections at once, each a goroutine with plain code on both sides."""

import ecru
from ecru import net

COUNT = 300  # ten thousand need as many descriptors on both sides: ulimit -n


def answer(conn: net.Conn) -> None:
    with conn:
        for line in conn:
            conn.sendall(line.upper())


def serve(listener: net.Listener) -> None:
    for conn in listener:
        ecru.go(answer, conn)


def ask(address: net.Address, everybody: ecru.Barrier) -> bytes:
    with net.dial(address) as conn:
        everybody.wait()  # all are connected now
        conn.sendall(b"hello\n")
        return conn.read_line()


with net.listen("127.0.0.1:0") as listener:
    ecru.go(serve, listener)
    everybody = ecru.Barrier(COUNT)
    answers = ecru.gather(*[lambda: ask(listener.address, everybody) for _ in range(COUNT)])
print(len(answers), "answers:", set(answers))
