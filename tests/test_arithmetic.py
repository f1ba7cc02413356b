"""Exact arithmetic from text, and the sums that sentences ask for."""

from __future__ import annotations

import contextlib
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashnb.errors import DashnbError
from dashnb.local.arithmetic import (
    DEEPEST,
    CalculationError,
    Sum,
    evaluate,
    find_sum,
    format_number,
    is_exact,
)

# An expression as text, beside the same one over fractions, for Python to compute.
_LEAF = st.integers(0, 999).map(lambda n: (str(n), f"Fraction({n})"))
_DECIMAL = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(
    lambda pair: (f"{pair[0]}.{pair[1]:02}", f"Fraction('{pair[0]}.{pair[1]:02}')")
)


def _joined(inner: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[tuple[str, str]]:
    binary = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%"]), inner).map(
        lambda parts: (f"{parts[0][0]} {parts[1]} {parts[2][0]}", f"{parts[0][1]} {parts[1]} {parts[2][1]}")
    )
    power = st.tuples(inner, st.integers(-3, 3)).map(lambda p: (f"({p[0][0]})**{p[1]}", f"({p[0][1]})**{p[1]}"))
    wrapped = inner.map(lambda pair: (f"({pair[0]})", f"({pair[1]})"))
    negative = inner.map(lambda pair: (f"-{pair[0]}", f"-{pair[1]}"))
    return binary | power | wrapped | negative


@given(st.recursive(_LEAF | _DECIMAL, _joined, max_leaves=8))
def test_any_expression_has_the_value_that_python_gives_it(pair: tuple[str, str]) -> None:
    text, program = pair
    try:
        # A program of this test's own making: numbers, signs and parentheses.
        expected = Fraction(eval(program, {"Fraction": Fraction}))
    except ZeroDivisionError:
        with pytest.raises(CalculationError, match="zero"):
            evaluate(text)
    else:
        assert evaluate(text) == expected


@given(st.text(alphabet="0123456789.,+-*/%^()×÷ x９＋（）ab", max_size=40))
def test_any_text_has_a_value_or_a_reason(text: str) -> None:
    with contextlib.suppress(CalculationError):
        assert isinstance(evaluate(text), Fraction)


@given(st.fractions())
def test_an_exact_number_reads_back_as_itself(value: Fraction) -> None:
    if is_exact(value):
        assert Fraction(format_number(value)) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("999 × 998", 997002),
        ("９９９×９９８", 997002),
        ("（１＋２）＊３", 9),
        ("6 ÷ 4", Fraction(3, 2)),
        ("3·4", 12),
        ("1,000,000 + 1", 1000001),
        ("0.1 + 0.2", Fraction(3, 10)),
        (".5 * 4", 2),
        ("-2 ** 2", -4),
        ("2 ** 3 ** 2", 512),
        ("2^-1", Fraction(1, 2)),
        ("7 % 3", 1),
        ("--3", 3),
        ("2 − 5", -3),
    ],
)
def test_signs_are_understood_as_people_and_python_write_them(expression: str, value: Fraction) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1 / 0", "zero"),
        ("1 % 0", "zero"),
        ("0 ** -1", "zero"),
        ("9 ** 9 ** 9", "too large"),
        ("9" * 990 + "**9", "too large"),
        ("(1/3) ** 99999", "too large"),
        ("2 ** 0.5", "whole"),
        ("", "nothing"),
        ("1 +", "ends"),
        ("(1 + 2", "parenthesis"),
        ("1 2", "before '2'"),
        ("* 3", "before '\\*'"),
        ("1 + import os", "'i'"),
        ("1,5 + 1", "','"),
        ("1" * 1001, "longer"),
        ("(" * (DEEPEST + 1) + "1" + ")" * (DEEPEST + 1), "nested"),
        ("-" * (DEEPEST + 1) + "1", "nested"),
        ("2**" * (DEEPEST + 1) + "1", "nested"),
    ],
)
def test_what_has_no_value_is_refused_with_the_reason_and_at_once(expression: str, reason: str) -> None:
    start = time.perf_counter()
    with pytest.raises(CalculationError, match=reason) as caught:
        evaluate(expression)
    assert isinstance(caught.value, DashnbError)
    assert time.perf_counter() - start < 0.5


