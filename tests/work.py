"""How much work something is: whether it grows with what it is given, or faster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Given = TypeVar("Given")

# Of an input four times as large, linear work takes four times as long, the square sixteen times.
TIMES_AS_LARGE, TIMES_AS_LONG = 4, 9
# Seconds of the processor that are too few to compare: noise, and what begins only once.
NOISE = 0.15
TRIES = 3


def seconds(action: Callable[[Given], object], given: Given) -> float:
    """The processor's time of this thread: what else the machine does does not count."""
    began = time.thread_time()
    action(given)
    return time.thread_time() - began


def assert_linear(action: Callable[[Given], object], make: Callable[[int], Given], size: int) -> None:
    """Fail if the work grows much faster than its input.

    Args:
        action: The work.
        make: An input of that size; making it does not count.
        size: Of the small input; the large one has four times as much.
    """
    told = []
    for _ in range(TRIES):
        few, many = (seconds(action, make(n)) for n in (size, TIMES_AS_LARGE * size))
        if many <= max(NOISE, TIMES_AS_LONG * few):
            return
        told.append(f"{few:.3f} s for {size:,}, {many:.3f} s for {TIMES_AS_LARGE * size:,}")
    raise AssertionError("the work grows faster than its input: " + "; ".join(told))
