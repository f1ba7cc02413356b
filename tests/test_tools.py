"""A Python function becomes a tool: a schema that says what it takes, and a call that never breaks a run."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, create_model, field_validator
from typing_extensions import TypedDict

from dashnb.errors import ToolDefinitionError
from dashnb.protocol.objects import Tool
from dashnb.session.calling import call_one
from dashnb.session.results import outcome_of
from dashnb.session.tools import FunctionTool, as_tools, tool


def output_of(made: FunctionTool, arguments: str) -> str:
    """What the model is told of a call."""
    return call_one(made, arguments).text


def text_of(result: Any) -> str:
    """What the model is told of a result."""
    return outcome_of(result).text


class Colour(Enum):
    """What paint there is."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    """How loud."""

    LOW = 1
    HIGH = 2


@dataclass
class Point:
    """A place on a plane."""

    x: float
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


class Train(TypedDict, total=False):
    """A train."""

    number: int
    name: str


class Address(BaseModel):
    """Where somebody lives."""

    street: str
    zip_code: str | None = None


class Person(BaseModel):
    """Somebody."""

    name: str = Field(description="As in the passport.", min_length=1)
    homes: list[Address] = []


class Strange:
    """A type that no JSON can carry."""


MISSING = object()


def taking(annotation: Any, default: Any = MISSING) -> Callable[..., Any]:
    """A function with one parameter, called ``value``, of the given type."""
    if default is MISSING:

        def give(value):  # type: ignore[no-untyped-def]  # annotated below
            return value
    else:

        def give(value=default):  # type: ignore[no-untyped-def]  # annotated below
            return value

    give.__annotations__ = {"value": annotation}
    return give


# --- the schema ----------------------------------------------------------------------------------

TYPES = [
    int, float, str, bool, None, Any, object,
    int | str, int | None, Optional[str], list[int] | dict[str, int] | None,  # noqa: UP045 # the old spelling, too
    Literal["a", "b"], Literal[1, "two", None], Literal["only"],
    Colour, Level, Colour | None,
    list, list[int], list[list[str]], dict, dict[str, float], dict[str, list[Point]],
    tuple[int, str], tuple[int, ...], set[int], frozenset[str],
    Point, list[Point], Point | None, Train, Address, Person, list[Person],
    date, datetime, Decimal, UUID, Path, bytes,
    Annotated[int, Field(ge=1, le=9)], Annotated[str, Field(description="A name.", max_length=5)],
    Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1)], Annotated[int, "no field"],
]  # fmt: skip
DEFAULTS = [
    (int, 3), (str, ""), (bool, False), (int | None, None), (int, None), (list[int], []), (dict[str, int], {"a": 1}),
    (Colour, Colour.BLUE), (Level, Level.LOW), (Literal["a", "b"], "b"), (Point, Point(1.0)),
    (Address, Address(street="Main")), (date, date(2026, 1, 2)), (Annotated[int, Field(ge=1)], 5),
    (tuple[int, int], (1, 2)),
]  # fmt: skip


def pydantic_schema(annotation: Any, default: Any = ...) -> dict[str, Any]:
    """The schema of a model that has one field, called ``value``, without the titles."""
    schema = create_model("Given", __config__={"extra": "forbid"}, value=(annotation, default)).model_json_schema()
    del schema["title"], schema["additionalProperties"]
    schema["properties"]["value"].pop("title", None)
    return schema


@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_a_parameter_has_the_schema_that_pydantic_gives_its_type(annotation: Any) -> None:
    parameters = tool(taking(annotation)).parameters
    assert parameters == pydantic_schema(annotation)
    assert parameters["required"] == ["value"]


@pytest.mark.parametrize(("annotation", "default"), DEFAULTS, ids=str)
def test_a_default_is_shown_and_makes_the_parameter_optional(annotation: Any, default: Any) -> None:
    parameters = tool(taking(annotation, default)).parameters
    assert parameters == pydantic_schema(annotation, default)
    assert "required" not in parameters
    assert "default" in parameters["properties"]["value"]


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    @tool
    def now() -> str:
        """Say what time it is."""
        return "noon"

    assert now.definition == {
        "type": "function",
        "function": {
            "name": "now",
            "description": "Say what time it is.",
            "parameters": {"type": "object", "properties": {}},
        },
    }
    assert output_of(now, "") == output_of(now, "{}") == "noon"


def test_name_purpose_and_descriptions_come_from_the_function() -> None:
    @tool
    def find(start: str, end: str, *, seats: int = 1) -> str:
        """Find a train.

        Args:
            start: Where the journey begins.
            seats: How many.
        """
        return f"{start}-{end}: {seats}"

    assert (find.name, find.description) == ("find", "Find a train.")
    assert find.parameters == {
        "type": "object",
        "properties": {
            "start": {"type": "string", "description": "Where the journey begins."},
            "end": {"type": "string"},
            "seats": {"type": "integer", "default": 1, "description": "How many."},
        },
        "required": ["start", "end"],
    }
    assert output_of(find, '{"start": "A", "end": "B", "seats": 2}') == "A-B: 2"


def test_a_description_of_the_annotation_is_kept() -> None:
    def find(start: Annotated[str, Field(description="From the annotation.")], end: str) -> None:
        """Find.

        Args:
            start: From the docstring.
            end: From the docstring, too.
        """

    properties = tool(find).parameters["properties"]
    assert properties["start"]["description"] == "From the annotation."
    assert properties["end"]["description"] == "From the docstring, too."


def test_parameters_without_annotation_take_anything() -> None:
    @tool
    def echo(value, other="x"):  # type: ignore[no-untyped-def]  # that is the point
        return [value, other]

    assert echo.parameters["properties"] == {"value": {}, "other": {"default": "x"}}
    assert output_of(echo, '{"value": {"a": [1, null]}}') == '[{"a":[1,null]},"x"]'


NAMES = [
    "schema", "json", "copy", "dict", "self", "cls", "_private", "__very", "model_config", "model_fields", "title",
    "p0", "p1", "name", "type", "properties", "größe", "arguments",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_may_have_any_name(name: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def take(first: int, {name}: int): return [first, {name}]", space)
    made = tool(space["take"])
    assert made.parameters == {
        "type": "object",
        "properties": {"first": {"type": "integer"}, name: {"type": "integer"}},
        "required": ["first", name],
    }
    assert output_of(made, json.dumps({name: 2, "first": 1})) == "[1,2]"


def test_the_schema_can_be_sent_as_json() -> None:
    for annotation in TYPES:
        assert json.dumps(tool(taking(annotation)).definition, allow_nan=False)


def test_a_default_that_json_cannot_carry_is_not_shown() -> None:
    missing = object()

    @tool
    def look(where: str = missing) -> str:  # type: ignore[assignment]  # a sentinel
        return "nowhere" if where is missing else where

    assert look.parameters == {"type": "object", "properties": {"where": {"type": "string"}}}
    assert output_of(look, "{}") == "nowhere"


def test_a_default_may_be_given_as_a_field() -> None:
    @tool
    def look(where: str = Field("here", description="The place.", min_length=2)) -> str:
        return where

    assert look.parameters["properties"]["where"] == {
        "type": "string", "default": "here", "description": "The place.", "minLength": 2,
    }  # fmt: skip
    assert output_of(look, "{}") == "here"
    assert output_of(look, '{"where": "x"}').startswith("Error: where: ")


def test_a_default_of_the_annotation_reaches_the_function() -> None:
    @tool
    def look(
        where: Annotated[str, Field(default="here")], among: Annotated[list[int], Field(default_factory=list)]
    ) -> str:
        return f"{where} {among}"

    assert "required" not in look.parameters
    assert output_of(look, "{}") == "here []"


def test_a_method_is_a_tool_without_its_self() -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def add(self, number: int) -> int:
            """Count on."""
            self.count += number
            return self.count

    counter = Counter()
    add = tool(counter.add)
    assert add.parameters["properties"] == {"number": {"type": "integer"}}
    assert (output_of(add, '{"number": 2}'), output_of(add, '{"number": 3}'), counter.count) == ("2", "5", 5)


def test_a_wrapped_function_keeps_its_signature() -> None:
    def plain(number: int) -> int:
        """Double."""
        return 2 * number

    @functools.wraps(plain)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **kwargs) + 1

    made = tool(wrapped)
    assert (made.name, made.description, output_of(made, '{"number": 4}')) == ("plain", "Double.", "9")


def test_a_tool_is_still_the_function() -> None:
    @tool
    def add(left: int, right: int = 1) -> int:
        return left + right

    assert add(1) == add(1, 1) == add(left=1) == 2
    assert "function" not in repr(add)


# --- what is no tool -----------------------------------------------------------------------------


def star(*numbers: int) -> None: ...
def stars(**numbers: int) -> None: ...
def positional(number: int, /) -> None: ...
def strange(ok: int, thing: Strange) -> None: ...
def nested(ok: int, things: list[Strange]) -> None: ...
def callback(ok: int, then: Callable[[int], int]) -> None: ...
def kind(ok: int, of: type) -> None: ...
def dangling(thing: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821 # that is the point
def attribute(thing: os.nowhere) -> None: ...  # type: ignore[name-defined]  # that is the point


def broken() -> None: ...


broken.__annotations__ = {"thing": "int |"}


@pytest.mark.parametrize(("function", "reason"), [
    (star, r"The parameter numbers of star has no fixed name"),
    (stars, r"The parameter numbers of stars has no fixed name"),
    (positional, r"The parameter number of positional has no fixed name"),
    (strange, r"The parameter thing of strange .*Strange"),
    (nested, r"The parameter things of nested .*Strange"),
    (callback, r"The parameter then of callback .*Callable"),
    (kind, r"The parameter of of kind .*type"),
    (dangling, r"The signature of dangling cannot be read: .*Nowhere"),
    (attribute, r"The signature of attribute cannot be read: .*nowhere"),
    (broken, r"The signature of broken cannot be read: .*int \|"),
    (lambda number: number, r"A tool needs a name"),
    (functools.partial(star), r"A tool needs a name"),
    (dict, r"The signature of dict cannot be read"),
    (dict.fromkeys, r"The parameter \w+ of fromkeys has no fixed name"),
    (min, r"The signature of min cannot be read"),
], ids=lambda value: getattr(value, "__name__", "partial") if callable(value) else "")  # fmt: skip
def test_what_cannot_be_a_tool_is_refused_with_the_reason(function: Callable[..., Any], reason: str) -> None:
    for offer in (tool, lambda one: as_tools([one])):
        with pytest.raises(ToolDefinitionError, match=reason) as caught:
            offer(function)
        message = str(caught.value)
        assert len(message.splitlines()) <= 3
        assert "errors.pydantic.dev" not in message
        assert "arbitrary_types_allowed" not in message


def test_a_lambda_with_a_name_is_a_tool() -> None:
    double = tool(name="double", description="Twice as much.")(lambda number: 2 * number)
    assert (double.name, double.description, output_of(double, '{"number": 2}')) == ("double", "Twice as much.", "4")


def test_the_name_search_belongs_to_the_service() -> None:
    def search(text: str) -> str:
        """Look it up."""
        return text

    with pytest.raises(ToolDefinitionError, match=r"'search'; choose another name"):
        tool(search)
    with pytest.raises(ToolDefinitionError, match="'search'"):
        tool(name="search")(taking(int))
    renamed = tool(name="look_up")(search)
    assert (renamed.name, renamed.description) == ("look_up", "Look it up.")


def test_name_and_description_can_be_given() -> None:
    @tool(name="big_add", description="Add large numbers.")
    def add(left: int, right: int) -> int:
        """Add.

        Args:
            left: The first.
        """
        return left + right

    function = add.definition["function"]
    assert (function["name"], function["description"]) == ("big_add", "Add large numbers.")
    assert function["parameters"]["properties"]["left"]["description"] == "The first."


# --- tools of a session --------------------------------------------------------------------------


def one(number: int) -> int:
    """The first."""
    return number


def two(number: int) -> int:
    """The second."""
    return number


def test_tools_of_all_kinds_may_be_mixed() -> None:
    own = tool(two)
    given = {"type": "plugin_1", "auth": {"type": "user_http"}}
    rag = Tool.model_validate({"type": "rag", "prompt_ra": {"pipeline_id": ["p"]}})
    definitions, functions = as_tools(["quark_search", given, rag, one, own])
    assert definitions == [{"type": "quark_search"}, given, rag.to_dict(), tool(one).definition, own.definition]
    assert list(functions) == ["one", "two"]
    assert functions["two"] is own
    assert all(isinstance(function, FunctionTool) for function in functions.values())


def test_no_tools_are_no_tools() -> None:
    assert as_tools([]) == as_tools(iter(())) == ([], {})


def test_two_functions_may_not_share_a_name() -> None:
    shared = r"Two tools are called 'one'; give one another name"
    definition = tool(one).definition
    for pair in ([one, one], [one, tool(name="one")(two)], [definition, one], [one, Tool.model_validate(definition)]):
        with pytest.raises(ToolDefinitionError, match=shared):
            as_tools(pair)
    assert list(as_tools([one, tool(name="other")(one)])[1]) == ["one", "other"]


@pytest.mark.parametrize("wrong", [None, 3, ["quark_search"], b"search"], ids=repr)
def test_something_else_is_no_tool(wrong: Any) -> None:
    with pytest.raises(ToolDefinitionError, match=f"not {type(wrong).__name__}"):
        as_tools([wrong])


@pytest.mark.parametrize("wrong", ["quark_search", {"type": "quark_search"}, one, tool(one), None], ids=type)
def test_a_single_tool_is_no_list_of_tools(wrong: Any) -> None:
    with pytest.raises(ToolDefinitionError, match=r"in a list: tools=\[…\]"):
        as_tools(wrong)


# --- calls ---------------------------------------------------------------------------------------


@tool
def mix(count: int, name: str = "x", *, point: Point | None = None, colours: tuple[Colour, ...] = ()) -> list[Any]:
    """All sorts."""
    return [count, name, point, colours]


@pytest.mark.parametrize(("arguments", "output"), [
    ('{"count": 1}', '[1,"x",null,[]]'),
    ('{"count": "1", "name": "y"}', '[1,"y",null,[]]'),
    ('{"count": 2, "point": {"x": 1}}', '[2,"x",{"x":1.0,"y":0.0,"tags":[]},[]]'),
    ('{"count": 2, "colours": ["red", "blue"]}', '[2,"x",null,["red","blue"]]'),
    (' {"count": 123456789012345678901234567890} ', '[123456789012345678901234567890,"x",null,[]]'),
])  # fmt: skip
def test_valid_arguments_reach_the_function(arguments: str, output: str) -> None:
    assert output_of(mix, arguments) == output


@pytest.mark.parametrize(("arguments", "reason"), [
    pytest.param("", "count: Field required", id="nothing"),
    pytest.param("{}", "count: Field required", id="missing"),
    pytest.param('{"count": "many"}', "count: Input should be a valid integer", id="type"),
    pytest.param('{"count": 1, "size": 2}', "size: Extra inputs are not permitted", id="extra"),
    pytest.param('{"count": 1, "p0": 2}', "p0: Extra inputs are not permitted", id="name of the field"),
    pytest.param('{"count": 1, "point": {"y": 2}}', "point.x: Field required", id="nested"),
    pytest.param('{"count": 1, "colours": ["green"]}', "colours.0: Input should be 'red' or 'blue'", id="item"),
    pytest.param('{"count": null, "name": 3}', "count: Input should be a valid integer; name: Input", id="two"),
    pytest.param('{"count": 1', "Invalid JSON: EOF while parsing", id="cut"),
    pytest.param("count=1", "Invalid JSON: expected value", id="no JSON"),
    pytest.param("   ", "Invalid JSON", id="blanks"),
    pytest.param("null", "Input should be an object", id="null"),
    pytest.param("[1]", "Input should be an object", id="list"),
    pytest.param('{"count": 1, "name": "\ud800"}', "Input should be a valid string", id="half a character"),
    pytest.param("[" * 100_000, "Invalid JSON: recursion limit exceeded", id="deep"),
])  # fmt: skip
def test_wrong_arguments_are_told_to_the_model(arguments: str, reason: str) -> None:
    output = output_of(mix, arguments)
    assert output.startswith(f"Error: {reason}")
    assert "pydantic" not in output
    assert "\n" not in output


@pytest.mark.parametrize("error", [
    ValueError("no such city"), KeyError("city"), RuntimeError(), OSError(2, "No such file"), StopIteration("end"),
    RecursionError("deep"), AssertionError(),
], ids=repr)  # fmt: skip
def test_an_exception_of_the_function_is_told_to_the_model(error: Exception) -> None:
    @tool
    def fail() -> None:
        raise error

    assert output_of(fail, "{}") == f"Error: {type(error).__name__}: {error}"


def test_an_interrupt_is_no_answer() -> None:
    @tool
    def fail() -> None:
        raise KeyboardInterrupt

    @tool
    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    class Slow:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    @tool
    def fail_when_read() -> Slow:
        return Slow()

    for failing in (fail, fail_later, fail_when_read):
        with pytest.raises(KeyboardInterrupt):
            output_of(failing, "{}")


def test_an_exception_of_a_validator_is_told_to_the_model() -> None:
    class Odd(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def _check(cls, number: int) -> int:
            return number // 0

    take = tool(name="take")(taking(Odd))
    assert output_of(take, '{"value": {"number": 1}}').startswith("Error: ZeroDivisionError: ")


def test_what_is_not_sent_is_the_default_of_the_function_itself() -> None:
    shared: list[int] = []

    @tool
    def keep(number: int, among: list[int] = shared) -> int:
        among.append(number)
        return len(among)

    assert (output_of(keep, '{"number": 1}'), output_of(keep, '{"number": 2}')) == ("1", "2")
    assert shared == [1, 2]
    assert output_of(keep, '{"number": 3, "among": []}') == "1"
    assert shared == [1, 2]


@pytest.mark.parametrize(("annotation", "arguments", "value"), [
    (Point, {"x": 1, "tags": ["a"]}, Point(1.0, 0.0, ["a"])),
    (list[Point], [{"x": 1}], [Point(1.0)]),
    (dict[str, Point | None], {"a": {"x": 1}, "b": None}, {"a": Point(1.0), "b": None}),
    (Person, {"name": "Li", "homes": [{"street": "S"}]}, Person(name="Li", homes=[Address(street="S")])),
    (Train, {"number": 4}, {"number": 4}),
    (Colour, "red", Colour.RED),
    (Level, 2, Level.HIGH),
    (tuple[int, str], [1, "a"], (1, "a")),
    (set[int], [1, 1, 2], {1, 2}),
    (datetime, "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    (Decimal, "1.10", Decimal("1.10")),
    (Path, "a/b", Path("a/b")),
    (Literal["a", 1], 1, 1),
    (bool, True, True),
    (Any, {"x": [1]}, {"x": [1]}),
], ids=str)  # fmt: skip
def test_arguments_arrive_as_the_type_that_the_function_names(annotation: Any, arguments: Any, value: Any) -> None:
    got: list[Any] = []

    def take(value):  # type: ignore[no-untyped-def]  # annotated below
        got.append(value)

    take.__annotations__ = {"value": annotation}
    assert output_of(tool(take), json.dumps({"value": arguments})) == "null"
    assert got == [value]
    assert type(got[0]) is type(value)


# --- asynchronous functions ----------------------------------------------------------------------


@tool
async def later(text: str, fail: bool = False) -> dict[str, str]:
    """Say it later."""
    await asyncio.sleep(0)
    if fail:
        raise LookupError(text)
    return {"said": text}


def test_an_asynchronous_function_is_waited_for() -> None:
    assert output_of(later, '{"text": "hi"}') == '{"said":"hi"}'
    assert output_of(later, '{"text": "no", "fail": true}') == "Error: LookupError: no"


def test_an_asynchronous_function_may_be_called_where_a_loop_is_running() -> None:
    async def cell() -> list[str]:
        return [output_of(later, '{"text": "hi"}'), output_of(later, '{"text": "no", "fail": true}')]

    assert asyncio.run(cell()) == ['{"said":"hi"}', "Error: LookupError: no"]


def test_a_function_may_return_something_to_wait_for() -> None:
    class Soon:
        def __await__(self) -> Any:
            return asyncio.sleep(0, "done").__await__()

    @tool
    def soon() -> Awaitable[str]:
        return Soon()

    assert output_of(soon, "{}") == "done"


def test_an_asynchronous_function_leaves_no_thread_behind() -> None:
    before = threading.enumerate()
    output_of(later, '{"text": "hi"}')
    assert threading.enumerate() == before


def test_an_asynchronous_function_sees_the_context_of_its_caller() -> None:
    cell: contextvars.ContextVar[str] = contextvars.ContextVar("cell", default="none")

    @tool
    async def which() -> str:
        return cell.get()

    token = cell.set("cell 1")
    try:
        assert output_of(which, "{}") == "cell 1"
    finally:
        cell.reset(token)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_stops_an_asynchronous_function() -> None:
    ended: list[str] = []

    @tool
    async def wait() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    before = threading.enumerate()
    with pytest.raises(KeyboardInterrupt):
        output_of(wait, "{}")
    assert ended == ["cancelled"]
    assert threading.enumerate() == before


def test_a_cancelled_function_is_told_to_the_model() -> None:
    @tool
    async def give_up() -> None:
        raise asyncio.CancelledError

    assert output_of(give_up, "{}").startswith("Error: CancelledError")


# --- results -------------------------------------------------------------------------------------


class Named(str, Enum):  # noqa: UP042 # as people write it
    """A text that is an enumeration, too."""

    A = "a"


class Unprintable:
    """Not even its text can be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Shown:
    """Something that only has a text."""

    def __str__(self) -> str:
        return "shown"


