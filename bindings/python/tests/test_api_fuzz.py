"""The whole interface is called with arguments at random: it raises, it never crashes and never hangs.

ECRU_FUZZ_SECONDS: how long (default 2); ECRU_FUZZ_SEED: where from. Each round says its seed when it fails.
"""

import gc
import inspect
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import ecru
from ecru import operators

SECONDS = float(os.environ.get("ECRU_FUZZ_SECONDS", "2"))
SEED = int(os.environ.get("ECRU_FUZZ_SEED", "1"))
# run: ends with the process's goroutines; net and others are tested on their own; excepthook prints what it is given
# shield and Condition: what waits in a shield, or to have its lock again, cannot be ended
LEFT_OUT = {"run", "excepthook", "Local", "operators", "shield", "Condition"}
NAMES = [name for name in ecru.__all__ if name not in LEFT_OUT and not name.startswith("_")]


# what ends or changes the type for all, or makes recursion without end
LEFT_ALONE = {"__class__", "__delattr__", "__setattr__", "__init_subclass__", "__subclasshook__", "__del__"}
LEFT_ALONE |= {"__dict__", "__init__"}
KEYWORDS = ["timeout", "limit", "priority", "default", "seconds", "cap", "full", "maxsize", "block", "parent"]


def print_nothing(*_: object) -> None:
    """A callable that takes anything."""


class Odd:
    """Answers to much, and with nonsense."""

    def __float__(self) -> float:
        """Not a number."""
        return math.nan

    def __index__(self) -> int:
        """Far too many."""
        return 2**70

    def __iter__(self) -> Any:
        """Fails in the middle."""
        yield 1
        raise OSError("odd")

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Fails at random."""
        if random.random() < 0.3:
            raise LookupError("odd")
        return args


PLAIN: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    3,
    2**40,
    10**30,
    0.0,
    0.0005,
    -1.5,
    math.nan,
    math.inf,
    range(3),
    int,
    len,
    Odd,
]
PLAIN += ["x", "wait", "fail", "", b"x", (), (1, 2), {"a": 1}, print_nothing, ecru.yield_, ValueError]


class Fuzzer:
    """Calls at random; what comes out is thrown in again."""

    def __init__(self, seed: int) -> None:
        """seed: the same one does the same."""
        self.random = random.Random(seed)
        self.things: list[Any] = []

    def value(self) -> Any:
        """Something plain, odd, or made by an earlier call."""
        if self.things and self.random.random() < 0.6:
            return self.random.choice(self.things)
        plain = [*PLAIN, object(), Odd(), ValueError(), iter("ab"), [1], {}]
        return self.random.choice(plain)

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Few, and seldom by name."""
        some = [self.value() for _ in range(self.random.choice([0, 1, 1, 1, 2, 2, 3]))]
        named = {self.random.choice(KEYWORDS): self.value()} if self.random.random() < 0.2 else {}
        return some, named

    def callee(self) -> Callable[..., Any]:
        """A name of the package, or a method of a thing."""
        if self.things and self.random.random() < 0.6:
            thing = self.random.choice(self.things)
            methods = [name for name in dir(thing) if may_be_called(thing, name)]
            return getattr(thing, self.random.choice(methods), int)  # type: ignore[no-any-return]
        if self.random.random() < 0.15:
            public = [name for name, _ in inspect.getmembers(operators, own_function)]
            return getattr(operators, self.random.choice(public))  # type: ignore[no-any-return]
        return getattr(ecru, self.random.choice(NAMES))  # type: ignore[no-any-return]

    def step(self) -> None:
        """One call; an exception is what we expect."""
        some, named = self.arguments()
        try:
            callee = self.callee()
            if getattr(callee, "__name__", "") == "release":
                some = [2 for _ in some]  # as many turns as it says
            made = callee(*some, **named)
            if inspect.isgenerator(made):
                made = next(made, None)
        except (Exception, ecru.Cancelled):
            return
        if type(made).__module__.startswith("ecru"):
            self.things = [*self.things[-60:], made]

    def round(self) -> None:
        """Some steps, in a goroutine that is given little time."""
        scope = ecru.move_on_after(0.05)
        with scope:
            for _ in range(20):
                self.step()


def may_be_called(thing: object, name: str) -> bool:
    """Not private, and no Token's enter: it may be a shield."""
    if name in LEFT_ALONE or (isinstance(thing, ecru.Token) and "enter" in name):
        return False
    return name[0] != "_" or name[:2] == "__"


def own_function(thing: object) -> bool:
    """A public operator."""
    return inspect.isfunction(thing) and thing.__module__ == operators.__name__ and not thing.__name__.startswith("_")


@pytest.mark.timeout(SECONDS + 90)
def test_random_calls_raise_and_never_crash() -> None:
    """In a process of its own: a crash is then a failure, and what it leaves behind disturbs nobody."""
    environment = os.environ | {"PYTHONFAULTHANDLER": "1", "ECRU_FUZZ_SEED": str(SEED)}
    command = [sys.executable, __file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 70, env=environment)
    assert done.returncode == 0, done.stderr[-6000:]
    assert "rounds" in done.stdout


def main() -> None:
    """Rounds for so long."""
    ecru.excepthook = print_nothing
    end, seed = ecru.now() + SECONDS, SEED
    while ecru.now() < end:
        print("seed", seed, file=sys.stderr)
        fuzzer = Fuzzer(seed)
        task = ecru.spawn(fuzzer.round)
        with ecru.move_on_after(30) as scope:  # patch() imports much: on a busy machine for ten seconds and more
            task.join()
        if scope.caught:
            raise SystemExit(f"seed {seed} hangs")
        fuzzer.things.clear()
        seed += 1
        if seed % 50 == 0:
            gc.collect()
    print(seed - SEED, "rounds")


if __name__ == "__main__":
    main()
