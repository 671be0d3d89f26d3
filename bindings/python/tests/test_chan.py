"""Channels and their ends, rules C1-C8, C11."""

import gc
import sys
import threading
import traceback
import weakref
from collections.abc import Iterator
from typing import Any

import processes
import pytest

import ecru


def test_c2_sender_and_receiver_meet() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    task = ecru.spawn(chan.send, 1)
    ecru.yield_()
    assert not task.done
    assert chan.recv() == 1
    task.join()


def test_c3_first_in_first_out() -> None:
    chan: ecru.Chan[int] = ecru.Chan(3)
    ecru.go(lambda: [chan.send(n) for n in range(100)])
    assert [chan.recv() for _ in range(100)] == list(range(100))


def test_c4_close_drains_and_ends_iteration() -> None:
    with ecru.Chan[int](None) as chan:
        for n in range(5):
            chan.send(n)
    assert list(chan) == list(range(5))
    assert chan.recv2() == (None, False)
    for call in (chan.recv, chan.close, lambda: chan.send(1), lambda: chan.try_send(1), chan.try_recv):
        with pytest.raises(ecru.ChanClosed):
            call()


def test_c4_close_wakes_all() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    tasks: list[Any] = [ecru.spawn(chan.recv) for _ in range(3)]
    ecru.yield_()
    chan.close()
    assert [type(task.exception()) for task in tasks] == [ecru.ChanClosed] * 3


def test_c6_full_policies() -> None:
    for policy, left in (("drop_newest", [0, 3]), ("drop_oldest", [2, 3])):
        chan: ecru.Chan[int] = ecru.Chan(2, policy)  # type: ignore[arg-type]
        for n in range(4):
            chan.send(n)
        chan.close()
        assert list(chan) == left
    chan = ecru.Chan(1, full="fail")
    chan.send(1)
    with pytest.raises(BlockingIOError, match="full"):
        chan.send(2)


def test_c6_what_is_dropped_is_released() -> None:
    value = object()
    before = sys.getrefcount(value)
    chan: ecru.Chan[object] = ecru.Chan(1, "drop_oldest")
    for _ in range(10):
        chan.send(value)
    assert sys.getrefcount(value) == before + 1
    del chan
    assert sys.getrefcount(value) == before


