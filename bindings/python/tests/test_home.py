"""The life of a host: run, the program's end, errors nobody asks for, Ctrl-C."""

import io
import signal
import sys
import threading

import processes
import pytest
from sync_helpers import dump_with

import ecru
from ecru import _native as native

# ---- run ------------------------------------------------------------------------------------------------------------


def in_thread(f):
    """What f returns or raises in a thread of its own."""
    outcome = []

    def call():
        try:
            outcome.append((f(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    result, error = outcome[0]
    if error:
        raise error
    return result


def test_a_thread_runs_goroutines_inside_run():
    def body():
        chan = native.Chan()
        for i in range(10):
            native.go(chan.send, i)
        return sorted(chan.recv() for _ in range(10))

    assert in_thread(lambda: ecru.run(body)) == list(range(10))


def test_run_passes_arguments_and_errors():
    assert in_thread(lambda: ecru.run(dict, [("a", 1)], b=2)) == {"a": 1, "b": 2}
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: ecru.run(lambda: 1 / 0))


def test_outside_run_a_thread_starts_none():
    with pytest.raises(RuntimeError, match=r"ecru\.run"):
        in_thread(lambda: native.go(print))


def test_run_cancels_what_is_left_and_waits_for_it():
    said = []

    def left():
        try:
            native.sleep(None)
        except native.Cancelled:
            with native.Token(shield=True):
                native.sleep(0.01)
            said.append("cancelled")
            raise

    def body():
        for _ in range(5):
            native.go(left)
        native.yield_()

    in_thread(lambda: ecru.run(body))
    assert said == ["cancelled"] * 5


def test_run_twice_in_one_thread():
    def twice():
        return [ecru.run(lambda: native.spawn(int, "7").result()) for _ in range(2)]

    assert in_thread(twice) == [7, 7]


def test_run_inside_run_just_calls():
    assert in_thread(lambda: ecru.run(lambda: ecru.run(lambda: native.spawn(int, "7").result()))) == 7


def test_many_threads_run_goroutines_at_once():
    total = native.Chan(cap=1000)

    def body():
        tasks = [native.spawn(native.yield_) for _ in range(50)]
        for task in tasks:
            task.join()
        total.send(len(tasks))

    threads = [threading.Thread(target=ecru.run, args=(body,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [total.recv() for _ in range(8)] == [50] * 8


def test_run_in_the_main_thread_gives_sigint_back():
    ended = processes.run("""
        import ecru, signal
        before = signal.getsignal(signal.SIGINT)
        print(ecru.run(lambda: signal.getsignal(signal.SIGINT)) is before)
        print(signal.getsignal(signal.SIGINT) is before)
    """)
    assert (ended.out, ended.code) == (["False", "True"], 0), ended.err


# ---- the program's end ----------------------------------------------------------------------------------------------


def test_parked_goroutines_are_unwound_at_the_programs_end():
    ended = processes.run("""
        import ecru, atexit
        from ecru import _native as native
        class Said:
            def __del__(self): print("deleted")
        def f():
            said = Said()
            try: native.sleep(None)
            finally: print("finally")
        for _ in range(3): native.go(f)
        native.yield_()
        print("end")
    """)
    assert ended.code == 0, ended.err
    assert ended.out == ["end"] + ["finally", "deleted"] * 3
    assert ended.err == ""


def test_the_programs_end_does_not_wait_for_ever():
    ended = processes.run("""
        import ecru._home
        from ecru import _native as native
        ecru._home.GRACE = 0.1
        def f():
            with native.Token(shield=True): native.sleep(None)
        native.go(f)
        native.yield_()
    """)
    assert ended.code == 0, ended.err
    assert "1 goroutine did not end" in ended.err


def test_scopes_left_open_do_not_disturb_the_programs_end():
    ended = processes.run("""
        import ecru
        def rows():
            with ecru.timeout(50) as scope:
                yield scope
        def clean_up():
            try: ecru.sleep(None)
            finally:
                with ecru.shield(): ecru.sleep(0.01)
                print("cleaned up")
        ecru.go(clean_up)
        ecru.yield_()
        first, second = rows(), rows()
        next(first).cancel()
        next(second)
    """)
    assert (ended.code, ended.out, ended.err) == (0, ["cleaned up"], "")


def test_exit_functions_may_use_goroutines():
    ended = processes.run("""
        import ecru, atexit
        from ecru import _native as native
        atexit.register(lambda: print(native.spawn(int, "7").result()))
        native.go(native.sleep, None)
    """)
    assert (ended.out, ended.code, ended.err) == (["7"], 0, "")


def test_what_comes_after_the_end_is_refused():
    ended = processes.run("""
        import atexit
        def late():
            from ecru import _native as native
            try: native.go(print)
            except RuntimeError as error: print(error)
        atexit.register(late)
        import ecru
        from ecru import _native as native
        native.go(native.sleep, None)
    """)
    assert (ended.out, ended.code, ended.err) == (["no goroutines run any more: the interpreter is ending"], 0, "")


def test_sys_exit_in_the_main_goroutine():
    ended = processes.run("""
        import ecru, sys
        from ecru import _native as native
        native.go(native.sleep, None)
        native.yield_()
        sys.exit(7)
    """)
    assert (ended.code, ended.err) == (7, "")


def test_daemon_threads_with_goroutines_do_not_disturb_the_end():
    ended = processes.run("""
        import ecru, threading, time
        from ecru import _native as native
        up = native.Chan(cap=2)
        def body(how):
            native.go(native.sleep, 1000)
            native.yield_()
            up.send(1)
            how(1000)
        for how in (time.sleep, native.sleep):
            threading.Thread(target=ecru.run, args=(body, how), daemon=True).start()
        up.recv(); up.recv()
        print("end")
    """)
    assert (ended.out, ended.code, ended.err) == (["end"], 0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc/self/status")
@pytest.mark.parametrize("use", ["ecru.Lock().acquire()", "ecru.Chan(1).try_send(1)", "ecru.check()", "ecru.run(int)"])
@pytest.mark.parametrize("where", ["main", "thread"])
def test_the_programs_signal_handlers_stay_whatever_is_used_first(use, where):
    ended = processes.run(f"""
        import ecru, faulthandler, os, re, signal, threading
        faulthandler.disable()
        def caught():
            with open("/proc/self/status") as status:
                mask = int(re.search("SigCgt:(.*)", status.read())[1], 16)
            return [number for number in (signal.SIGSEGV, signal.SIGBUS) if mask & 1 << (number - 1)]
        def use():
            {use}
            print(len(os.listdir("/proc/self/task")) > 2)
        before = caught()
        thread = threading.Thread(target=use)
        use() if {where == "main"} else thread.start() or thread.join()
        print(caught() == before)
    """)
    assert (ended.out, ended.code, ended.err) == (["True", "True"], 0, "")


@pytest.mark.parametrize("computes", ["goroutine", "first"])
def test_daemon_threads_that_compute_do_not_disturb_the_end(computes):
    ended = processes.run(f"""
        import ecru, sys, threading, time
        up = threading.Event()
        def body():
            ecru.go(compute if "{computes}" == "goroutine" else ecru.sleep, None)
            ecru.yield_()
            compute()
        def compute(_=None):
            up.set()
            while True:
                pass
        class Late:
            def __del__(self):
                time.sleep(0.05)  # the interpreter is ending, and has others end
        threading.Thread(target=ecru.run, args=(body,), daemon=True).start()
        up.wait()
        sys.late = Late()
        print("end")
    """)
    assert (ended.out, ended.code, ended.err) == (["end"], 0, "")


# ---- errors nobody asks for -----------------------------------------------------------------------------------------


def test_an_error_nobody_asks_for_is_printed():
    ended = processes.run("""
        from ecru import _native as native
        task = native.spawn(lambda: 1 / 0)
        task.name = "divider"
        native.yield_()
        del task
        native.go(lambda: {}["x"])
        native.yield_()
    """)
    assert ended.code == 0
    assert "Exception in goroutine divider:\nTraceback" in ended.err
    assert "ZeroDivisionError: division by zero" in ended.err
    assert "KeyError: 'x'" in ended.err


def test_errors_of_tasks_that_are_referred_to_are_told_at_the_programs_end():
    ended = processes.run("""
        from ecru import _native as native
        def clean_up():
            try: native.sleep(None)
            finally: raise LookupError("cleaning up")
        task = native.spawn(lambda: 1 / 0)
        looked_at = native.spawn(int, "no number")
        other = native.spawn(clean_up)
        assert looked_at.exception()
        task.join()
    """)
    assert ended.code == 0
    assert ended.err.count("Exception in goroutine ") == 2
    assert "ZeroDivisionError: division by zero" in ended.err
    assert "LookupError: cleaning up" in ended.err
    assert "no number" not in ended.err


def test_only_some_of_many_errors_are_told_at_the_programs_end():
    ended = processes.run("""
        from ecru import _native as native
        tasks = [native.spawn(int, "x") for _ in range(1000)]
        for task in tasks: task.join()
    """)
    assert ended.err.count("Exception in goroutine ") == 10
    assert ended.err.endswith("ecru: 990 more goroutines have failed, and nobody has asked for their errors\n")


def test_the_hook_can_be_replaced(monkeypatch):
    told = []
    monkeypatch.setattr(ecru, "excepthook", lambda task, error: told.append((task.name, repr(error))))

    def fail():
        native.current().name = "failing"
        raise KeyError("x")

    native.go(fail)
    native.spawn(native.yield_).join()
    native.yield_()  # several workers
    assert told == [("failing", "KeyError('x')")]


def test_cancelled_is_no_error(monkeypatch):
    told = []
    monkeypatch.setattr(ecru, "excepthook", lambda *told_of: told.append(told_of))
    task = native.spawn(native.sleep, None)
    native.yield_()
    task.cancel()
    task.join()
    del task
    assert not told


@pytest.mark.parametrize(("hook", "error"), [(lambda task, error: 1 / 0, ZeroDivisionError), (None, TypeError)])
def test_t2_a_hook_that_fails_is_reported_with_the_error_it_was_given(monkeypatch, capsys, hook, error):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(type(unraisable.exc_value)))
    monkeypatch.setattr(ecru, "excepthook", hook)
    native.go(int, "x")
    native.spawn(native.yield_).join()
    native.yield_()  # several workers
    assert told == [error]
    said = capsys.readouterr().err
    assert said.startswith("Exception in goroutine ")
    assert said.count("ValueError: invalid literal for int() with base 10: 'x'") == 1


ENDS = ["native.sleep(None)", "while True: native.yield_()", "native.Chan().recv()", "task.join()"]


@pytest.mark.parametrize("waits", ENDS)
def test_sys_exit_of_a_goroutine_ends_the_program(waits):
    ended = processes.run(f"""
        import ecru, sys
        from ecru import _native as native
        task = native.spawn(sys.exit, 7)
        {waits}
    """)
    assert (ended.code, ended.err) == (7, "")


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------

WAITS = {
    "sleep": "native.sleep(100)",
    "sleep for ever": "native.sleep(None)",
    "channel": "native.Chan().recv()",
    "join": "native.spawn(native.sleep, None).join()",
    "lock": "lock.acquire()",
    "lock with a timeout": "lock.acquire(timeout=100)",
    "select": "native.select((native.Chan(), (native.Chan(), 1)))",
    "descriptor": "native.wait_fd(a.fileno(), 'r')",
    "descriptor with a timeout": "native.wait_fd(a.fileno(), 'r', 100)",
    "io": "native.IO(a.fileno(), keep_open=True).recv(1)",
    "token": "native.Token().wait()",
    "computing": "while True: pass",
    "busy channel": "while True: native.yield_()",
    "others yield": "native.spawn(forever, native.yield_).join()",
    "another computes": "native.spawn(forever, compute).join()",
    "cffi call": "ecru._abi.lib.ecru_sleep(100 * 10**9)",
}


@pytest.mark.parametrize("name", WAITS)
def test_ctrl_c_reaches_the_main_goroutine(name):
    ended = processes.interrupt(f"""
        import ecru, socket
        {"import ecru._abi" if "cffi" in name else ""}
        from ecru import _native as native
        a, b = socket.socketpair()
        lock = native.Lock()
        lock.acquire()
        def forever(f):
            while True: f()
        def compute():
            for i in range(10**7): pass
            native.check()
        native.go(native.sleep, 100)
        native.yield_()
        try:
            print("ready")
            {WAITS[name]}
        except KeyboardInterrupt:
            print("interrupted")
            raise SystemExit(7)
    """)
    assert "interrupted" in ended.out, ended
    assert (ended.code, ended.err) == (7, "")


def test_one_ctrl_c_ends_a_program_whose_goroutine_computes_for_ever():
    ended = processes.interrupt("""
        from ecru import _native as native
        def compute():
            print("ready")
            while True: pass
        native.spawn(compute).join()
    """)
    assert ended.err.endswith("KeyboardInterrupt\n")
    assert ended.code == -2


def test_ctrl_c_unwinds_everything():
    ended = processes.interrupt("""
        import ecru
        from ecru import _native as native
        def f():
            try: native.sleep(None)
            finally: print("finally")
        for _ in range(3): native.go(f)
        native.yield_()
        print("ready")
        native.sleep(None)
    """)
    assert ended.out == ["ready", "finally", "finally", "finally"]
    assert ended.err.endswith("KeyboardInterrupt\n")
    assert ended.code == -2


def test_own_handlers_run_while_all_wait():
    ended = processes.interrupt("""
        import ecru, signal
        from ecru import _native as native
        chan = native.Chan(cap=1)
        signal.signal(signal.SIGINT, lambda *_: chan.send("handled"))
        native.go(native.sleep, 100)
        print("ready")
        print(chan.recv())
    """)
    assert ended.out == ["ready", "handled"]
    assert (ended.code, ended.err) == (0, "")


def test_signal_token_fires_once():
    ended = processes.interrupt("""
        import ecru, os, signal
        from ecru import _native as native
        with ecru.signal_token() as token:
            print("ready")
            try:
                native.sleep(100)
            except native.Cancelled:
                print("cancelled", token.fired_itself)
        print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
        try:
            os.kill(os.getpid(), signal.SIGINT)
            native.sleep(100)
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert (ended.out, ended.code) == (["ready", "cancelled True", "True", "interrupted"], 0), ended


def test_signal_token_reaches_goroutines_under_it():
    ended = processes.interrupt(
        """
        import ecru, signal
        from ecru import _native as native
        def serve():
            try: native.sleep(None)
            finally: print("stopped")
        with ecru.signal_token(signal.SIGTERM) as token:
            tasks = [native.spawn(serve) for _ in range(3)]
        with token:
            print("ready")
        for task in tasks: task.join()
    """,
        signal.SIGTERM,
    )
    assert (ended.out, ended.code) == (["ready"], -signal.SIGTERM), ended


def test_signal_token_needs_the_main_thread():
    with pytest.raises(ValueError, match="main thread"):
        in_thread(ecru.signal_token)


# ---- what shows and what ends a hang --------------------------------------------------------------------------------


def wait_here(chan):
    chan.recv()


def test_dump_shows_where_all_wait():
    chan = native.Chan()
    tasks = [native.spawn(wait_here, chan) for _ in range(3)]
    tasks[0].name = "first one"
    native.yield_()
    text = io.StringIO()
    native.spawn(ecru.dump, text).result()
    [group] = [group for group in text.getvalue().split("\n\n") if "wait_here" in group]
    assert group.startswith("task-") or group.startswith("first one")
    assert "first one (for " in group
    assert group.count(" (for ") == 3
    assert "[chan receive]:" in group
    assert "chan.recv()" in group
    assert "first of MainThread (for" in text.getvalue()
    assert "[join]" in text.getvalue()
    for _ in tasks:
        chan.send(1)


def test_dump_shows_threads_and_what_begins():
    up, chan = native.Chan(cap=1), native.Chan()

    def wait_in_a_thread():
        up.send(1)
        chan.recv()

    thread = threading.Thread(target=wait_in_a_thread, name="waiter")
    thread.start()
    up.recv()
    native.go(chan.recv)
    assert "in wait_in_a_thread" in dump_with("waiter (for")
    chan.send(1)
    chan.send(1)
    thread.join()


FOR_EVER = ["chan.recv()", "native.spawn(chan.recv).join()", "native.Token().wait()", "lock.acquire()"]


@pytest.mark.parametrize("where", FOR_EVER)
def test_a_deadlock_is_an_error_in_the_first(where):
    ended = processes.run(f"""
        import ecru
        from ecru import _native as native
        chan, lock = native.Chan(), native.Lock()
        lock.acquire()
        def stuck():
            try: chan.recv()
            finally: print("unwound")
        native.go(stuck)
        try:
            {where}
        except ecru.DeadlockError as error:
            print("in stuck" in str(error), "[chan receive]" in str(error), "first of MainThread" in str(error))
            chan.send(7)
    """)
    assert ended.out[0] == "True True True", ended
    assert (ended.code, ended.err) == (0, "")


def test_a_deadlock_of_another_thread_is_an_error_there():
    ended = processes.run("""
        import ecru, sys, threading
        from ecru import _native as native
        def body():
            try: native.Chan().recv()
            except ecru.DeadlockError: sys.stdout.write("thread\\n")
        thread = threading.Thread(target=ecru.run, args=(body,))
        thread.start()
        try: native.Chan().recv()
        except ecru.DeadlockError: sys.stdout.write("main\\n")
        thread.join()
    """)
    assert (sorted(ended.out), ended.code, ended.err) == (["main", "thread"], 0, "")


def test_who_sleeps_for_ever_or_handles_signals_is_in_no_deadlock():
    ended = processes.run("""
        import ecru, os, signal, threading
        from ecru import _native as native
        chan = native.Chan(cap=1)
        signal.signal(signal.SIGALRM, lambda *_: chan.send("alarm"))
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        print(chan.recv())
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        native.go(chan.recv)
        import subprocess
        subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -INT {os.getpid()}"])
        try: native.sleep(None)
        except KeyboardInterrupt: print("interrupted")
    """)
    assert (ended.out, ended.code, ended.err) == (["alarm", "interrupted"], 0, "")


def test_who_computes_at_the_programs_end_is_cancelled_there():
    ended = processes.run("""
        import ecru._home
        from ecru import _native as native
        ecru._home.GRACE = 0.2
        def step():
            for i in range(10**7): pass
        def compute():
            native.yield_()
            try:
                while True: step()
            finally: print("unwound")
        native.go(compute)
        native.yield_()
    """)
    assert (ended.out, ended.code, ended.err) == (["unwound"], 0, "")
