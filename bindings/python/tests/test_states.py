"""What CPython keeps for a thread is a goroutine's own: errors, context, locals, tracing, recursion, callbacks."""

import asyncio
import contextvars
import ctypes
import decimal
import gc
import io
import json
import pickle
import sqlite3
import sys
import threading
import traceback
import weakref

import cffi
import processes
import pytest

from ecru import _native as native


def results(f, *arguments):
    """What f returns for each argument, all at once."""
    tasks = [native.spawn(f, argument) for argument in arguments]
    return [task.result() for task in tasks]


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


# ---- tracing --------------------------------------------------------------------------------------------------------


def test_a_trace_function_sees_its_goroutine_only():
    seen = []

    def called():
        native.yield_()

    def not_traced():
        native.yield_()

    def f(_):
        sys.settrace(lambda frame, what, value: seen.append(frame.f_code.co_name))
        called()
        native.yield_()
        called()
        sys.settrace(None)

    def g(_):
        not_traced()
        native.yield_()
        not_traced()

    tasks = [native.spawn(f, 1), native.spawn(g, 1)]
    for task in tasks:
        task.join()
    assert seen == ["called", "called"]


def test_a_trace_function_left_behind_ends_with_its_goroutine():
    seen = []
    native.spawn(sys.settrace, lambda *event: seen.append(event)).join()
    native.spawn(sys.setprofile, lambda *event: seen.append(event)).join()
    assert native.spawn(lambda: (sys.gettrace(), sys.getprofile())).result() == (None, None)
    count = len(seen)
    native.spawn(lambda: (lambda: 1)()).join()
    assert len(seen) == count


@pytest.mark.parametrize("kind", ["trace", "profile"])
def test_what_threading_traces_with_is_honoured(kind):
    seen = []

    def tracer(frame, what, value):
        seen.append(frame.f_code.co_name)

    def called():
        native.yield_()

    getattr(threading, f"set{kind}")(tracer)
    try:
        native.spawn(called).join()
    finally:
        getattr(threading, f"set{kind}")(None)
    assert "called" in seen
    seen.clear()
    native.spawn(called).join()
    assert not seen


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in 3.12")
def test_settrace_all_threads_reaches_parked_goroutines():
    seen = []
    chan = native.Chan()

    def after():
        pass

    def f():
        chan.recv()
        after()

    task = native.spawn(f)
    native.yield_()
    before = sys.gettrace()
    threading.settrace_all_threads(lambda frame, what, value: seen.append(frame.f_code.co_name))
    chan.send(1)
    task.join()
    threading.settrace_all_threads(None)
    sys.settrace(before)
    assert "after" in seen
    seen.clear()
    native.spawn(after).join()
    assert not seen


def test_profilers_count_calls_in_goroutines():
    ended = processes.run("""
        import cProfile, pstats, io
        from ecru import _native as native
        def work():
            for _ in range(3):
                native.yield_()
                step()
        def step(): pass
        def profiled():
            profile = cProfile.Profile()
            profile.runcall(work)
            text = io.StringIO()
            pstats.Stats(profile, stream=text).print_stats("step")
            return next(line.split()[0] for line in text.getvalue().splitlines() if line.endswith("(step)"))
        task = native.spawn(profiled)
        other = native.spawn(lambda: [native.yield_() for _ in range(10)])
        print(task.result())
    """)
    assert (ended.out, ended.code) == (["3"], 0), ended.err


def test_the_debugger_works_in_a_goroutine(monkeypatch):
    import pdb

    said = io.StringIO()

    def f():
        number = 42
        pdb.Pdb(stdin=io.StringIO("p number\nnext\nwhere\ncontinue\n"), stdout=said, nosigint=True).set_trace()
        native.yield_()
        return number

    assert native.spawn(f).result() == 42
    assert "\n(Pdb) 42" in said.getvalue() or "(Pdb) 42" in said.getvalue()
    assert "f()" in said.getvalue()