def test_c7_len_cap_and_repr() -> None:
    chan: ecru.Chan[int] = ecru.Chan(3)
    chan.send(1)
    assert (len(chan), chan.cap, chan.closed, bool(chan)) == (1, 3, False, True)
    assert repr(chan) == "<ecru.Chan 1 of 3>"
    chan.close()
    assert repr(chan) == "<ecru.Chan 1 of 3, closed>"
    assert repr(ecru.Chan(None)) == "<ecru.Chan 0 of any number>"
    assert not hasattr(chan, "__dict__")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((-1,), ValueError),
        (("x",), TypeError),
        ((1, "wait long"), ValueError),
        ((1.5,), TypeError),
        ((10**30,), OverflowError),
    ],
)
def test_c1_bad_capacities(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        ecru.Chan(*arguments)


def test_c4_a_closed_channel_says_so() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    chan.close()
    for call in (chan.recv, chan.try_recv, chan.close, lambda: chan.send(1), lambda: chan.try_send(1)):
        with pytest.raises(ecru.ChanClosed, match=r"^the channel is closed$"):
            call()


def test_c4_what_a_channel_is_closed_with_comes_after_its_values() -> None:
    chan: ecru.Chan[int] = ecru.Chan(3)
    chan.send(1)
    chan.send(2)
    chan.close(KeyError("why"))
    assert chan.recv() == 1
    assert ecru.select(chan).value == 2
    for call in (chan.recv, chan.recv2, chan.try_recv, lambda: list(chan), lambda: ecru.select(chan), chan.rx().recv):
        with pytest.raises(KeyError, match="why"):
            call()
    with pytest.raises(KeyError, match="why"):
        ecru.select(chan, timeout=30)
    for other in (lambda: chan.send(3), lambda: chan.close(), lambda: chan.close(ValueError())):
        with pytest.raises(ecru.ChanClosed):
            other()
    assert ecru.select(ecru.send(chan, 3)) == (0, None, False)


def test_c4_the_error_wakes_who_waits() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    waits: list[Any] = [ecru.spawn(chan.recv), ecru.spawn(list, chan), ecru.spawn(ecru.select, chan)]
    ecru.yield_()
    chan.close(error=KeyError("why"))
    assert [repr(task.exception()) for task in waits] == ["KeyError('why')"] * 3


def test_c4_the_error_keeps_the_traceback_it_was_closed_with() -> None:
    def frames(error: BaseException) -> list[str]:
        return [one.name for one in traceback.extract_tb(error.__traceback__)]

    def fail() -> None:
        raise KeyError("why")

    raised, new = ecru.Chan[int](), ecru.Chan[int]()
    try:
        fail()
    except KeyError as error:
        raised.close(error)
    new.close(KeyError("why"))
    for chan, before in ((raised, ["fail"]), (new, [])):
        lengths = set()
        for call in (chan.recv, chan.recv2, chan.try_recv, lambda c=chan: next(c), lambda c=chan: ecru.select(c)) * 3:
            with pytest.raises(KeyError) as caught:
                call()
            names = frames(caught.value)
            assert [name for name in names if name == "fail"] == before
            lengths.add(len(names))
        assert max(lengths) < 10


def test_c4_the_error_lets_go_of_those_who_were_raised_it() -> None:
    class Mine:
        pass

    gone: list[weakref.ref[Mine]] = []

    def receive() -> None:
        mine = Mine()
        gone.append(weakref.ref(mine))
        chan.recv()

    chan: ecru.Chan[int] = ecru.Chan()
    chan.close(KeyError("why"))
    for _ in range(3):
        with pytest.raises(KeyError):
            receive()
    with pytest.raises(KeyError):
        chan.recv()
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


def test_c4_what_interrupts_a_close_may_close_it_too() -> None:
    ended = processes.run(
        """
import sys
import ecru

def attempt(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return type(error)

def closed_at(event_number):
    chan, inner, left = ecru.Chan(), [], [event_number]
    def trace(frame, event, argument):
        left[0] -= 1
        if left[0] == 0:
            inner.append(attempt(chan.close, KeyError("inner")))
        return trace
    sys.settrace(lambda frame, *about: trace(frame, *about) if frame.f_code.co_name in ("close", "_close") else None)
    outer = attempt(chan.close, ValueError("outer"))
    sys.settrace(None)
    assert [outer, *inner].count(None) == 1, (outer, inner)
    assert attempt(chan.recv) is (KeyError if outer else ValueError)

for event_number in range(30):
    closed_at(event_number)
""",
        timeout=20,
    )
    assert (ended.out, ended.err, ended.code) == ([], "", 0)


@pytest.mark.parametrize("error", ["x", KeyError, KeyboardInterrupt(), 3])
def test_c4_only_an_exception_closes(error: Any) -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    with pytest.raises(TypeError, match="error: an Exception, or None, not"):
        chan.close(error)
    assert not chan.closed


def test_c4_the_error_goes_with_the_channel() -> None:
    class Mine(Exception):
        pass

    error = Mine()
    gone = weakref.ref(error)
    chan: ecru.Chan[int] = ecru.Chan()
    error.chan = chan  # type: ignore[attr-defined]
    chan.close(error)
    del chan, error
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("cap", "full", "words"),
    [
        (0, "drop_oldest", 'full="drop_oldest": cap of 1 or more'),
        (0, "drop_newest", 'full="drop_newest": cap of 1 or more'),
        (None, "fail", "is never full"),
        (None, "drop_oldest", "is never full"),
    ],
)
def test_c6_a_policy_that_cannot_be_is_refused_in_its_words(cap: int | None, full: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ecru.Chan(cap, full)


def test_c8_the_last_sender_closes_the_channel() -> None:
    chan: ecru.Chan[int] = ecru.Chan(None)
    first = chan.tx()
    second = first.dup()
    first.send(1)
    first.close()
    first.close()
    second.send(2)
    assert not chan.closed
    del second
    assert list(chan) == [1, 2]


def test_c8_the_last_receiver_turns_senders_away() -> None:
    chan: ecru.Chan[int] = ecru.Chan(1)
    with chan.rx() as receiver, receiver.dup() as other:
        sender = chan.tx()
        sender.send(1)
        waiting = ecru.spawn(sender.send, 2)
        ecru.yield_()
        assert other.recv() == 1
        waiting.join()
        assert len(receiver) == 1
        waiting = ecru.spawn(sender.send, 3)
        ecru.yield_()
        receiver.close()
        assert not chan.closed
    assert isinstance(waiting.exception(), ecru.ChanClosed)
    assert len(chan) == 0
    with pytest.raises(ecru.ChanClosed):
        sender.send(4)


def test_c8_a_closed_end_is_of_no_use() -> None:
    chan: ecru.Chan[int] = ecru.Chan(1)
    sender, receiver, keep = chan.tx(), chan.rx(), (chan.tx(), chan.rx())
    sender.close()
    receiver.close()
    assert sender.closed
    assert receiver.closed
    assert not keep[0].closed
    for call in (
        lambda: sender.send(1),
        lambda: sender.try_send(1),
        sender.dup,
        receiver.recv,
        receiver.recv2,
        receiver.try_recv,
        receiver.dup,
        lambda: iter(receiver),
    ):
        with pytest.raises(ecru.ChanClosed, match="this end is closed"):
            call()
    assert "closed" in repr(sender)
    assert not hasattr(sender, "recv")
    assert not hasattr(receiver, "send")


def test_c8_ends_iterate_and_know_their_length() -> None:
    chan: ecru.Chan[int] = ecru.Chan(5)
    receiver = chan.rx()
    with chan.tx() as sender:
        for n in range(3):
            assert sender.try_send(n)
        assert len(sender) == 3
        assert bool(receiver)
    assert list(receiver) == [0, 1, 2]


def test_c8_iterating_keeps_the_end() -> None:
    chan: ecru.Chan[int] = ecru.Chan()

    def feed() -> None:
        with chan.tx() as sender:
            for n in range(3):
                sender.send(n)

    ecru.go(feed)
    assert [value for value in chan.rx()] == [0, 1, 2]


def test_c8_leaving_a_loop_closes_nothing() -> None:
    chan: ecru.Chan[int] = ecru.Chan(10)
    receiver, sender = chan.rx(), chan.tx()

    def through() -> Iterator[int]:
        yield from chan

    def through_end() -> Iterator[int]:
        yield from receiver

    for n, values in enumerate((iter(chan), iter(receiver), through(), through_end())):
        sender.send(n)
        for value in values:
            assert value == n
            break
        del values
        assert not chan.closed
        assert not receiver.closed


def test_c8_a_loop_ends_with_its_end() -> None:
    chan: ecru.Chan[int] = ecru.Chan(3)
    receiver, other = chan.rx(), chan.rx()
    for n in range(3):
        chan.send(n)
    seen = []
    for value in receiver:
        seen.append(value)
        receiver.close()
    assert seen == [0]
    assert other.recv() == 1


def test_c8_a_loop_that_waits_takes_one_value_after_its_end_is_closed() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    receiver, other = chan.rx(), chan.rx()
    looping = ecru.spawn(list, receiver)
    ecru.yield_()
    receiver.close()
    chan.send(1)
    assert looping.result() == [1]
    ecru.go(chan.send, 2)
    assert other.recv() == 2


def test_c8_a_loop_that_waits_ends_with_the_channel_after_its_end_is_closed() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    receiver, other = chan.rx(), chan.rx()
    looping = ecru.spawn(list, receiver)
    ecru.yield_()
    receiver.close()
    other.close()
    assert looping.result() == []


@pytest.mark.usefixtures("without_collections")
def test_c8_ends_and_channels_go_without_the_collector() -> None:
    chan: ecru.Chan[object] = ecru.Chan(1)
    sender, receiver = chan.tx(), chan.rx()
    gone = weakref.ref(chan)
    sender.close()
    del chan, sender, receiver
    assert gone() is None


def test_c11_a_cancelled_wait_took_nothing() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    with ecru.move_on_after(0.001):
        chan.recv()
    with ecru.move_on_after(0.001):
        chan.send(1)
    assert not chan.try_send(1)
    assert chan.try_recv() == (None, False)


def test_values_pass_between_threads_and_goroutines() -> None:
    there, back = ecru.Chan[int](), ecru.Chan[int]()

    def echo() -> None:
        for value in there:
            back.send(value)
        back.close()

    thread = threading.Thread(target=echo)
    thread.start()

    def feed() -> None:
        with there:
            for n in range(500):
                there.send(n)

    ecru.go(feed)
    assert list(back) == list(range(500))
    thread.join()
