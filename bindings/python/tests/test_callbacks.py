"""C that calls back into Python, from goroutines and beside them."""

import ctypes
import sqlite3
import threading

import pytest
from running import results

from ecru import _native as native

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
    import cffi

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