@pytest.mark.parametrize(("result", "output"), [
    ("rain", "rain"), ("", ""), ('{"a": 1}', '{"a": 1}'), ("猫 😺", "猫 😺"), (Named.A, "a"),
    (42, "42"), (2**70, str(2**70)), (1.5, "1.5"), (True, "true"), (None, "null"), (math.inf, "Infinity"),
    ({"t": 21.5, "w": None}, '{"t":21.5,"w":null}'), ({1: "a"}, '{"1":"a"}'), ([1, [2]], "[1,[2]]"), ((1, 2), "[1,2]"),
    ({"ü"}, '["ü"]'), (range(3), '"range(0, 3)"'), ((n for n in (1, 2)), "[1,2]"),
    (Point(1.0), '{"x":1.0,"y":0.0,"tags":[]}'), (Person(name="Li"), '{"name":"Li","homes":[]}'),
    ([Point(2.0)], '[{"x":2.0,"y":0.0,"tags":[]}]'),
    (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), '"2026-01-02T03:04:00Z"'), (date(2026, 1, 2), '"2026-01-02"'),
    (Decimal("1.10"), '"1.10"'), (UUID(int=0), '"00000000-0000-0000-0000-000000000000"'), (Path("a"), '"a"'),
    (Colour.RED, '"red"'), (Level.LOW, "1"), (Shown(), '"shown"'), ([Shown()], '["shown"]'),
], ids=repr)  # fmt: skip
def test_a_result_is_text_or_json(result: Any, output: str) -> None:
    assert text_of(result) == output
    assert type(text_of(result)) is str


def test_half_a_character_can_still_be_sent() -> None:
    """A name of a file may hold bytes that are no text; Python keeps them as lone surrogates."""

    @tool
    def look(fail: bool) -> str:
        if fail:
            raise FileNotFoundError("caf\udce9")
        return "caf\udce9"

    assert output_of(look, '{"fail": false}') == "caf?"
    assert output_of(look, '{"fail": true}') == "Error: FileNotFoundError: caf?"


@pytest.mark.parametrize("result", [Unprintable(), b"\xff", (loop := [0]).append(loop) or loop], ids=type)
def test_a_result_that_has_no_text_is_told_to_the_model(result: Any) -> None:
    assert output_of(tool(name="make")(lambda: result), "{}").startswith("Error: ")


def test_a_return_type_that_only_its_own_place_knows_is_no_obstacle() -> None:
    class Local:
        """Known here only."""

    def find(place: str) -> Local:
        return Local()

    assert tool(find).parameters["properties"] == {"place": {"type": "string"}}
