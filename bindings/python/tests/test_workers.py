"""Workers: goroutines on several threads, where the interpreter has no GIL (and none where it has)."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from contextvars import ContextVar

import pytest

import ecru
from ecru import _native, _workers

IN_PARALLEL = not getattr(sys, "_is_gil_enabled", lambda: True)()
without_gil = pytest.mark.skipif(not IN_PARALLEL, reason="the interpreter has a GIL")
COUNT = 3


@pytest.fixture
def workers():
    before = ecru.workers()
    ecru.set_workers(COUNT)
    yield COUNT
    ecru.set_workers(before)


def run_script(text, **variables):
    environment = {**os.environ, "ECRU_WORKERS": str(COUNT), **variables}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment,
    )


def thread():
    return threading.get_native_id()


def test_with_a_gil_there_is_one():
    if IN_PARALLEL:
        done = run_script("import ecru; assert ecru.workers() == 1; ecru.set_workers(2)", PYTHON_GIL="1")
        assert "RuntimeError" in done.stderr
        return
    assert ecru.workers() == 1
    ecru.set_workers(1)
    ecru.set_workers()
    with pytest.raises(RuntimeError, match="GIL"):
        ecru.set_workers(2)
    assert ecru.spawn(thread).result() == thread()


def test_there_is_at_least_one_and_a_most():
    for count in 0, -1, 64:
        with pytest.raises(ValueError, match="1 to 63"):
            ecru.set_workers(count)


def test_with_more_processors_there_are_the_most(monkeypatch):
    monkeypatch.delenv("ECRU_WORKERS", raising=False)
    monkeypatch.setattr(_native, "maxprocs", lambda: 100)
    monkeypatch.setattr(_workers, "_in_parallel", lambda: True)
    before = ecru.workers()
    try:
        ecru.set_workers()
        assert ecru.workers() == 63
    finally:
        ecru.set_workers(before)


@without_gil
def test_there_are_as_many_as_processors_unless_the_environment_says():
    text = "import ecru; print(ecru.workers())"
    assert run_script(text, ECRU_WORKERS="5").stdout == "5\n"
    assert int(run_script(text, ECRU_WORKERS="").stdout) == len(os.sched_getaffinity(0))


@without_gil
def test_goroutines_spread_and_stay(workers):
    def stays():
        first = thread()
        for _ in range(20):
            ecru.yield_()
            ecru.sleep(0.0001)
            assert thread() == first
        return first

    threads = [task.result() for task in [ecru.spawn(stays) for _ in range(4 * workers)]]
    assert len(set(threads)) == workers
    assert thread() not in threads
    assert all(threads.count(one) == 4 for one in threads)


@without_gil
def test_those_of_a_goroutine_spread_too(workers):
    def start():
        return {task.result() for task in [ecru.spawn(thread) for _ in range(3 * workers)]}

    assert len(ecru.spawn(start).result()) >= workers - 1  # one has the starter besides


@without_gil
def test_with_one_they_run_where_they_are_started():
    before = ecru.workers()
    ecru.set_workers(1)
    try:
        assert ecru.spawn(lambda: (thread(), ecru.spawn(thread).result())).result() == (thread(), thread())
    finally:
        ecru.set_workers(before)


@without_gil
def test_a_run_of_another_thread_keeps_its_own(workers):
    def main():
        return {thread()} | {task.result() for task in [ecru.spawn(thread) for _ in range(10)]}

    assert len(ecru.run_blocking(ecru.run, main)) == 1


@without_gil
def test_channels_locks_and_selects_join_workers(workers):
    rounds, crowd = 200, 4 * workers
    work, results = ecru.Chan[int](), ecru.Chan[int](5)
    lock, total = ecru.Lock(), [0]

    def square():
        for number in work:
            index, *_ = ecru.select(ecru.send(results, number * number), ecru.recv(ecru.Chan()))
            assert index == 0
            with lock:
                total[0] += 1

    def feed():
        for number in range(rounds):
            work.send(number)
        work.close()

    with ecru.TaskGroup() as group:
        for _ in range(crowd):
            group.go(square)
        group.go(feed)
        got = sorted(results.recv() for _ in range(rounds))
    assert got == [number * number for number in range(rounds)]
    assert total == [rounds]


@without_gil
def test_every_kind_of_lock_excludes_workers(workers):
    rounds = 300
    locks = ecru.Lock(), ecru.RLock(), ecru.Semaphore(1), ecru.Condition()
    counts = [0] * len(locks)

    def add(at):
        for _ in range(rounds):
            with locks[at]:
                seen = counts[at]
                if at % 2:
                    ecru.yield_()
                counts[at] = seen + 1

    with ecru.TaskGroup() as group:
        for at in range(len(locks)):
            for _ in range(workers):
                group.go(add, at)
    assert counts == [rounds * workers] * len(locks)


@without_gil
def test_an_error_cancels_the_group_on_all_workers(workers):
    cancelled = []

    def wait():
        try:
            ecru.sleep(None)
        except ecru.Cancelled:
            cancelled.append(thread())
            raise

    def fail():
        ecru.sleep(0.01)
        raise ValueError("one of them")

    with pytest.raises(BaseExceptionGroup) as caught, ecru.TaskGroup() as group:  # noqa: F821 - 3.11's
        for _ in range(3 * workers):
            group.go(wait)
        group.go(fail)
    assert [str(error) for error in caught.value.exceptions] == ["one of them"]
    assert len(cancelled) == 3 * workers
    assert len(set(cancelled)) == workers


@without_gil
def test_a_deadline_reaches_all_workers(workers):
    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.05), ecru.TaskGroup() as group:
        for _ in range(2 * workers):
            group.go(ecru.sleep, None)


@without_gil
def test_a_task_knows_itself_at_once(workers):
    def tell(chan):
        task = ecru.current()
        chan.send((task, task.id, task.name, task.done))

    chan = ecru.Chan(None)
    tasks = [ecru.spawn(tell, chan) for _ in range(300)]
    told = [chan.recv() for _ in tasks]
    assert {task.id for task in tasks} == {id for _, id, _, _ in told}
    for task, id, name, done in told:
        task.result()
        assert (task.id, task.done, done) == (id, True, False)
        assert name == f"task-{id}"


@without_gil
def test_each_has_context_and_locals_of_its_own(workers):
    variable, local = ContextVar("variable", default=0), ecru.Local()
    variable.set(1)

    def change(value):
        assert variable.get() == 1
        assert not hasattr(local, "value")
        variable.set(value)
        local.value = value
        ecru.sleep(0.001)
        return variable.get() == local.value == value

    assert all(task.result() for task in [ecru.spawn(change, i) for i in range(100)])
    assert variable.get() == 1


@without_gil
def test_what_others_give_back_is_freed(workers):
    """Objects belong to the thread that made them, which has to take part when another one drops them."""

    class Thing:
        pass

    chan = ecru.Chan(4)
    seen = []

    def make():
        for _ in range(2000):
            thing = Thing()
            seen.append(weakref.ref(thing))
            chan.send(thing)
            del thing
        chan.close()
        while sum(ref() is not None for ref in seen) > 0:  # a switch now and then is all it takes
            ecru.yield_()
        return thread()

    gc.disable()  # a collection would do it, too
    try:
        maker = ecru.spawn(make)
        dropper = ecru.spawn(lambda: [thread() for _ in chan][-1])
        with ecru.timeout(30):
            assert maker.result() != dropper.result()
    finally:
        gc.enable()


@without_gil
def test_collections_find_what_parked_goroutines_hold(workers):
    class Node:
        pass

    def hold(i):
        node = Node()
        node.me, node.list = node, [i]
        for _ in range(20):
            ecru.sleep(0.0005)
            if i % 10 == 0:
                gc.collect()
            assert node.list == [i]
        return weakref.ref(node)

    refs = [task.result() for task in [ecru.spawn(hold, i) for i in range(60)]]
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


@without_gil
def test_the_first_is_told_to_end():
    for error, code in ("SystemExit(7)", 7), ("KeyboardInterrupt()", -2):
        done = run_script(f"""
            import ecru, threading
            main = threading.get_native_id()
            def end():
                assert threading.get_native_id() != main
                raise {error}
            try:
                ecru.go(end)
                ecru.sleep(None)
            except BaseException as error:
                print(type(error).__name__, flush=True)
                raise
        """)
        assert done.stdout.strip() == error.split("(")[0], done.stderr
        assert done.returncode == code


@without_gil
def test_a_first_that_computes_is_told_to_end():
    done = run_script("""
        import ecru, sys
        ecru.go(sys.exit, 5)
        while True:
            pass
    """)
    assert done.returncode == 5, done.stderr


@without_gil
def test_ctrl_c_reaches_the_first():
    done = run_script("""
        import ecru, os, signal
        def compute():
            while True:
                ecru.check()
        for _ in range(2):
            ecru.go(compute)
        try:
            ecru.go(os.kill, os.getpid(), signal.SIGINT)
            ecru.sleep(None)
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert (done.stdout, done.returncode) == ("interrupted\n", 0), done.stderr


