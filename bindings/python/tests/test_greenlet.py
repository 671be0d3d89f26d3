"""greenlet beside goroutines."""

import os

import pytest
from processes import run

import ecru
from ecru import _native, net

if "libasan" in os.environ.get("LD_PRELOAD", ""):
    pytest.skip("AddressSanitizer in a C program does not know C++'s exceptions", allow_module_level=True)
greenlet = pytest.importorskip("greenlet")


def in_greenlet(function):
    return greenlet.greenlet(function).switch()


def test_goroutines_may_use_greenlets_that_do_not_wait():
    def count(lock):
        def inner():
            total = 0
            for _ in range(1000):
                with lock:  # free: nothing waits
                    total += 1
            return total

        return in_greenlet(inner)

    lock = ecru.Lock()
    assert ecru.gather(*[lambda: count(lock)] * 3) == [1000] * 3


@pytest.mark.parametrize("shared", ["goroutine", "first"])
def test_waiting_inside_a_greenlet_is_refused(shared):
    channel, lock = ecru.Chan(), ecru.Lock()
    near, far = net.pair()
    waits = [
        lambda: ecru.sleep(0.01),
        ecru.yield_,
        channel.recv,
        lambda: channel.send(1),
        lambda: ecru.select(ecru.recv(channel)),
        lambda: ecru.spawn(ecru.sleep, 0).result(),
        lambda: lock.acquire(),
        lambda: lock.acquire(timeout=1),
        lambda: near.recv(1),
        lambda: near.sendall(b"x" * (1 << 24)),
        lambda: _native.wait_fd(near.fileno(), "r"),
    ]

    def attempt():
        for wait in waits:
            with pytest.raises(RuntimeError, match="inside a greenlet"):
                in_greenlet(wait)
        return in_greenlet(lambda: "still works")

    with near, far, lock:
        if shared == "first":
            assert attempt() == "still works"
        else:
            assert ecru.gather(attempt, attempt) == ["still works"] * 2
    ecru.sleep(0.001)


def test_other_threads_wait_inside_greenlets():
    channel = ecru.Chan()

    def thread():
        return in_greenlet(channel.recv)

    task = ecru.spawn(ecru.run_blocking, thread)
    channel.send("x")
    assert task.result() == "x"


@pytest.mark.parametrize(
    "imports",
    ["greenlet, ecru", "ecru, greenlet", "ecru, importlib.util; importlib.util.find_spec('greenlet'); import greenlet"],
)
def test_it_does_not_matter_which_is_imported_first(imports):
    done = run(f"""
        import {imports}

        def wait():
            try:
                return greenlet.greenlet(ecru.sleep).switch(0.005)
            except RuntimeError as error:
                return str(error)

        print(*ecru.gather(wait, wait), sep="\\n")
    """)
    assert done.code == 0, done.err
    assert done.out == ["a goroutine cannot wait inside a greenlet"] * 2
