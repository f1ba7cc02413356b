"""What a docstring says of a function and of its parameters reaches the model, in every usual style."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashnb.session.docstrings import describe

GOOGLE = """Find a train.

    The timetable is the one of today.

    Args:
        start: Where the journey begins.
        end (str): Where it ends,
            as the name of a station.
        seats (int, optional): How many.
        **options: Whatever else: the class, the window.

    Returns:
        The next train.

    Raises:
        LookupError: There is none.
    """

NUMPY = """Find a train.

    The timetable is the one of today.

    Parameters
    ----------
    start : str
        Where the journey begins.
    end
        Where it ends,
        as the name of a station.
    seats : int, optional
        How many.

    Returns
    -------
    str
        The next train.
    """

REST = """Find a train.

    The timetable is the one of today.

    :param start: Where the journey begins.
    :param str end: Where it ends,
        as the name of a station.
    :param seats: How many.
    :type seats: int
    :returns: The next train.
    :raises LookupError: There is none.
    """

PURPOSE = "Find a train.\n\nThe timetable is the one of today."
PARAMETERS = {
    "start": "Where the journey begins.",
    "end": "Where it ends, as the name of a station.",
    "seats": "How many.",
}


@pytest.mark.parametrize(("docstring", "more"), [
    pytest.param(GOOGLE, {"options": "Whatever else: the class, the window."}, id="google"),
    pytest.param(NUMPY, {}, id="numpy"),
    pytest.param(REST, {}, id="rest"),
])  # fmt: skip
def test_the_three_styles_say_the_same(docstring: str, more: dict[str, str]) -> None:
    assert describe(docstring) == (PURPOSE, PARAMETERS | more)


@pytest.mark.parametrize("header", ["Args:", "Arguments:", "Parameters:", "Args:   "])
def test_the_google_section_has_several_names(header: str) -> None:
    assert describe(f"Look.\n\n{header}\n    where: The place.")[1] == {"where": "The place."}


@pytest.mark.parametrize("docstring", [None, "", "   ", "\n\n   \n"])
def test_without_a_docstring_there_is_nothing_to_say(docstring: str | None) -> None:
    assert describe(docstring) == ("", {})


def test_a_docstring_without_sections_is_all_purpose() -> None:
    assert describe("Look.\n\n    Twice, if need be.\n    ") == ("Look.\n\nTwice, if need be.", {})


def test_a_docstring_may_begin_with_its_sections() -> None:
    assert describe("\n    Args:\n        where: The place.\n    ") == ("", {"where": "The place."})


@pytest.mark.parametrize("docstring", [
    pytest.param("Look.\n\n            Args:\n              where: The place.\n", id="deep"),
    pytest.param("\n\n\tLook.\n\n\tArgs:\n\t\twhere: The place.\n\t", id="tabs"),
    pytest.param("Look.\nArgs:\n where: The place.\n", id="flush, one blank"),
    pytest.param("Look.\n\n    Args:\n\n        where: The place.\n\n", id="empty lines"),
    pytest.param("Look.\n\n    Args:\n        where:\n            The place.\n", id="on the next line"),
    pytest.param("Look.\r\n\r\n    Args:\r\n        where: The place.\r\n", id="lines of Windows"),
])  # fmt: skip
def test_indentation_may_be_odd(docstring: str) -> None:
    assert describe(docstring) == ("Look.", {"where": "The place."})


def test_a_line_that_ends_in_a_colon_is_part_of_the_purpose() -> None:
    docstring = "Look up one of the following:\n\n- a city\n- a country\n\nArgs:\n    name: What to look up."
    purpose, parameters = describe(docstring)
    assert purpose == "Look up one of the following:\n\n- a city\n- a country"
    assert parameters == {"name": "What to look up."}


@pytest.mark.parametrize("section", [
    "Returns:\n    A place.", "Raises:\n    LookupError: None.", "Yields:\n    Places.", "Example:\n    look()",
    "Examples:\n    look()", "Note:\n    Slow.", "Notes:\n    Slow.", "Keyword Args:\n    where: The place.",
    ">>> look()", ":returns: A place.", ":raises LookupError: None.", "Returns\n-------\nstr", "Notes\n-----\nSlow.",
])  # fmt: skip
def test_the_purpose_ends_where_a_section_begins(section: str) -> None:
    assert describe(f"Look.\n\n{section}")[0] == "Look."


def test_two_numpy_parameters_may_share_a_description() -> None:
    docstring = "Add.\n\nParameters\n----------\nleft, right : int\n    A number.\n*more : int\n    More of them.\n"
    assert describe(docstring)[1] == {"left": "A number.", "right": "A number.", "more": "More of them."}


def test_the_last_numpy_section_may_be_the_parameters() -> None:
    assert describe("Parameters\n----------\nwhere : str")[1] == {"where": ""}
    assert describe("Parameters\n----------") == ("", {})


def test_what_follows_a_rest_parameter_is_not_its_description() -> None:
    docstring = (
        "Look.\n\n:param where: The place,\n    as text.\n\nIt is kept.\n:param when: The time.\n:rtype: str\n    or so"
    )
    assert describe(docstring)[1] == {"where": "The place, as text.", "when": "The time."}


WORDS = st.sampled_from([
    "Args:", "Parameters", "----------", "---", ":param x: y", ":param", ":param x", "x: y", "x (int): y", "x : int",
    "Returns:", "Returns", "**x: y", ">>> f()", "", ":", "(", "x (", "\t", "\u2028", "\x0c", "é: ü",
])  # fmt: skip
INDENTS = st.sampled_from(["", " ", "    ", "\t", "        "])
LINES = st.lists(st.tuples(INDENTS, WORDS | st.text(max_size=20)).map("".join), max_size=12)


@given(LINES.map("\n".join) | st.text())
def test_no_docstring_is_too_odd(docstring: str) -> None:
    purpose, parameters = describe(docstring)
    assert purpose == purpose.strip()
    assert all(name.isidentifier() or name.replace("_", "").isalnum() for name in parameters)
    assert all("\n" not in text for text in parameters.values())