@without_gil
def test_the_end_cancels_all_and_waits():
    done = run_script("""
        import ecru, os
        def wait(i):
            try:
                ecru.sleep(None)
            finally:
                ecru.run_blocking(os.write, 1, b"ended\\n") if i else os.write(1, b"ended\\n")
        for i in range(12):
            ecru.go(wait, i % 2)
        ecru.sleep(0.05)
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ended\n" * 6, (done.stdout, done.stderr)  # the others may wait no more


@without_gil
def test_the_end_does_not_wait_for_ever_for_one_that_computes():
    done = run_script("""
        import ecru, ecru._home
        ecru._home.GRACE = 0.2
        def compute():
            while True:
                pass
        ecru.go(compute)
        ecru.sleep(0.05)
        print("end")
    """)
    assert done.stdout == "end\n"
    assert done.returncode == 0, done.stderr
    assert "1 goroutine did not end" in done.stderr


@without_gil
def test_a_run_of_the_main_thread_can_be_repeated():
    done = run_script("""
        import ecru, threading
        def main():
            return {task.result() for task in [ecru.spawn(threading.get_native_id) for _ in range(9)]}
        for _ in range(5):
            assert len(ecru.run(main)) == 3
        assert threading.active_count() == 1
    """)
    assert done.returncode == 0, done.stderr


@without_gil
def test_a_deadlock_is_told():
    done = run_script("""
        import ecru
        chan = ecru.Chan()
        for _ in range(4):
            ecru.go(chan.recv)
        try:
            chan.recv()
        except ecru.DeadlockError as error:
            print(str(error).count("task-"))
    """)
    assert done.stdout == "4\n", done.stderr


@without_gil
def test_one_may_fork():
    done = run_script("""
        import ecru, os
        def child():
            pid = os.fork()
            if pid == 0:
                with ecru.TaskGroup() as group:
                    tasks = [group.go(pow, 2, n) for n in range(20)]
                os._exit(sum(task.result() for task in tasks) % 251)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ecru.go(ecru.sleep, None)
        print(ecru.spawn(child).result(), (2**20 - 1) % 251)
    """)
    assert len(set(done.stdout.split())) == 1, (done.stdout, done.stderr)


@without_gil
def test_the_number_may_change_while_they_run(workers):
    def churn():
        for _ in range(50):
            ecru.spawn(ecru.yield_).join()

    with ecru.TaskGroup() as group:
        for _ in range(6):
            group.go(churn)
        for count in 1, 2, 5, 1, 4, 3:
            ecru.set_workers(count)
            ecru.spawn(ecru.yield_).join()
            assert ecru.workers() == count


@without_gil
def test_libraries_that_patch_knows_run_on_them():
    done = run_script("""
        import ecru
        ecru.patch()
        import queue, socket, threading
        from concurrent.futures import ThreadPoolExecutor

        server = socket.create_server(("127.0.0.1", 0))
        def serve():
            while True:
                connection, _ = server.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()
        def answer(connection):
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data.upper())
        threading.Thread(target=serve, daemon=True).start()
        def ask(i):
            with socket.create_connection(server.getsockname()) as connection:
                for j in range(10):
                    connection.sendall(b"a%d.%d" % (i, j))
                    assert connection.recv(100) == b"A%d.%d" % (i, j)
            return i
        with ThreadPoolExecutor(20) as pool:
            print(sum(pool.map(ask, range(100))))
    """)
    assert done.stdout == "4950\n", done.stderr


def spin(count):
    value = 0
    for i in range(count):
        value += i * i
    return value


@pytest.mark.skipif(not IN_PARALLEL or len(os.sched_getaffinity(0)) < 2, reason="a GIL, or one processor")
@pytest.mark.timeout(300)
def test_pure_python_uses_several_processors(workers):
    """Wall time that CPU time fits in more than once: whatever else the machine does, one thread cannot do that.

    If it does so much that plain threads cannot either, this tells nothing.
    """

    def in_goroutines():
        with ecru.TaskGroup() as group:
            for _ in range(workers):
                group.go(spin, 200_000)

    def in_threads():
        threads = [threading.Thread(target=spin, args=(200_000,)) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def is_parallel(run):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        return (time.process_time() - cpu) / (time.perf_counter() - wall) >= 1.2

    end = time.monotonic() + 40
    could = 0
    while could < 5 and time.monotonic() < end:
        if is_parallel(in_goroutines):
            return
        could += is_parallel(in_threads)
    if could < 5:
        pytest.skip("the machine had no two processors to give")
    pytest.fail("threads ran in parallel five times, goroutines never")
