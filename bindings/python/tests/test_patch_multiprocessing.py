"""ecru.patch(): semaphores, queues and the like between processes park goroutines."""

import contextlib
import multiprocessing
import threading
import time

from patched import patched

import ecru


def hold(lock, held, over):
    with lock:
        held.send(None)
        over.recv()


@contextlib.contextmanager
def held_by_another(context, lock):
    """Another process has the lock; what to call to have it let go."""
    held, to_hold = context.Pipe()
    process = context.Process(target=hold, args=(lock, to_hold, to_hold))
    process.start()
    held.recv()
    yield lambda: held.send(None)
    process.join()


def count_threads():
    """A list that grows by each thread that is started to wait for a semaphore."""
    from ecru import _blocking

    started, start = [], _blocking._start_thread
    _blocking._start_thread = lambda *of: (started.append(of), start(*of))
    return started


@patched
def test_who_waits_for_a_lock_of_another_process_parks():
    context = multiprocessing.get_context("spawn")
    lock = context.Lock()
    with held_by_another(context, lock) as let_go:
        assert not lock.acquire(False)
        assert not lock.acquire(timeout=0.05)
        threads = count_threads()
        waiting = [ecru.spawn(lock.acquire) for _ in range(20)]
        while not threads:
            time.sleep(0.001)
        ecru.yield_()
        assert len(threads) == 1
        assert not any(task.done for task in waiting)
        let_go()
        for _ in waiting:
            while not any(task.done for task in waiting):
                time.sleep(0.001)
            waiting = [task for task in waiting if not task.done]
            lock.release()
    assert waiting == []


@patched
def test_who_gives_up_waiting_keeps_nothing():
    context = multiprocessing.get_context("spawn")
    lock = context.Lock()
    with held_by_another(context, lock) as let_go:
        threads = count_threads()
        with ecru.TaskGroup() as group:
            waiting = group.go(lock.acquire)
            while not threads:
                time.sleep(0.001)
            waiting.cancel()
        let_go()
    for _ in range(3):
        assert lock.acquire(timeout=30)
        lock.release()


@patched
def test_a_recursive_lock_is_one_goroutines():
    lock = multiprocessing.get_context("spawn").RLock()
    inside = 0

    def enter():
        nonlocal inside
        with lock, lock:
            inside += 1
            assert inside == 1
            time.sleep(0.001)
            inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(10)]
    with lock:
        for thread in threads:
            thread.start()
        assert not ecru.spawn(lock.acquire, False).result()
        assert not ecru.spawn(lock.acquire, True, 0.01).result()
        assert type(ecru.spawn(lock.release).exception()) is AssertionError
    for thread in threads:
        thread.join()
    assert lock.acquire(False)
    lock.release()


def produce(queue, first):
    for number in range(first, first + 100):
        queue.put(number)


@patched
def test_queues_bring_what_other_processes_put():
    context = multiprocessing.get_context("spawn")
    queue, found = context.JoinableQueue(5), []

    def consume():
        while (number := queue.get()) is not None:
            found.append(number)
            queue.task_done()

    consumers = [threading.Thread(target=consume) for _ in range(3)]
    producers = [context.Process(target=produce, args=(queue, first)) for first in (0, 100)]
    for one in (*consumers, *producers):
        one.start()
    for producer in producers:
        producer.join()
    queue.join()
    for _ in consumers:
        queue.put(None)
    for consumer in consumers:
        consumer.join()
    assert sorted(found) == list(range(200))


def take_part(condition, barrier, event, value):
    barrier.wait()
    event.wait()
    with condition:
        value.value += 1
        condition.notify_all()


@patched
def test_conditions_barriers_and_events_of_several_processes():
    context = multiprocessing.get_context("spawn")
    condition, barrier, event, value = (
        context.Condition(context.Lock()),
        context.Barrier(4),
        context.Event(),
        context.Value("i"),
    )
    parts = [context.Process(target=take_part, args=(condition, barrier, event, value)) for _ in range(2)]
    parts.append(threading.Thread(target=take_part, args=(condition, barrier, event, value)))
    for part in parts:
        part.start()
    barrier.wait()
    event.set()
    with condition:
        assert condition.wait_for(lambda: value.value == 3, 30)
    for part in parts:
        part.join()
