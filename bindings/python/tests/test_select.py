"""select, rules S1-S4, and its cases."""

import math
import socket
import threading
from collections import Counter
from typing import Any

import pytest

import ecru

LONG = 30.0  # never reached


def full(*values: Any) -> ecru.Chan[Any]:
    chan: ecru.Chan[Any] = ecru.Chan(None)
    for value in values:
        chan.send(value)
    return chan


def test_s1_receive() -> None:
    assert ecru.select(ecru.Chan(), full("x")) == (1, "x", True)
    assert ecru.select(ecru.recv(full("x"))) == ecru.Selected(0, "x", True)


def test_s1_send() -> None:
    chan: ecru.Chan[int] = ecru.Chan(1)
    assert ecru.select(ecru.send(chan, 5)) == (0, None, True)
    assert chan.recv() == 5


def test_s1_a_send_that_is_not_picked_sends_nothing() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    assert ecru.select(ecru.send(chan, 5), full(1)).index == 1
    assert chan.try_recv() == (None, False)


def test_s1_tasks_and_tokens() -> None:
    task, token = ecru.spawn(int), ecru.Token()
    assert ecru.select(ecru.done(token), ecru.done(task)) == (1, None, True)
    token.cancel()
    assert ecru.select(token, ecru.Chan()).index == 0
    assert ecru.select(ecru.done(None), task).index == 1


def test_s1_events_and_wait_groups() -> None:
    event, group = ecru.Event(), ecru.WaitGroup()
    group.add()
    assert ecru.select(event, group, default=None).index == -1
    event.set()
    assert ecru.select(event, ecru.Chan()).index == 0
    group.done()
    assert ecru.select(ecru.Event(), ecru.done(group)).index == 1


def test_s1_after() -> None:
    begin = ecru.now()
    assert ecru.select(ecru.Chan(), ecru.after(0.01)).index == 1
    assert ecru.now() - begin >= 0.01
    assert ecru.select(ecru.after(0), ecru.after(LONG)).index == 0
    assert ecru.select(ecru.after(None), default="none").value == "none"


def test_s1_after_fires_whatever_is_cancelled() -> None:
    with ecru.timeout(LONG) as scope:
        timer = ecru.after(0.001)
        scope.cancel()
    assert not timer.done or timer.remaining is not None
    timer.wait()


def test_s1_tickers() -> None:
    ticker = ecru.Ticker(0.002)
    index, instant, ok = ecru.select(ecru.Chan(), ticker)
    assert index == 1
    assert ok
    assert instant <= ecru.now()
    ticker.stop()
    assert ecru.select(ticker) == (0, None, False)


def test_s1_many_cases() -> None:
    cases: list[Any] = [ecru.Chan() for _ in range(1000)]
    cases[777] = full("x")
    assert ecru.select(*cases) == (777, "x", True)


def test_s2_one_of_the_ready_is_picked_at_random() -> None:
    count = Counter(ecru.select(full(0), full(1), full(2)).index for _ in range(3000))
    assert set(count) == {0, 1, 2}
    assert min(count.values()) > 800


def test_s2_priority_is_the_order() -> None:
    for _ in range(50):
        assert ecru.select(ecru.Chan(), full(1), full(2), priority=True).index == 1


def test_s3_default() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    assert ecru.select(chan, default=7) == (-1, 7, False)
    assert ecru.select(chan, default=None) == (-1, None, False)
    assert ecru.select(default=0) == (-1, 0, False)


def test_s3_timeout() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    with pytest.raises(ecru.DeadlineExceeded, match=r"0\.001 s"):
        ecru.select(chan, timeout=0.001)
    assert ecru.select(chan, timeout=0.001, default="late") == (-1, "late", False)
    assert ecru.select(full(1), timeout=0) == (0, 1, True)
    assert ecru.select(full(1), timeout=LONG) == (0, 1, True)


def test_s3_none_is_never_ready() -> None:
    assert ecru.select(None, ecru.recv(None), ecru.send(None, 1), full(1)).index == 3


def test_s3_no_case_parks_until_cancelled() -> None:
    with ecru.move_on_after(0.001) as scope:
        ecru.select()
    assert scope.caught


