"""Two calls that each take 200 ms take 200 ms together: plain functions, nothing awaited, no callback."""

import time

import ecru

NAMES = {1: "Ada", 2: "Grace"}


def fetch_user(number: int) -> str:
    """To the server and back: parks this goroutine, not its thread."""
    ecru.sleep(0.2)
    return NAMES[number]


began = time.monotonic()
tasks = {number: ecru.spawn(fetch_user, number) for number in (1, 2, 3)}
for number, task in tasks.items():
    try:
        print(f"user {number}: {task.result()}")
    except KeyError:
        print(f"user {number}: no such user")
print("3 calls of 200 ms each took", "200 ms" if time.monotonic() - began < 0.59 else "one after the other")
