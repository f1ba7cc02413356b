"""Python functions as tools: their JSON schema from signature and docstring, and how they are called.

Pydantic makes the schema and checks the arguments that the model wrote. Whatever goes wrong in a call
becomes its output, beginning with ``Error:``, so that the model can act on it and the run goes on.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import typing
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import to_json

from dashnb.errors import ToolDefinitionError
from dashnb.protocol.objects import Tool
from dashnb.protocol.requests import RESERVED_FUNCTION_NAMES
from dashnb.session.docstrings import describe

Function = Callable[..., Any]
ToolLike = str | dict[str, Any] | Tool | Function


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A Python function that an assistant may call; made by `tool`.

    Attributes:
        name: What the model calls it.
        description: What the model is told about it.
        parameters: JSON schema of its parameters.
        function: The function itself.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    function: Function = field(repr=False)
    _model: type[BaseModel] = field(repr=False)

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as it is sent to the service."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, as if it were not a tool."""
        return self.function(*args, **kwargs)

    def call(self, arguments: str) -> str:
        """The output of a call with arguments as JSON text; what goes wrong is told in the output.

        >>> @tool
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> double.call('{"number": 21}')
        '42'
        >>> double.call('{"number": "many"}')
        'Error: number: Input should be a valid integer, unable to parse string as an integer'
        """
        try:
            values = self._model.model_validate_json(arguments or "{}")
        except ValidationError as error:
            return f"Error: {_explain(error)}"
        given = {
            info.alias or name: getattr(values, name)
            for name, info in self._model.model_fields.items()
            if name in values.model_fields_set
        }
        try:
            return as_text(_finished(self.function(**given)))
        except Exception as error:
            return f"Error: {type(error).__name__}: {error}"


@overload
def tool(function: Function) -> FunctionTool: ...
@overload
def tool(*, name: str | None = None, description: str | None = None) -> Callable[[Function], FunctionTool]: ...
def tool(
    function: Function | None = None, *, name: str | None = None, description: str | None = None
) -> FunctionTool | Callable[[Function], FunctionTool]:
    """Offer a Python function as a tool.

    >>> @tool
    ... def big_add(left: int, right: int) -> int:
    ...     '''Add two integers.
    ...
    ...     Args:
    ...         left: The first one.
    ...         right: The second one.
    ...     '''
    ...     return left + right
    >>> big_add.parameters["properties"]["left"]
    {'description': 'The first one.', 'type': 'integer'}
    >>> big_add(1, 2)
    3

    Args:
        function: The function; annotations give the types, the docstring (Google, NumPy or reST style)
            the descriptions.
        name: Another name for the model.
        description: Another description than the docstring's.

    Raises:
        ToolDefinitionError: A parameter cannot be described, or the name is not allowed.
    """
    if function is None:
        return lambda wrapped: _make(wrapped, name, description)
    return _make(function, name, description)


def as_tools(tools: Iterable[ToolLike | FunctionTool]) -> tuple[list[dict[str, Any]], dict[str, FunctionTool]]:
    """The definitions to send, and the functions among the tools by name.

    >>> as_tools(["quark_search"])
    ([{'type': 'quark_search'}], {})

    Args:
        tools: Names of built-in tools, definitions, and Python functions.

    Raises:
        ToolDefinitionError: A tool is none of these, or two functions share a name.
    """
    definitions: list[dict[str, Any]] = []
    functions: dict[str, FunctionTool] = {}
    for item in tools:
        if isinstance(item, str):
            definitions.append({"type": item})
        elif isinstance(item, Tool):
            definitions.append(item.to_dict())
        elif isinstance(item, dict):
            definitions.append(item)
        elif isinstance(item, FunctionTool) or callable(item):
            made = item if isinstance(item, FunctionTool) else tool(item)
            if made.name in functions:
                raise ToolDefinitionError(f"Two tools are called {made.name!r}; give one another name.")
            functions[made.name] = made
            definitions.append(made.definition)
        else:
            raise ToolDefinitionError(f"A tool is a name, a definition or a function, not {type(item).__name__}.")
    return definitions, functions


def as_text(value: Any) -> str:
    """A function's result as the output of its call: text as it is, everything else as JSON.

    >>> as_text({"temp": 21.5}), as_text("rain"), as_text(None)
    ('{"temp":21.5}', 'rain', 'null')
    """
    if isinstance(value, str):
        return value
    return to_json(value, fallback=str).decode()


def _make(function: Function, name: str | None, description: str | None) -> FunctionTool:
    chosen = name or getattr(function, "__name__", "")
    if not chosen or chosen == "<lambda>":
        raise ToolDefinitionError("A tool needs a name: define it with def, or pass name=….")
    if chosen in RESERVED_FUNCTION_NAMES:
        raise ToolDefinitionError(f"The service does not take a function called {chosen!r}; choose another name.")
    purpose, descriptions = describe(inspect.getdoc(function))
    model = _model(function, chosen, descriptions)
    return FunctionTool(chosen, description or purpose, _schema(model), function, model)


def _model(function: Function, name: str, descriptions: dict[str, str]) -> type[BaseModel]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        signature = inspect.signature(function)
    except (TypeError, ValueError, NameError) as error:
        raise ToolDefinitionError(f"The signature of {name} cannot be read: {error}.") from error
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(signature.parameters.values()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDefinitionError(
                f"The parameter {parameter.name} of {name} has no fixed name; a model can only fill named ones."
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        info = Field(default, alias=parameter.name, description=descriptions.get(parameter.name))
        # Fields have plain names of their own: a parameter may be called like a method of pydantic.
        fields[f"p{number}"] = (hints.get(parameter.name, Any), info)
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields)
    except Exception as error:
        raise ToolDefinitionError(f"A parameter of {name} has a type that JSON cannot carry: {error}") from error


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    schema.pop("title", None)
    schema.pop("additionalProperties", None)
    for part in schema.get("properties", {}).values():
        part.pop("title", None)
    schema.setdefault("properties", {})
    return schema


def _explain(error: ValidationError) -> str:
    found = []
    for detail in error.errors():
        where = ".".join(str(part) for part in detail["loc"])
        found.append(f"{where}: {detail['msg']}" if where else detail["msg"])
    return "; ".join(found)


def _finished(result: Any) -> Any:
    """A result, or what an asynchronous function comes to.

    A cell runs inside the kernel's own event loop, which cannot wait for a second one on its thread.
    """
    if not inspect.isawaitable(result):
        return result
    outcome: list[Any] = []

    async def wait() -> None:
        outcome.append(await result)

    _run_apart(wait())
    return outcome[0]


def _run_apart(work: Coroutine[Any, Any, None]) -> None:
    failures: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target, name="dashnb-tool")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
