"""Whether an answer fits a schema: as jsonschema says, but in work that grows with the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.error import UsageError
from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]

from dashnb.errors import AnswerMismatch
from dashnb.magics.checking import patient
from dashnb.magics.schemas import find_schema
from dashnb.protocol.events import event_of
from dashnb.protocol.state import RunState
from patterns import TooLong, seconds
from work import assert_linear

KINDS = (Draft4Validator, Draft7Validator, Draft202012Validator)
BACKTRACKING = (r"^(a+)+$", r"^(\w+\s?)*$", r"(a|a)*b", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(.*a){12}b")
LINE = "a" * 60 + "!"
Parse = Callable[[RunState], Any]


def said(text: str) -> RunState:
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": "run_1", "status": "completed"}))
    content = [{"type": "text", "text": {"value": text}}]
    state.apply(event_of("thread.message.delta", {"id": "m", "delta": {"content": content}}))
    return state


def parse_of(schema: dict[str, Any]) -> Parse:
    return find_schema("schema", {"schema": schema}).parse


@pytest.mark.parametrize("expression", BACKTRACKING)
@pytest.mark.parametrize("shape", ["value", "name", "name that is too much", "name of another kind"])
def test_no_answer_keeps_an_expression_of_a_schema_busy(shape: str, expression: str) -> None:
    named = {"type": "object", "patternProperties": {expression: {"type": "integer"}}}
    schema, answer = {
        "value": ({"pattern": expression}, LINE),
        "name": (named, {LINE: "x"}),
        "name that is too much": ({**named, "additionalProperties": False}, {LINE: 1}),
        "name of another kind": ({**named, "additionalProperties": {"type": "string"}}, {LINE: 1}),
    }[shape]
    try:
        if shape == "name":
            seconds(lambda: parse_of(schema)(said(json.dumps(answer))), 2)
        else:
            with pytest.raises(AnswerMismatch):
                seconds(lambda: parse_of(schema)(said(json.dumps(answer))), 2)
    except TooLong:
        pytest.fail("busy for two seconds")


ELEMENTS: dict[str, Callable[[int], list[Any]]] = {
    "objects": lambda n: [{"id": k} for k in range(n)],
    "lists": lambda n: [[k] for k in range(n)],
    "of all kinds": lambda n: [kind for k in range(n // 2) for kind in (k, str(k))],
}


@pytest.mark.parametrize("shape", ELEMENTS)
def test_the_work_of_telling_elements_apart_grows_with_their_number(shape: str) -> None:
    parse = parse_of({"type": "array", "uniqueItems": True})
    assert_linear(parse, lambda n: said(json.dumps(ELEMENTS[shape](n))), 2_000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([0.0, 1.5]) | st.sampled_from(["", "a", "ab1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b1", "c"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
SCHEMAS = (
    {"uniqueItems": True},
    {"uniqueItems": False},
    {"pattern": "^a"},
    {"pattern": "(?<=a)b"},
    {"patternProperties": {"1$": {"type": "integer"}, "^b": {"type": "number"}}},
    {"patternProperties": {"1$": {}}, "additionalProperties": False},
    {"properties": {"a": {}}, "patternProperties": {"1$": {}}, "additionalProperties": {"type": "string"}},
    {"properties": {"a": {}}, "additionalProperties": False},
    {"additionalProperties": {"uniqueItems": True}, "items": {"pattern": r"\d"}},
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(value=JSON)
@settings(max_examples=60, deadline=None)
def test_what_fits_is_what_fits_for_jsonschema(kind: Any, value: Any) -> None:
    for schema in SCHEMAS:
        wanted = [list(error.absolute_path) for error in kind(schema).iter_errors(value)]
        found = [list(error.absolute_path) for error in patient(kind)(schema).iter_errors(value)]
        assert sorted(found, key=repr) == sorted(wanted, key=repr), (schema, value)


def test_an_expression_that_is_none_is_named() -> None:
    with pytest.raises(UsageError, match=r"'\(a' is not a 'regex'"):
        parse_of({"pattern": "(a"})
    draft = {"$schema": "http://json-schema.org/draft-04/schema#", "patternProperties": {"(a": {}}}
    with pytest.raises(AnswerMismatch, match=r"'\(a' of the schema is no regular expression"):
        parse_of(draft)(said('{"a": 1}'))


@pytest.mark.parametrize("schema", [{"items": {"$ref": "#"}}, {"$ref": "#"}])
def test_what_refers_to_itself_ends(schema: dict[str, Any]) -> None:
    with pytest.raises(AnswerMismatch, match="nested too deeply"):
        parse_of(schema)(said("[" * 900 + "]" * 900))
