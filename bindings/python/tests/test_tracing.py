"""Trace functions, profilers, the debugger and coverage see goroutines as they see threads."""

import io
import sys
import threading

import processes
import pytest

import ecru
from ecru import _native as native


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


@pytest.mark.parametrize("kind", ["trace", "profile"])
def test_calls_that_block_are_traced_as_threads(kind):
    seen = []

    def called():
        seen.append(threading.get_ident())

    def tracer(frame, what, value):
        if frame.f_code is called.__code__:
            seen.append(what)

    getattr(threading, f"set{kind}")(tracer)
    try:
        ecru.run_blocking(called)
        ecru.run_blocking(lambda: ecru.run_blocking(called))
        assert seen.count("call") == 2
    finally:
        getattr(threading, f"set{kind}")(None)
    ecru.run_blocking(called)
    assert seen.count("call") == 2
    assert len(seen) > 3


@pytest.mark.parametrize("kind", ["trace", "profile"])
def test_a_trace_function_left_behind_ends_with_its_call(kind):
    ecru.run_blocking(getattr(sys, f"set{kind}"), lambda *event: None)
    assert ecru.run_blocking(getattr(sys, f"get{kind}")) is None


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


def test_coverage_sees_goroutines_and_calls_that_block(tmp_path):
    pytest.importorskip("coverage")
    script = tmp_path / "script.py"
    script.write_text("""
import ecru
import ecru
from ecru import _native as native
def f():
    native.yield_()
    return 7
native.spawn(f).result()
def blocks():
    return 8
ecru.run_blocking(blocks)
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
