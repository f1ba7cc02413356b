"""Python functions as tools: their JSON schema from signature and docstring, and what a model wrote for them.

Pydantic makes the schema and checks the arguments. How the functions are called is in `calling`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Annotated, Any, Literal, get_args, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from dashnb.errors import ToolDefinitionError
from dashnb.protocol.objects import Tool
from dashnb.protocol.requests import RESERVED_FUNCTION_NAMES
from dashnb.session.docstrings import describe

Function = Callable[..., Any]
ToolLike = str | dict[str, Any] | Tool | Function
Approval = Literal["auto", "ask", "deny"]
TIMEOUT = 120.0  # seconds


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A Python function that an assistant may call; made by `tool`.

    Attributes:
        name: What the model calls it.
        description: What the model is told about it.
        parameters: JSON schema of its parameters.
        function: The function itself.
        approval: ``auto`` to call it without a question, ``ask`` to ask a person first, ``deny`` never to.
        timeout: Seconds after which a call is given up; None for none.
        parallel: True if it may be called on a thread of its own, beside other calls.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    function: Function = field(repr=False)
    _model: type[BaseModel] = field(repr=False)
    approval: Approval = "auto"
    timeout: float | None = TIMEOUT
    parallel: bool = True

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as it is sent to the service."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, as if it were not a tool."""
        return self.function(*args, **kwargs)

    def read(self, arguments: str) -> dict[str, Any]:
        """The arguments for the function, by name, of JSON text that a model wrote.

        >>> @tool
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> double.read('{"number": "21"}')
        {'number': 21}

        Raises:
            ArgumentsError: They do not fit; the message tells the model why.
        """
        try:
            values = self._model.model_validate_json(arguments or "{}")
        except ValidationError as error:
            raise ArgumentsError(_explain(error)) from None
        return self._given(values)

    def _given(self, values: BaseModel) -> dict[str, Any]:
        """The arguments by name; what was not sent is left to the function, if it has a default of its own."""
        parameters = inspect.signature(self.function).parameters
        given = {}
        for name, info in type(values).model_fields.items():
            parameter = str(info.alias)
            if name in values.model_fields_set or not _has_default(parameters[parameter]):
                given[parameter] = getattr(values, name)
        return given


class ArgumentsError(Exception):
    """The model wrote arguments that do not fit; the message is for the model."""


@overload
def tool(function: Function) -> FunctionTool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    approval: Approval = "auto",
    timeout: float | None = TIMEOUT,
    parallel: bool = True,
) -> Callable[[Function], FunctionTool]: ...
def tool(
    function: Function | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    approval: Approval = "auto",
    timeout: float | None = TIMEOUT,
    parallel: bool = True,
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
        approval: ``auto`` to call it without a question, ``ask`` to ask a person before each call, ``deny``
            to refuse every call.
        timeout: Seconds after which a call is given up; None for none.
        parallel: False for a function that must be called on the thread of the caller, as one that uses a
            database connection may have to; several calls of a run are made at the same time otherwise.

    Raises:
        ToolDefinitionError: A parameter cannot be described, or the name is not allowed.
    """
    if approval not in get_args(Approval):
        raise ToolDefinitionError(f"approval must be one of {', '.join(get_args(Approval))}, got {approval!r}.")
    if timeout is not None and not timeout > 0:
        raise ToolDefinitionError(f"timeout must be seconds above 0, or None, got {timeout!r}.")

    def made(wrapped: Function) -> FunctionTool:
        plain = _make(wrapped, name, description)
        return replace(plain, approval=approval, timeout=timeout, parallel=parallel)

    return made if function is None else made(function)


def as_tools(tools: Iterable[ToolLike | FunctionTool]) -> tuple[list[dict[str, Any]], dict[str, FunctionTool]]:
    """The definitions to send, and the functions among the tools by name.

    >>> as_tools(["quark_search"])
    ([{'type': 'quark_search'}], {})

    Args:
        tools: Names of built-in tools, definitions, and Python functions.

    Raises:
        ToolDefinitionError: A tool is none of these, or two functions share a name.
    """
    if isinstance(tools, (str, dict, Tool)) or not isinstance(tools, Iterable):
        raise ToolDefinitionError("Pass tools in a list: tools=[…].")
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
            functions[made.name] = made
            definitions.append(made.definition)
        else:
            raise ToolDefinitionError(f"A tool is a name, a definition or a function, not {type(item).__name__}.")
    _check_names(definitions)
    return definitions, functions


def _check_names(definitions: list[dict[str, Any]]) -> None:
    functions = [function for definition in definitions if isinstance(function := definition.get("function"), dict)]
    names = [function.get("name") for function in functions]
    for name in names:
        if names.count(name) > 1:
            raise ToolDefinitionError(f"Two tools are called {name!r}; give one another name.")


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
        hints = _hints(function)
        signature = inspect.signature(function)
    except Exception as error:  # an annotation is an expression, and may fail in any way
        raise ToolDefinitionError(f"The signature of {name} cannot be read: {error}.") from error
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(signature.parameters.values()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDefinitionError(
                f"The parameter {parameter.name} of {name} has no fixed name; a model can only fill named ones."
            )
        # Fields have plain names of their own: a parameter may be called like a method of pydantic.
        field = {f"p{number}": _field(parameter, hints.get(parameter.name, Any), descriptions.get(parameter.name))}
        try:
            _schema(_model_of(name, field))
        except Exception as error:
            reason = str(error).partition("\n")[0].partition(". Set `arbitrary_types_allowed")[0]
            raise ToolDefinitionError(
                f"The parameter {parameter.name} of {name} has a type that JSON cannot carry: {reason}"
            ) from error
        fields |= field
    return _model_of(name, fields)


def _hints(function: Function) -> dict[str, Any]:
    """The types of the parameters; what the function returns is not asked, and may have a name of its own place."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError:
        plain = inspect.unwrap(function)
        named = {name: hint for name, hint in inspect.get_annotations(plain).items() if name != "return"}
        holder = SimpleNamespace(__annotations__=named)
        return typing.get_type_hints(holder, globalns=getattr(plain, "__globals__", {}), include_extras=True)


def _field(parameter: inspect.Parameter, annotation: Any, description: str | None) -> tuple[Any, Any]:
    """The type and the field of a parameter; what its annotation says of it outranks the docstring."""
    if isinstance(parameter.default, FieldInfo):
        annotation = Annotated[annotation, parameter.default]
    facts: dict[str, Any] = {"alias": parameter.name}
    if _has_default(parameter):
        facts["default"] = parameter.default
    if description and not FieldInfo.from_annotation(annotation).description:
        facts["description"] = description
    return annotation, Field(**facts)


def _has_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not parameter.empty and not isinstance(parameter.default, FieldInfo)


def _model_of(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


class _SchemaWriter(GenerateJsonSchema):
    """Leaves out what JSON cannot carry, such as a default that marks a missing value, without a warning."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        pass


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, schema_generator=_SchemaWriter)
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
