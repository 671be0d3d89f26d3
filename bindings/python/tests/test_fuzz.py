"""Random calls of ecru._native with random arguments: whatever they say, the process lives and goes on.

For ECRU_FUZZ_SECONDS (default 3) in a process of its own; ECRU_FUZZ_SEED gives the calls of an earlier run.
"""

import os
import random

import processes
import pytest

SECONDS = float(os.environ.get("ECRU_FUZZ_SECONDS", "3"))
PROGRAM = """
import gc, os, random, socket, sys, time
import ecru
from ecru import _native as native

chance, seconds = random.Random(int(sys.argv[1])), float(sys.argv[2])
# what _home.py alone may call
LEFT_OUT = {"shut_down", "interrupt_first", "interrupt_firsts", "on_entered", "on_deadlock", "enter_home", "leave_home"}
LEFT_OUT |= {"cancel_home", "end_home_in", "after_fork"}
SPECIAL = {"__enter__", "__exit__", "__next__", "__iter__", "__init__", "__len__"}
a, b = socket.socketpair()

def public(target):
    return [name for name in dir(target) if not name.startswith("__") or name in SPECIAL]

names = [name for name in public(native) if name not in LEFT_OUT]

class Odd:
    def __index__(self): raise KeyError("index")
    def __float__(self): return float("nan")
    def __eq__(self, other): raise LookupError("eq")
    def __hash__(self): return 1
    def __del__(self): native.yield_()

# no number of an open descriptor
NUMBERS = [-1, 987_654, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.0, -1.0, 1e-9, 1e308]
NUMBERS += [float("inf"), float("-inf"), float("nan")]
TEXTS = ["", "r", "w", "rw", "tcp", "127.0.0.1:0", "x" * 1000, chr(0), chr(0xdc80), "drop_oldest", b"", b"x"]
FUNCTIONS = [int, native.yield_, lambda: 1 / 0]
MAKERS = [
    lambda: native.Chan(chance.choice([0, 1, 3, None])),
    lambda: native.Lock(),
    lambda: native.Token(timeout=chance.choice([None, 0, 0.01])),
    lambda: native.spawn(chance.choice(FUNCTIONS)),
    lambda: native.IO(os.dup(a.fileno())),
    lambda: bytearray(chance.randrange(9)),
    lambda: chance.choice([Odd(), object, None, True, print, native.Chan, native.Task]),
    lambda: [made()],
    lambda: (made(), made()),
    lambda: {"timeout": made()},
    lambda: chance.choice(NUMBERS),
    lambda: chance.choice(TEXTS),
]

def made():
    return chance.choice(MAKERS)()

def call():
    target = getattr(native, chance.choice(names)) if chance.random() < 0.5 else made()
    if chance.random() < 0.7: target = getattr(target, chance.choice(public(target) or ["x"]), target)
    if not callable(target) or target is print: return
    if isinstance(target, type) and issubclass(target, native.IO): return # True is 1, which they would close
    arguments = [made() for _ in range(chance.choice([0, 0, 1, 1, 2, 3, 4]))]
    options = {chance.choice(["timeout", "cap", "poll", "x", "blocking"]): made()} if chance.random() < 0.2 else {}
    target(*arguments, **options)

def one():
    with native.Token(timeout=0.005): call()

sys.unraisablehook = lambda unraisable: None
ecru.excepthook = lambda task, error: None
end, calls = time.monotonic() + seconds, 0
while time.monotonic() < end:
    task = native.spawn(one) # a scope left open ends with it
    while not task.done:
        native.sleep(0.0002)
        if time.monotonic() > end + 20: raise SystemExit("stuck")
    calls += 1
    if calls % 50 == 0:
        gc.collect()
        assert native.spawn(lambda: 7).result() == 7
print(calls > 50, flush=True)
os._exit(0) # what has been left waiting is not looked at
"""


@pytest.mark.timeout(SECONDS + 60)
def test_random_calls_never_crash() -> None:
    seed = int(os.environ.get("ECRU_FUZZ_SEED", random.randrange(2**32)))
    ended = processes.run(PROGRAM, str(seed), str(SECONDS), timeout=SECONDS + 45)
    assert (ended.out[-1:], ended.code) == (["True"], 0), f"ECRU_FUZZ_SEED={seed}: {ended}"
