"""asker.py DESCRIPTOR: has 64 bytes sent back by what serves the socket, once a millisecond, until that closes it.

It prints a line after the first time; at the end the longest round trip in milliseconds, and the median in microseconds."""
import contextlib
import socket
import statistics
import sys
import time

PAUSE_SECONDS = 0.001


def ask(client: socket.socket) -> float:
    """returns: seconds; 0: it is closed."""
    start = time.perf_counter()
    client.sendall(b"x" * 64)
    answer = client.recv(512)
    return time.perf_counter() - start if answer else 0


client, took = socket.socket(fileno=int(sys.argv[1])), []
ask(client)
print("ready", flush=True)
with contextlib.suppress(ConnectionError):
    while seconds := ask(client):
        took.append(seconds)
        time.sleep(PAUSE_SECONDS)
print(max(took) * 1e3, statistics.median(took) * 1e6)
