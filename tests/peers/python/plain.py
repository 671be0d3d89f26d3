"""Programs that know nothing of those who patch what they use: threads, sockets, a queue, requests.

Where a patch leaves threads as they are, its own are given for them.
"""
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

import measure

CONCURRENT = 200


def start_thread(function: Callable[..., object], *arguments: Any) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(measure.BUFFER_BYTES):
            connection.sendall(data)


def echo(port: int, start: Callable[..., object] = start_thread) -> None:
    """What comes on a connection goes back, by a thread of its own; until it is killed."""
    with measure.listening(port) as listener:
        while True:
            connection, _ = listener.accept()
            start(answer, connection)


def requests200(rounds: int, address: str, start: Callable[..., object] = start_thread) -> None:
    """200 threads ask at once, round by round."""
    import requests  # after the patch

    texts: queue.Queue[str] = queue.Queue()

    def get() -> None:
        texts.put(requests.get(address, timeout=60).text)

    get()  # what is imported late
    measure.begin()
    for _ in range(rounds):
        for _ in range(CONCURRENT):
            start(get)
        for _ in range(CONCURRENT):
            assert texts.get(timeout=60) == "slow"
    measure.end_of_requests(rounds, rounds * CONCURRENT)
