"""A pipeline of three stages, generate -> square -> sink, that ends from either side and leaks nothing.

When the generator has no more it closes its channel, and that runs down the pipeline. When the sink has enough it
cancels, and every stage that waits, wherever it waits, stops. No stage is passed a token: cancellation is ambient.
"""

import itertools
from collections.abc import Iterable

import ecru


def generate(numbers: Iterable[int], out: ecru.Chan[int]) -> None:
    with out:  # closed at the end
        for number in numbers:
            out.send(number)


def square(numbers: ecru.Chan[int], out: ecru.Chan[int]) -> None:
    with out:
        for number in numbers:  # until it is closed and empty
            out.send(number * number)


def add_up(numbers: Iterable[int], enough: int) -> int:
    plain, squares = ecru.Chan[int](), ecru.Chan[int](8)
    total = 0
    with ecru.TaskGroup() as stages:
        stages.go(generate, numbers, plain)
        stages.go(square, plain, squares)
        for number in squares:
            total += number
            if total > enough:
                stages.cancel()
                break
    return total  # here all stages have ended


print("to the end: 1 + 4 + ... + 100 =", add_up(range(1, 11), 1_000_000))
print("cancelled:  1 + 4 + ... > 1000 at", add_up(itertools.count(1), 1000))
