"""What CPython keeps for a thread is a goroutine's own: errors, context, locals, frames."""

import asyncio
import contextvars
import ctypes
import decimal
import gc
import json
import pickle
import sys
import threading
import traceback
import weakref

import processes
import pytest
from running import results

from ecru import _native as native

# ---- errors ---------------------------------------------------------------------------------------------------------


def test_the_error_being_handled_is_its_own():
    def f(text):
        assert sys.exc_info()[1] is None
        try:
            raise ValueError(text)
        except ValueError:
            native.yield_()
            seen = repr(sys.exc_info()[1])
            native.yield_()
            try:
                raise
            except ValueError as error:
                return seen, repr(error)

    assert results(f, "a", "b") == [("ValueError('a')",) * 2, ("ValueError('b')",) * 2]
    assert sys.exc_info()[1] is None


def test_errors_know_those_before_them():
    def f(_):
        try:
            try:
                _ = 1 / 0
            finally:
                native.yield_()
                _ = {}["x"]
        except KeyError as error:
            return type(error.__context__)

    assert results(f, *range(5)) == [ZeroDivisionError] * 5


def test_a_thousand_unwind_at_once():
    def f(depth):
        try:
            if depth:
                native.yield_()
                return f(depth - 1)
            raise ValueError(depth)
        except ValueError:
            native.yield_()
            raise

    tasks = [native.spawn(f, 20) for _ in range(1000)]
    assert {type(task.exception()) for task in tasks} == {ValueError}


def test_tracebacks_begin_with_the_goroutines_function():
    def inner():
        return [frame.name for frame in traceback.extract_stack()]

    def outer(_):
        native.yield_()
        return inner()

    assert results(outer, 1) == [["outer", "inner"]]
    error = native.spawn(lambda: 1 / 0).exception()
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["<lambda>"]


def test_errors_of_destructors_are_reported(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(type(unraisable.exc_value)))

    class Bad:
        def __del__(self):
            native.yield_()
            raise KeyError("x")

    def f(_):
        bad = Bad()
        native.yield_()
        del bad
        return 7

    assert results(f, 1, 2) == [7, 7]
    assert told == [KeyError] * 2


# ---- context --------------------------------------------------------------------------------------------------------


def test_context_variables_begin_as_the_starters():
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(100)

    def f(i):
        assert variable.get() == 100
        variable.set(i)
        native.yield_()
        assert variable.get() == i
        native.yield_()
        return variable.get()

    assert results(f, *range(5)) == list(range(5))
    assert variable.get() == 100


def test_the_decimal_context_is_its_own():
    def f(precision):
        with decimal.localcontext() as context:
            context.prec = precision
            native.yield_()
            return len(str(decimal.Decimal(1) / 3))

    assert results(f, 3, 5, 7) == [5, 7, 9]


def test_thread_locals_are_a_goroutines_own_and_end_with_it():
    local = threading.local()
    local.x = "main"
    destroyed = []

    class Kept:
        def __del__(self):
            destroyed.append(1)

    def f(i):
        had = hasattr(local, "x")
        local.x, local.kept = i, Kept()
        native.yield_()
        return had, local.x

    for _ in range(3):
        assert results(f, *range(4)) == [(False, i) for i in range(4)]
    gc.collect()
    assert len(destroyed) == 12
    assert local.x == "main"


# ---- generators -----------------------------------------------------------------------------------------------------


def test_generators_go_from_goroutine_to_goroutine():
    said = []

    def numbers():
        try:
            yield 1
            yield 2
        finally:
            said.append("closed")

    one = numbers()
    assert [native.spawn(next, one).result() for _ in range(2)] == [1, 2]
    native.spawn(one.close).result()
    assert said == ["closed"]


def test_a_generator_runs_in_one_goroutine_at_a_time():
    def numbers():
        for i in range(6):
            native.yield_()
            yield i

    one = numbers()
    first, second = native.spawn(list, one), native.spawn(list, one)
    assert first.result() == list(range(6))
    assert "already executing" in str(second.exception())


# ---- what shows goroutines ------------------------------------------------------------------------------------------


def parked_here(chan):
    chan.recv()


@pytest.fixture
def three_parked():
    chan = native.Chan()
    tasks = [native.spawn(parked_here, chan) for _ in range(3)]
    native.yield_()
    yield tasks
    for _ in tasks:
        chan.send(1)
    for task in tasks:
        task.join()


def test_current_frames_lists_all(three_parked):
    names = [frame.f_code.co_name for frame in sys._current_frames().values()]
    assert names.count("parked_here") == 3


def test_faulthandler_lists_all():
    ended = processes.run("""
        import faulthandler, os
        from ecru import _native as native
        begun, chan = native.Chan(), native.Chan()
        def parked_here(chan):
            begun.send(None)
            chan.recv()
        for _ in range(3): native.go(parked_here, chan)
        for _ in range(3): begun.recv()
        native.yield_()
        faulthandler.dump_traceback(all_threads=True)
    """)
    assert (ended.code, ended.err.count("in parked_here")) == (0, 3)