def test_coverage_sees_goroutines(tmp_path):
    pytest.importorskip("coverage")
    script = tmp_path / "script.py"
    script.write_text("""
from ecru import _native as native
def f():
    native.yield_()
    return 7
native.spawn(f).result()
""")
    ended = processes.run(f"""
        import coverage, runpy
        measured = coverage.Coverage(data_file=None)
        measured.start()
        runpy.run_path({str(script)!r})
        measured.stop()
        print(measured.analysis({str(script)!r})[2])
    """)
    assert (ended.out, ended.code) == (["[]"], 0), ended.err


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
        def parked_here(chan): chan.recv()
        chan = native.Chan()
        for _ in range(3): native.go(parked_here, chan)
        native.yield_()
        faulthandler.dump_traceback(all_threads=True)
    """)
    assert ended.err.count("in parked_here") == 3


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


# ---- recursion ------------------------------------------------------------------------------------------------------


def deepen(n):
    return 0 if n == 0 else 1 + deepen(n - 1)


def test_recursion_has_the_interpreters_limit():
    def f(_):
        depth = deepen(900)
        with pytest.raises(RecursionError):
            deepen(100_000)
        return depth

    assert results(f, 1, 2, 3) == [900] * 3
    assert deepen(900) == 900


RECURSIONS = {
    "python": "def f(n): return f(n + 1)",
    "sorted": "def f(n): return sorted([n, n], key=lambda x: f(n + 1))",
    "map": "def f(n): return next(map(f, [n + 1]))",
    "getattr": """class A:
    def __getattr__(self, name): return getattr(self, name + 'x')
def f(n): A().y""",
    "init": """class A:
    def __init__(self): A()
def f(n): A()""",
    "repr of a class": """class A:
    def __repr__(self): return repr(self)
def f(n): repr(A())""",
    "compare": """class A:
    def __eq__(self, other): return A() == other
def f(n): A() == 1""",
    "call": """class A: pass
A.__call__ = A()
def f(n): A()()""",
    "exec": "def f(n): exec('f(n + 1)', {'f': f, 'n': n})",
    "import hooks": "import functools\ndef f(n): return functools.reduce(lambda a, b: f(n + 1), [1, 2])",
    "repr of a list": "def f(n):\n    x = []\n    for i in range(100000): x = [x]\n    repr(x)",
    "json": "import json\ndef f(n): json.loads('[' * 100000)",
    "json out": "import json\ndef f(n):\n    x = []\n    for i in range(100000): x = [x]\n    json.dumps(x)",
    "pickle": "import pickle\ndef f(n):\n    x = []\n    for i in range(100000): x = [x]\n    pickle.dumps(x)",
    "pickle in python": "import pickle\ndef f(n):\n    x = []\n    for i in range(3000): x = [x]\n    pickle._dumps(x)",
    "copy": "import copy\ndef f(n):\n    x = []\n    for i in range(3000): x = [x]\n    copy.deepcopy(x)",
    "isinstance": "def f(n):\n    x = ()\n    for i in range(100000): x = (x,)\n    isinstance(1, x)",
    "compile": "def f(n): compile('-' * 100000 + '1', 'x', 'eval')",
    "brackets": "def f(n): compile('(' * 199 + ')' * 199, 'x', 'eval'); compile('[' * 1000, 'x', 'eval')",
    "regular expressions": "import re\ndef f(n): re.compile('(' * 5000 + ')' * 5000)",
    "literals": "import ast\ndef f(n): ast.literal_eval('+' * 100000 + '1')",
    "generators": "def g(n):\n    yield from g(n + 1)\ndef f(n): list(g(n))",
    "iterators": "import itertools\ndef f(n):\n    x = []\n    for i in range(99): x = itertools.chain(x)\n    next(x)",
    "destructors": "def f(n):\n    x = []\n    for i in range(1000000): x = [x]\n    del x\n    raise RecursionError",
}


SAID = {"RecursionError", "MemoryError", "SyntaxError", "RuntimeError", "error"}  # the parser and re have their own
SAID |= {"NoneType", "StopIteration"}  # this version can do it without recursion


@pytest.mark.parametrize("name", RECURSIONS)
def test_deep_recursion_is_an_error(name):
    ended = processes.run(RECURSIONS[name] + """
