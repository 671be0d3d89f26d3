"""No operation leaves references behind: sys.gettotalrefcount, which debug builds have, counts all there are.

Each is looked at in a process of its own: another test may have loaded a module that is not built for counting, as
greenlet's wheel. A reference that it gives is not counted, but is once we give it back.
"""

import gc
import subprocess
import sys
from functools import partial

import pytest

import ecru

count_references = getattr(sys, "gettotalrefcount", None)
pytestmark = pytest.mark.skipif(count_references is None, reason="no debug build")

ROUNDS, WARM_UP = 400, 100


def spawn_and_join():
    assert ecru.spawn(str, 12345).result() == "12345"


def go_and_end():
    chan = ecru.Chan()
    ecru.go(chan.send, [1])
    chan.recv()


def fail():
    task = ecru.spawn(int, "x")
    with pytest.raises(ValueError, match="invalid"):
        task.result()


def cancel():
    task = ecru.spawn(ecru.sleep, None)
    ecru.yield_()
    task.cancel()
    assert isinstance(task.exception(), ecru.Cancelled)


def buffered():
    chan = ecru.Chan(2)
    chan.send([1])
    chan.send([2])
    assert [chan.recv(), chan.try_recv()] == [[1], ([2], True)]
    chan.send([3])
    chan.close()


def drop_what_is_full():
    for full in "drop_newest", "drop_oldest":
        chan = ecru.Chan(1, full)
        chan.send([1])
        chan.send([2])


def close_under_receivers():
    chan = ecru.Chan()
    tasks = [ecru.spawn(list, chan) for _ in range(3)]
    ecru.yield_()
    chan.close()
    assert [task.result() for task in tasks] == [[], [], []]


def select():
    chan, other = ecru.Chan(1), ecru.Chan()
    ecru.select(ecru.send(chan, [1]), ecru.recv(other))
    ecru.select(chan, other)
    assert ecru.select(chan, ecru.send(other, [1]), default=None).index == -1


def scopes():
    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0):
        ecru.sleep(1)
    with ecru.shield(), ecru.move_on_after(1):
        ecru.yield_()


def group():
    with ecru.TaskGroup() as tasks:
        for i in range(3):
            tasks.go(str, i)


def group_that_fails():
    with pytest.raises(Exception, match="in a task group"), ecru.TaskGroup() as tasks:
        tasks.go(ecru.sleep, None)
        tasks.go(int, "x")


def helpers():
    assert ecru.gather(partial(str, 1), partial(str, 2)) == ["1", "2"]
    assert list(ecru.map(str, range(5), limit=2)) == list("01234")
    assert ecru.race(partial(str, 1), partial(ecru.sleep, None)) == "1"


def locks():
    for lock in ecru.Lock(), ecru.RLock(), ecru.Semaphore(), ecru.Condition():
        with lock:
            task = ecru.spawn(lambda lock=lock: lock.acquire())
            ecru.yield_()
            task.cancel()
            task.exception()


def queue():
    items = ecru.Queue(1)
    task = ecru.spawn(lambda: [items.put([i]) for i in range(4)])
    assert [items.get() for _ in range(4)] == [[0], [1], [2], [3]]
    task.result()


def sockets():
    near, far = ecru.net.pair()
    with near, far:
        near.sendall(b"x" * 100)
        assert far.recv(1000) == b"x" * 100
        with pytest.raises(TimeoutError):
            far.recv(1, timeout=0)


def goroutines_seen():
    task = ecru.spawn(ecru.sleep, None)
    ecru.yield_()
    assert any(one is task for _, _, one, _ in ecru._native.goroutines())
    task.cancel()
    task.join()


OPERATIONS = [
    spawn_and_join, go_and_end, fail, cancel, buffered, drop_what_is_full, close_under_receivers, select, scopes, group,
    group_that_fails, helpers, locks, queue, sockets, goroutines_seen,
]  # fmt: skip


def growth(operation, rounds):
    for _ in range(WARM_UP):
        operation()
    gc.collect()
    before = count_references()
    for _ in range(rounds):
        operation()
    ecru.sleep(0)  # those that are about to end
    gc.collect()
    return count_references() - before


def least_growth(operation):
    """Of three times, since a cache may have grown once; the one nearest to none."""
    return min((growth(operation, ROUNDS) for _ in range(3)), key=abs)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
@pytest.mark.timeout(300)
def test_leaves_no_references(operation):
    command = [sys.executable, __file__, operation.__name__]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=280)
    assert abs(int(done.stdout)) < ROUNDS // 4, f"{done.stdout} references after {ROUNDS} rounds"


def test_a_leak_would_be_seen():
    kept = []
    assert growth(lambda: kept.append(object()), ROUNDS) >= ROUNDS


if __name__ == "__main__":
    print(least_growth(globals()[sys.argv[1]]))