def test_an_asynchronous_error_reaches_one_goroutine():
    class KillError(BaseException):
        pass

    said = []

    def f(i):
        try:
            while not said:
                native.yield_()
        except KillError:
            said.append(i)
        return threading.get_ident()

    tasks = [native.spawn(f, i) for i in range(3)]
    native.yield_()
    [ident] = [ident for ident, frame in sys._current_frames().items() if frame.f_locals.get("i") == 1]
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(KillError)) == 1
    for task in tasks:
        task.join()
    assert said == [1]


# ---- others of the interpreter --------------------------------------------------------------------------------------


def test_parked_goroutines_keep_what_they_use():
    chan = native.Chan()
    kept = []

    class Thing:
        pass

    def f(_):
        thing = Thing()
        thing.itself = thing
        kept.append(weakref.ref(thing))
        chan.recv()
        return thing is not None

    tasks = [native.spawn(f, i) for i in range(50)]
    native.yield_()
    for _ in range(3):
        gc.collect()
    assert all(thing() for thing in kept)
    for _ in tasks:
        chan.send(1)
    assert all(task.result() for task in tasks)
    del tasks
    gc.collect()
    assert not any(thing() for thing in kept)


def test_collection_at_every_allocation():
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)

    def f(n):
        for _ in range(50):
            loop = [[]]
            loop[0].append(loop)
            native.yield_()
        return n

    try:
        assert results(f, *range(20)) == list(range(20))
    finally:
        gc.set_threshold(*before)


def test_collection_in_one_while_others_start_and_end():
    def collect(_):
        for _ in range(20):
            gc.collect()
            native.yield_()

    collector = native.spawn(collect, 1)
    while not collector.done:
        results(lambda i: [i], *range(20))
    collector.result()


def test_goroutines_in_cycles_are_collected():
    class Node:
        pass

    def tie():
        node = Node()
        node.task = native.spawn(lambda: node)
        node.task.join()
        return weakref.ref(node)

    gone = tie()
    gc.collect()
    assert gone() is None


def test_event_loops_in_several_goroutines():
    async def work(i):
        await asyncio.sleep(0.001)
        native.yield_()
        await asyncio.sleep(0)
        return i

    def f(i):
        return asyncio.run(work(i))

    assert results(f, 0, 1, 2) == [0, 1, 2]


def test_threads_beside_goroutines_make_progress():
    stop = threading.Event()
    counts = [0, 0]

    def count(i):
        while not stop.is_set():
            counts[i] += 1

    threads = [threading.Thread(target=count, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    try:
        while not all(counts):
            results(lambda i: [native.yield_() for _ in range(100)], *range(10))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_ten_thousand_at_once():
    chan = native.Chan()
    tasks = [native.spawn(chan.recv) for _ in range(10_000)]
    native.yield_()
    assert native.goroutine_count() >= 10_000
    for i in range(10_000):
        chan.send(i)
    assert sum(task.result() for task in tasks) == sum(range(10_000))


def test_values_of_all_kinds_survive_a_trip():
    def f(value):
        native.yield_()
        return pickle.loads(pickle.dumps(value)), json.dumps(1)

    values = [None, 1, "x", b"y", (1, [2], {3: 4})]
    assert [value for value, _ in results(f, *values)] == values


def test_no_memory_for_a_state_is_an_error():
    pytest.importorskip("_testcapi")
    ended = processes.run("""
        import _testcapi, gc, sys
        from ecru import _native as native
        class Argument: pass
        def spawn_without_memory(argument):
            hold = native.spawn(native.sleep, None) # takes the pooled state
            native.yield_()
            task = native.spawn(lambda x: x, argument)
            _testcapi.set_nomemory(0, 0)
            try: native.yield_()
            except MemoryError: pass
            finally: _testcapi.remove_mem_hooks()
            hold.cancel()
            return task
        argument = Argument()
        before = sys.getrefcount(argument)
        task = spawn_without_memory(argument)
        print(task.done, repr(task.exception()))
        print(native.spawn(int).result())
        print(sys.getrefcount(argument) - before)
        task = spawn_without_memory(argument)
        del task
        print(native.spawn(int).result())
        print(sys.getrefcount(argument) - before)
    """)
    assert ended.out == ["True MemoryError()", "0", "0", "0", "0"], ended
    assert (ended.code, ended.err.splitlines()[-1]) == (0, "MemoryError")


# ---- threads of the system beside who holds the GIL -----------------------------------------------------------------


@pytest.mark.parametrize("holder", ["computes in Python", "keeps the GIL in C"])
def test_threads_go_on_beside_who_holds_the_gil(holder):
    over = False

    def hold():
        while not over:
            if holder == "computes in Python":
                sum(range(1000))
            else:
                ctypes.PyDLL(None).usleep(2000)

    def answer(questions, answers):
        for question in questions:
            answers.send(question + 1)

    channels = [(native.Chan(), native.Chan()) for _ in range(4)]
    threads = [threading.Thread(target=answer, args=pair) for pair in channels] + [threading.Thread(target=hold)]
    for thread in threads:
        thread.start()

    def ask(questions, answers):
        found = []
        for n in range(20):
            questions.send(n)
            found.append(answers.recv())
        questions.close()
        return found

    tasks = [native.spawn(ask, *pair) for pair in channels]
    found = [task.result() for task in tasks]
    over = True
    for thread in threads:
        thread.join()
    assert found == [list(range(1, 21))] * 4