from ecru import _native as native
error = native.spawn(f, 0).exception()
print(type(error).__name__)
native.spawn(int).result()
""")
    assert ended.code == 0, ended.err
    assert ended.out[0] in SAID


NEEDS_STACK = {
    "imports": """import ssl, json, decimal, sqlite3, unittest, email.mime.text, xml.dom.minidom, http.client, asyncio
    ssl.create_default_context()""",
    "select": "import select; select.select([], [], [], 0.001)",
    "resolver": "import socket; socket.getaddrinfo('localhost', 80)",
    "pickle": "import pickle\n    x = []\n    for i in range(200): x = [x]\n    pickle.loads(pickle.dumps(x))",
    "json": "import json\n    x = []\n    for i in range(300): x = [x]\n    json.loads(json.dumps(x))",
    "nested calls from C": "def k(n): return 0 if n == 0 else next(map(k, [n - 1]))\n    k(150)",
    "regular expressions": "import re; re.compile('(' * 90 + 'a' + ')' * 90).match('a')",
    "brackets": "compile('(' * 90 + '1' + ')' * 90, 'x', 'eval')",
    "statements": "compile(chr(10).join(' ' * i + 'if 1:' for i in range(19)) + ' pass', 'x', 'exec')",
}


@pytest.mark.parametrize("name", NEEDS_STACK)
def test_what_a_thread_can_do_a_goroutine_can(name):
    ended = processes.run(f"""
from ecru import _native as native
def f():
    {NEEDS_STACK[name]}
    return 'done'
print(native.spawn(f).result())
""")
    assert (ended.out, ended.code) == (["done"], 0), ended.err


def test_a_raised_limit_is_honoured():
    ended = processes.run("""
        import sys
        from ecru import _native as native
        def deepen(n): return 0 if n == 0 else 1 + deepen(n - 1)
        sys.setrecursionlimit(3000)
        print(native.spawn(deepen, 2800).result())
    """)
    assert (ended.out, ended.code) == (["2800"], 0), ended.err


# ---- callbacks from C -----------------------------------------------------------------------------------------------

COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))


@pytest.mark.parametrize("parks", [False, True])
@pytest.mark.parametrize("library", [ctypes.CDLL, ctypes.PyDLL], ids=["without the GIL", "with the GIL"])
def test_ctypes_callbacks(library, parks):
    def f(_):
        numbers = (ctypes.c_int * 20)(*range(20, 0, -1))

        def compare(x, y):
            if parks:
                native.yield_()
            return x[0] - y[0]

        library(None).qsort(numbers, 20, 4, COMPARE(compare))
        return list(numbers)

    assert results(f, 1, 2, 3) == [list(range(1, 21))] * 3


@pytest.mark.parametrize("parks", [False, True])
def test_cffi_callbacks(parks):
    ffi = cffi.FFI()
    ffi.cdef("void qsort(void *, size_t, size_t, int (*)(const void *, const void *));")
    library = ffi.dlopen(None)

    def f(_):
        numbers = ffi.new("int[20]", list(range(20, 0, -1)))

        @ffi.callback("int(const void *, const void *)")
        def compare(x, y):
            if parks:
                native.yield_()
            return ffi.cast("int *", x)[0] - ffi.cast("int *", y)[0]

        library.qsort(numbers, 20, 4, compare)
        return list(numbers)

    assert results(f, 1, 2, 3) == [list(range(1, 21))] * 3


@pytest.mark.parametrize("parks", [False, True])
def test_sqlite_callbacks(parks):
    def f(_):
        base = sqlite3.connect(":memory:", check_same_thread=False)

        def double(x):
            if parks:
                native.yield_()
            return 2 * x

        def progress():
            if parks:
                native.yield_()
            return 0

        base.create_function("double", 1, double)
        base.set_progress_handler(progress, 10)
        many = "with recursive t(i) as (select 1 union all select i + 1 from t where i < 50)"
        [(total,)] = base.execute(many + " select sum(double(i)) from t").fetchall()
        base.close()
        return total

    assert results(f, 1, 2, 3) == [2550] * 3


def test_a_thread_of_c_can_call_into_python_beside():
    called = []
    callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: called.append(threading.get_ident()))
    thread = ctypes.c_ulong()
    start, join = ctypes.CDLL(None).pthread_create, ctypes.CDLL(None).pthread_join

    def f(_):
        assert start(ctypes.byref(thread), None, callback, None) == 0
        assert join(thread, None) == 0
        native.yield_()

    tasks = [native.spawn(native.yield_) for _ in range(3)]
    results(f, 1)
    for task in tasks:
        task.join()
    assert len(called) == 1


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
