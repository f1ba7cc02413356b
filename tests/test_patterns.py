"""No regular expression of the package backtracks without bound, on the lines that are hardest for it."""

from __future__ import annotations

import re

import pytest

import patterns
from patterns import Found, worst

FOUND, UNKNOWN = patterns.everything()
# Seconds of the processor; what is linear takes some milliseconds, and the square of these sizes many seconds.
FEW, FEW_SECONDS = 10_000, 0.15
MANY, MANY_SECONDS = 100_000, 1.0
TRIES = 3


def check(found: Found, size: int, at_most: float) -> None:
    for _ in range(TRIES):  # a busy machine may take its share once
        result = worst(found, size, at_most)
        if not result.is_over:
            return
    raise AssertionError(f"{found}: {found.pattern.pattern!r} has too much to do on {result}")


def test_every_expression_of_the_source_is_known() -> None:
    assert UNKNOWN == [], "Say in BUILT of tests/patterns.py what these may look like."
    assert len(FOUND) > 200
    names = {str(found) for found in FOUND}
    assert {"view.blocks:_FENCE", "protocol.sse:_LINE_END", "local.models.guide.purposes:_PURPOSES[rag]"} <= names


@pytest.mark.parametrize("found", FOUND, ids=str)
def test_no_line_keeps_an_expression_busy(found: Found) -> None:
    check(found, FEW, FEW_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("found", FOUND, ids=str)
def test_no_long_line_keeps_an_expression_busy(found: Found) -> None:
    check(found, MANY, MANY_SECONDS)


BACKTRACKING = (
    r"(?:[ \t]|[-*+>][ \t]|>|\d{1,9}[.)][ \t])*(`{3,}(?=[^`\n]*$)|~{3,})",
    *(r"(a|a)*b", r"(?:a+)+$", r"x*x*y", r"\s+$", r"(?:.*a){12}b", r"(\w+\s?)*!", r"(.+):(.+)="),
)
LINEAR = (r"a+b", r"(?<!\s)\s++$", r"\[[^\[\]]*\]", r"[^\n]{501}|\s{101}", r"<!--|-->")


def searched(source: str) -> Found:
    return Found("here", source, re.compile(source), frozenset({"search"}))


@pytest.mark.parametrize("source", BACKTRACKING)
def test_what_backtracks_is_found(source: str) -> None:
    assert worst(searched(source), FEW, FEW_SECONDS).is_over


@pytest.mark.slow
@pytest.mark.parametrize("source", [r"\[[^\]\n]*\]", r"<!--[^>\s]*>"])
def test_what_looks_for_an_end_that_never_comes_is_found(source: str) -> None:
    assert worst(searched(source), MANY, MANY_SECONDS).is_over


@pytest.mark.parametrize("source", LINEAR)
def test_what_is_linear_is_not(source: str) -> None:
    assert not worst(searched(source), FEW, FEW_SECONDS).is_over
