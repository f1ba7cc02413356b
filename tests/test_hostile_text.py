"""What a model, a tool or a person may write to keep a program busy: the work grows with the text, whatever it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dashnb.view.blocks import cut, open_fence
from work import assert_linear

MARKS = ("> ", ">", "- ", "* ", "1. ", "> - 1. ", " ", "\t", "`", "~", "``` ", "> ```x` ")


@pytest.mark.parametrize("read", [open_fence, cut])
@pytest.mark.parametrize("mark", MARKS)
def test_the_work_of_cutting_an_answer_grows_with_it(mark: str, read: Callable[[str], object]) -> None:
    for n in (10, 20, 40, 80):  # what doubles with every mark ends here, not in a week
        read(mark * n + "hello")
    assert_linear(lambda text: read(text), lambda n: mark * (n // len(mark)) + "hello", 50_000)


@pytest.mark.parametrize("before", ["", "> ", "> > ", "- ", "1. ", "12) ", "- > 1. ", ">>", "  ", ">\t- "])
def test_a_fence_is_seen_behind_every_mark(before: str) -> None:
    assert open_fence(f"{before}```py\nx") == "```"
    assert open_fence(f"{before}~~~~\nx") == "~~~~"
    assert open_fence(f"{before}x ```py\nx") == ""
    assert open_fence(f"{before}```a`b") == ""
