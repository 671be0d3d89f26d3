"""Random groups against what they must do, rule T4."""

import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import ecru

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

Node = tuple[str, tuple[Any, ...]]
LEAVES = ["return", "yield", "sleep", "wait"]


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> Node:
    """A goroutine of a group: what it does, and the groups' goroutines in it."""
    kind = draw(st.sampled_from([*LEAVES, "fail", "group", "supervisor", "limited"] if depth else [*LEAVES, "fail"]))
    if kind in ("group", "supervisor", "limited"):
        return kind, tuple(draw(st.lists(trees(depth=depth - 1), max_size=4)))
    return kind, ()


class Planned(Exception):
    """An error a tree asks for."""


def flat(error: BaseException) -> list[BaseException]:
    """The errors in groups in groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in flat(one)]
    return [error]


class Forest:
    """Runs trees, and keeps account."""

    def __init__(self) -> None:
        """Nothing has run."""
        self.alive: set[object] = set()  # changed in one step, also where goroutines are threads
        self.raised: list[Planned] = []
        self.never = ecru.Event()

    def run(self, node: Node) -> None:
        """What a goroutine does."""
        me = object()
        self.alive.add(me)
        try:
            self._run(*node)
        finally:
            self.alive.remove(me)

    def _run(self, kind: str, children: tuple[Node, ...]) -> None:
        if kind == "yield":
            ecru.yield_()
        elif kind == "sleep":
            ecru.sleep(0.0005)
        elif kind == "wait":
            self.never.wait()
        elif kind == "fail":
            error = Planned()
            self.raised.append(error)
            raise error
        elif kind != "return":
            self._group(kind, children)

    def _group(self, kind: str, children: tuple[Node, ...]) -> None:
        tasks: list[ecru.Task[None]] = []
        try:
            with ecru.TaskGroup(1 if kind == "limited" else None, supervisor=kind == "supervisor") as group:
                for child in children:
                    tasks.append(group.go(self.run, child))
        finally:
            assert all(task.done for task in tasks)


@settings(max_examples=200)
@given(trees(), st.sampled_from([None, 0.0, 0.001]))
def test_t4_random_groups_end_and_lose_no_error(tree: Node, seconds: float | None) -> None:
    forest = Forest()
    found: list[BaseException] = []
    with ecru.move_on_after(0.01 if seconds is None else seconds):
        try:
            with ecru.TaskGroup() as group:
                group.go(forest.run, tree)
        except ExceptionGroup as error:
            found = flat(error)
    assert forest.alive == set()
    assert sorted(map(id, found)) == sorted(map(id, forest.raised))
