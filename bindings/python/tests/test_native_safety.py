"""What must not crash or lose anything, however odd: destructors, deep nesting, arguments that change, collections."""

import gc
import socket
import sys
import threading
import time
import weakref

import processes
import pytest

import ecru
from ecru import _native as native

# ---- destructors ----------------------------------------------------------------------------------------------------


class Calls:
    """Calls f when it goes."""

    def __init__(self, f):
        self.f = f

    def __del__(self):
        self.f()


def test_a_result_that_goes_with_its_goroutine_may_ask_for_the_current_one():
    seen = []
    native.go(lambda: Calls(lambda: seen.append(native.current())))
    native.yield_()
    assert seen == [None]


def test_what_threading_local_held_may_ask_for_the_current_goroutine():
    seen, local = [], threading.local()

    def keep():
        local.it = Calls(lambda: seen.append(native.current()))

    native.go(keep)
    native.yield_()
    assert seen == [None]


def test_what_destructors_put_in_threading_local_does_not_reach_the_next_goroutine():
    local = threading.local()

    def keep():
        local.it = Calls(lambda: setattr(local, "left", 1))

    native.spawn(keep).join()
    assert native.spawn(lambda: hasattr(local, "left")).result() is False


def test_a_goroutine_begins_with_the_defaults_of_sys():
    native.spawn(sys.set_coroutine_origin_tracking_depth, 5).join()
    assert native.spawn(sys.get_coroutine_origin_tracking_depth).result() == 0


def test_a_goroutine_may_park_in_the_destructors_of_its_end():
    local, ended = threading.local(), []

    def keep():
        local.it = Calls(lambda: (native.yield_(), ended.append(1)))
        return Calls(lambda: (native.yield_(), ended.append(1)))

    for _ in range(100):
        native.go(keep)
    while len(ended) < 200:
        native.yield_()


def test_asyncio_does_not_find_the_loop_holder_of_an_ended_goroutine():
    done = processes.run("""
        import asyncio, os, ecru
        def ask():
            try: asyncio.get_running_loop()
            except RuntimeError: return "none"
        ecru.spawn(asyncio.run, asyncio.sleep(0)).join()
        same_size = [int(str(os.getpid())) for _ in range(100_000)]  # where the holder lay
        print(ecru.spawn(ask).result())
    """)
    assert (done.out, done.code) == (["none"], 0), done.err


# ---- deep nesting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ecru.Chan(1)", "native.Chan(1)"])
def test_channels_within_channels_go_without_recursion(kind):
    done = processes.run(f"""
        import ecru
        from ecru import _native as native
        chan = None
        for _ in range(200_000):
            outer = {kind}
            outer.send(chan)
            chan = outer
        del chan, outer
        print("gone")
    """)
    assert (done.out, done.code) == (["gone"], 0), done.err


def test_tasks_within_tasks_go_without_recursion():
    done = processes.run("""
        import ecru
        task = None
        for _ in range(200_000):
            task = ecru.spawn(lambda inner: inner, task)
            task.join()
        del task
        print("gone")
    """)
    assert (done.out, done.code) == (["gone"], 0), done.err


# ---- arguments ------------------------------------------------------------------------------------------------------


def test_wait_fds_looks_at_a_list_that_does_not_change():
    done = processes.run("""
        from ecru import _native as native
        class Zero:
            def __index__(self):
                descriptors.clear()
                return 1
        descriptors = [(Zero(), "w") for _ in range(1000)]
        print(len(native.wait_fds(descriptors, 0)))
    """)
    assert (done.out, done.code) == (["1000"], 0), done.err


@pytest.mark.parametrize("wrong", [[1], [(1,)], 5, [("a", "r")], [[0, "r"]]])
def test_wait_fds_says_what_it_needs(wrong):
    with pytest.raises(TypeError):
        native.wait_fds(wrong, 0)


def test_an_io_is_selected_by_a_known_word():
    a, b = socket.socketpair()
    with b, pytest.raises(ValueError, match='"r" or "w"'):
        native.select(((native.IO(a.detach()), "x"),), poll=True)


def test_a_lock_refuses_a_timeout_that_is_no_number():
    lock = native.Lock()
    lock.acquire()
    with pytest.raises(ValueError, match="not a number"):
        lock.acquire(True, float("nan"))


def test_a_receive_without_memory_leaves_no_deadline():
    a, b = socket.socketpair()
    with b:
        io = native.IO(a.detach())
        with pytest.raises(MemoryError):
            io.recv(sys.maxsize - 100, timeout=0)
        native.go(b.send, b"x")
        assert io.recv(1) == b"x"


def test_two_do_not_fill_one_stream_even_if_a_timeout_parks():
    a, b = socket.socketpair()
    stream = native.Stream(a.detach())

    class Parks:
        def __float__(self):
            assert stream.buffered == 0
            second.append(native.spawn(stream.read_exactly, 1))
            native.yield_()
            return 5.0

    second = []
    with b:
        with pytest.raises(RuntimeError, match="another goroutine"):
            stream.read_exactly(100_000, timeout=Parks())
        b.send(b"x")
        assert second[0].result() == b"x"


# ---- collection -----------------------------------------------------------------------------------------------------


class Thing:
    pass


@pytest.mark.parametrize("make", [lambda: ecru.Chan(4), lambda: native.Chan(None)])
def test_cycles_through_a_buffer_are_collected(make):
    def cycle():
        chan, thing = make(), Thing()
        thing.chan = chan
        for value in (thing, chan, [chan, thing]):
            chan.send(value)
        return weakref.ref(thing)

    references = [cycle() for _ in range(20)]
    gc.collect()
    assert [r() for r in references] == [None] * 20


def test_what_is_buffered_in_a_channel_in_use_stays():
    chan = ecru.Chan(10)
    for i in range(10):
        chan.send([i, chan])
    gc.collect()
    assert [chan.recv() for _ in range(10)] == [[i, chan] for i in range(10)]


def test_collections_while_threads_send_and_receive_take_nothing():
    chan, end, counts = ecru.Chan(8), time.monotonic() + 1.0, []
    before = gc.get_threshold()

    def sends():
        while time.monotonic() < end:
            cycle = [chan]
            cycle.append(cycle)
            chan.send(cycle)
            del cycle

    def receives():
        count = 0
        while True:
            value, ok = chan.recv2() if count % 2 else ecru.select(chan)[1:]
            if not ok:
                return counts.append(count)
            assert value[0] is chan
            assert value[1] is value
            count += 1

    gc.set_threshold(1)
    try:
        threads = [threading.Thread(target=f) for f in (sends, sends, receives, receives)]
        for thread in threads:
            thread.start()
        mine = [native.spawn(f) for f in (sends, receives)]
        mine[0].result()
        while any(thread.is_alive() for thread in threads[:2]):
            native.sleep(0.001)
        chan.close()
        mine[1].result()
        while any(thread.is_alive() for thread in threads):
            native.sleep(0.001)
    finally:
        gc.set_threshold(*before)
    assert len(counts) == 3
    assert sum(counts) > 0