def test_one_to_a_huge_power_is_one() -> None:
    assert evaluate("1 ** 999999999") == 1
    assert evaluate("(-1) ** 999999999") == -1


@pytest.mark.parametrize(
    ("value", "text", "exact"),
    [
        (Fraction(997002), "997002", True),
        (Fraction(0), "0", True),
        (Fraction(-1, 8), "-0.125", True),
        (Fraction(1, 100), "0.01", True),
        (Fraction(2, 3), "0.666666666667", False),
        (Fraction(10**20, 3), "3.33333333333 × 10^19", False),
        (Fraction(1, 2**200), "6.22301527786 × 10^-61", False),
        (Fraction(2) ** 100, "1267650600228229401496703205376", True),
    ],
)
def test_numbers_are_written_exactly_where_they_end_and_rounded_where_not(
    value: Fraction, text: str, exact: bool
) -> None:
    assert (format_number(value), is_exact(value)) == (text, exact)


@pytest.mark.parametrize(
    ("text", "operation", "value"),
    [
        ("What is 999 × 998?", "multiply", 997002),
        ("999 x 998", "multiply", 997002),
        ("what's 12.5 / 5 + 3", "", Fraction(11, 2)),
        ("add 87787 to 788988737", "add", 789076524),
        ("Please add 87787 to 788988737, thank you.", "add", 789076524),
        ("87787 plus 788988737", "add", 789076524),
        ("subtract 3 from 10", "subtract", 7),
        ("multiply 4 by 5", "multiply", 20),
        ("divide 10 by 4", "divide", Fraction(5, 2)),
        ("What is the product of 4 and 5?", "multiply", 20),
        ("What is 15% of 80?", "", 12),
        ("2 to the power of 10", "power", 1024),
        ("Calculate (3+4)*5 for me please", "", 35),
        ("what is 10 - -3", "subtract", 13),
        ("1+1=?", "add", 2),
        ("999乘以998等于多少", "multiply", 997002),
        ("87787加788988737", "add", 789076524),
        ("请问10除以4是多少？", "divide", Fraction(5, 2)),
        ("2的10次方", "power", 1024),
        ("3和4的和", "add", 7),
        ("999 に 998 を掛けると?", "multiply", 997002),
        ("87787と788988737を足すと", "add", 789076524),
        ("10から3を引くといくつですか", "subtract", 7),
        ("10 を 4 で割ると", "divide", Fraction(5, 2)),
        ("９９９×９９８は？", "multiply", 997002),
    ],
)
def test_a_sum_is_found_in_a_sentence(text: str, operation: str, value: Fraction) -> None:
    found = find_sum(text)
    assert found is not None
    assert (found.operation, evaluate(found.expression)) == (operation, value)


def test_the_numbers_of_a_sum_keep_the_sides_they_belong_to() -> None:
    assert find_sum("add 87787 to 788988737") == Sum("87787 + 788988737", "add", "87787", "788988737")
    assert find_sum("subtract 3 from 10") == Sum("10 - 3", "subtract", "10", "3")


@pytest.mark.parametrize(
    "text",
    [
        "What happened in 1999-2001?",
        "What is 2024-05-01?",
        "Call 555-1234 please",
        "What is the weather in Xi'an?",
        "what is 3?",
        "write 200 words",
        "999 and 998",
        "add 1, 2 and 3",
        "1848年发生了什么",
        "",
    ],
)
def test_dates_ranges_and_plain_numbers_are_no_sums(text: str) -> None:
    assert find_sum(text) is None


def test_a_sum_without_a_result_is_still_a_sum() -> None:
    found = find_sum("What is 1/0?")
    assert found is not None
    with pytest.raises(CalculationError, match="zero"):
        evaluate(found.expression)