def test_s3_an_outer_time_limit_is_not_its_timeout() -> None:
    with pytest.raises(ecru.DeadlineExceeded, match="time is up"), ecru.timeout(0.001):
        ecru.select(ecru.Chan(), timeout=LONG, default=None)


def test_s4_a_closed_channel_is_ready_and_not_ok() -> None:
    chan = full(1)
    chan.close()
    assert ecru.select(chan) == (0, 1, True)
    assert ecru.select(chan) == (0, None, False)
    assert ecru.select(ecru.send(chan, 1)) == (0, None, False)


def test_s4_a_select_never_pairs_with_itself() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    assert ecru.select(chan, ecru.send(chan, 1), default=0).index == -1


def test_s4_a_waiting_select_takes_exactly_one() -> None:
    first, second = ecru.Chan[int](), ecru.Chan[int]()
    task = ecru.spawn(ecru.select, first, second)
    ecru.yield_()
    sent = [chan.try_send(1) for chan in (first, second)]
    assert sent == [True, False]
    assert task.result().index == 0


def test_ends_of_channels_are_cases() -> None:
    chan: ecru.Chan[int] = ecru.Chan(1)
    sender, receiver = chan.tx(), chan.rx()
    assert ecru.select(ecru.send(sender, 3)).ok
    assert ecru.select(receiver) == (0, 3, True)
    assert ecru.select(ecru.recv(receiver), default=1).index == -1


def test_c8_a_closed_end_is_no_case() -> None:
    chan = full(1)
    receiver, sender, keep = chan.rx(), chan.tx(), (chan.rx(), chan.tx())
    receiver.close()
    sender.close()
    event = ecru.Event()  # as what is no native case itself, it takes the other way through select
    for select in (
        lambda: ecru.select(receiver),
        lambda: ecru.select(event, receiver, default=0),
        lambda: ecru.select(ecru.recv(receiver)),
        lambda: ecru.select(ecru.send(sender, 2)),
    ):
        with pytest.raises(ecru.ChanClosed, match="this end is closed"):
            select()
    assert keep[0].recv() == 1
    assert len(chan) == 0


def test_results_match() -> None:
    match ecru.select(ecru.Chan(), full("x")):
        case 1, value, True:
            assert value == "x"
        case _:
            pytest.fail("sequence pattern")
    match ecru.select(full("x")):
        case ecru.Selected(index=0, value=value, ok=True):
            assert value == "x"
        case _:
            pytest.fail("class pattern")


def test_bad_cases_are_refused_before_anything_is_done() -> None:
    chan: ecru.Chan[Any] = ecru.Chan(1)
    for bad in (5, "x", (chan,), (chan, 1, 2), (5, 1), object()):
        with pytest.raises(TypeError, match="a case is a"):
            ecru.select(ecru.send(chan, 1), bad, priority=True)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a case is a"):
            ecru.select(ecru.send(chan, 1), ecru.Event(), bad)  # type: ignore[arg-type]
    assert len(chan) == 0
    for use in (ecru.recv, lambda what: ecru.send(what, 1)):
        with pytest.raises(TypeError, match="a Chan, or an end"):
            use(5)
    with pytest.raises(TypeError):
        ecru.select(chan, timeout="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not a number"):
        ecru.select(chan, timeout=math.nan)
    with pytest.raises(TypeError):
        ecru.after("1")  # type: ignore[arg-type]


def test_threads_select_too() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(ecru.select(chan, ecru.after(LONG))))
    thread.start()
    chan.send(3)
    thread.join()
    assert got == [(0, 3, True)]


def test_descriptors_can_be_waited_for() -> None:
    a, b = socket.socketpair()
    with a, b:
        assert ecru.wait_fd(a, timeout=0) == ""
        assert ecru.wait_fd(a.fileno(), "rw") == "w"
        ecru.go(b.send, b"x")
        assert ecru.wait_fd(a, timeout=30) == "r"
        with pytest.raises(ValueError, match="directions"):
            ecru.wait_fd(a, "x")
    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.01), socket.socket() as c:
        c.bind(("127.0.0.1", 0))
        c.listen()
        ecru.wait_fd(c)
