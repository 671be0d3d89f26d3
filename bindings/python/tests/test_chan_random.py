"""Random programs of channels against a model: rules C1 to C7, and S1 to S5 for selects that prefer the first case."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import ecru

Case = tuple[int, str, int]  # a channel's number, "send" or "recv", and what is sent
CLOSED, CANCELLED = "closed", "cancelled"


class Operation:
    """One, which waits until it has an outcome. cases: of a select; without one a send or recv is its only case."""

    def __init__(self, cases: list[Case], selects: bool) -> None:
        """It has just begun."""
        self.cases, self.selects = cases, selects
        self.outcome: Any = None
        self.task: ecru.Task[Any]

    def end(self, index: int, value: Any = None, *, closed: bool = False) -> None:
        """One of the cases was done."""
        if self.selects:
            self.outcome = (index, None if closed else value, not closed)
        else:
            self.outcome = CLOSED if closed else ("done", value)


class Model:
    """What a channel is: who waits stands in `queue`, receivers and senders never both."""

    def __init__(self, cap: int) -> None:
        """cap: how many it buffers."""
        self.cap, self.closed = cap, False
        self.buffer: deque[int] = deque()
        self.queue: list[tuple[Operation, int]] = []  # with the number of the case

    def waiting(self, kind: str) -> tuple[Operation, int] | None:
        """The first that waits to do such a thing, and waits no more."""
        for operation, index in self.queue:
            if operation.cases[index][1] == kind and operation.outcome is None:
                return operation, index
        return None

    def send(self, operation: Operation, index: int) -> bool:
        """Whether it could be done at once."""
        value = operation.cases[index][2]
        if self.closed:
            operation.end(index, closed=True)
        elif receiver := self.waiting("recv"):
            receiver[0].end(receiver[1], value)
            operation.end(index)
        elif len(self.buffer) < self.cap:
            self.buffer.append(value)
            operation.end(index)
        return operation.outcome is not None

    def recv(self, operation: Operation, index: int) -> bool:
        """Whether it could be done at once."""
        sender = self.waiting("send")
        if self.buffer:
            operation.end(index, self.buffer.popleft())
            if sender:
                self.buffer.append(sender[0].cases[sender[1]][2])
        elif sender:
            operation.end(index, sender[0].cases[sender[1]][2])
        elif self.closed:
            operation.end(index, closed=True)
        if sender:
            sender[0].end(sender[1])
        return operation.outcome is not None

    def close(self) -> str | None:
        """CLOSED: it was."""
        if self.closed:
            return CLOSED
        self.closed = True
        for operation, index in self.queue:
            if operation.outcome is None:
                operation.end(index, closed=True)
        return None


def begin(models: list[Model], operation: Operation) -> None:
    """In the model."""
    for index, (number, kind, _) in enumerate(operation.cases):
        if getattr(models[number], kind)(operation, index):
            return
    for index, (number, _, _) in enumerate(operation.cases):
        models[number].queue.append((operation, index))


def run(chans: list[ecru.Chan[int]], operation: Operation) -> Any:
    """In a goroutine: its outcome."""
    try:
        if operation.selects:
            cases = [
                ecru.send(chans[number], value) if kind == "send" else ecru.recv(chans[number])
                for number, kind, value in operation.cases
            ]
            return tuple(ecru.select(*cases, priority=True))
        number, kind, value = operation.cases[0]
        return "done", chans[number].send(value) if kind == "send" else chans[number].recv()
    except ecru.ChanClosed:
        return CLOSED
    except ecru.Cancelled:
        return CANCELLED


def closed(chan: ecru.Chan[int]) -> str | None:
    """What close says."""
    try:
        chan.close()
    except ecru.ChanClosed:
        return CLOSED
    return None


CASES = st.tuples(st.integers(0, 2), st.sampled_from(["send", "recv"]), st.integers(0, 1000))
# Of two cases that wait at one channel either may be the one that tells that it was closed.
SELECTS = st.lists(CASES, min_size=1, max_size=3, unique_by=lambda case: case[0])
STEPS = st.one_of(
    st.tuples(st.just("one"), CASES),
    st.tuples(st.just("select"), SELECTS),
    st.tuples(st.just("cancel"), st.integers(0, 100)),
    st.tuples(st.just("close"), st.integers(0, 2)),
)
OPENING = st.tuples(st.just("one"), CASES)


@settings(max_examples=200 if ecru.implementation == "stacks" else 20)
@given(
    st.tuples(*(st.integers(0, 2) for _ in range(3))),
    st.lists(OPENING, max_size=6),
    st.lists(STEPS, min_size=5, max_size=25),
)
def test_channels_do_what_the_model_does(
    caps: tuple[int, ...], opening: list[tuple[str, Any]], steps: list[tuple[str, Any]]
) -> None:
    chans, models = [ecru.Chan[int](cap) for cap in caps], [Model(cap) for cap in caps]
    operations: list[Operation] = []
    for kind, argument in [*opening, *steps, *(("cancel", 0) for _ in range(len(opening) + len(steps)))]:
        waiting = [operation for operation in operations if operation.outcome is None]
        if kind == "close":
            assert closed(chans[argument]) == models[argument].close()
        elif kind != "cancel":
            operation = Operation(argument if kind == "select" else [argument], kind == "select")
            operation.task = ecru.spawn(run, chans, operation)
            operations.append(operation)
            begin(models, operation)
        elif waiting:
            waiting[argument % len(waiting)].task.cancel()
            waiting[argument % len(waiting)].outcome = CANCELLED
        ecru.yield_()
        for operation in operations:
            if operation.outcome is None:
                assert not operation.task.done, operation.cases
            else:
                assert operation.task.result() == operation.outcome, operation.cases
        for chan, model in zip(chans, models, strict=True):
            assert len(chan) == len(model.buffer)
