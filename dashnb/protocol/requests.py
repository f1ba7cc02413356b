"""What may be sent: the bodies and queries of the operations, with the documented limits.

Unknown fields are accepted and ignored, as clients in other languages send more than is documented.

Sources: the parameter tables of each reference page; "Errors" for the ranges of the sampling parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

METADATA_PAIRS = 16
METADATA_KEY_CHARACTERS = 64
METADATA_VALUE_CHARACTERS = 512
PAGE_DEFAULT = 20
PAGE_LIMIT = 100
PAGE_NUMBER_LIMIT = 1_000_000
LAST_MESSAGES = 10
ID_CHARACTERS = 80
COUNT_LIMIT = 2**31 - 1
# The pair of a run's or message's metadata that names the question of ours which it belongs to. A run whose id no
# answer told is found, and known to be ours, by it.
REQUEST_KEY = "dashnb_request"
RESERVED_FUNCTION_NAMES = frozenset({"search"})


def is_id(text: str) -> bool:
    """Whether a text may be the id of anything.

    >>> is_id("thread_1"), is_id(""), is_id("thread\\0")
    (True, False, False)
    """
    return 0 < len(text) <= ID_CHARACTERS and text.isprintable()


def _check_id(text: str) -> str:
    if not is_id(text):
        raise ValueError(f"an id has 1 to {ID_CHARACTERS} characters, none of them invisible")
    return text


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(metadata) > METADATA_PAIRS:
        raise ValueError(f"at most {METADATA_PAIRS} pairs are allowed, got {len(metadata)}")
    for key, value in metadata.items():
        if len(key) > METADATA_KEY_CHARACTERS:
            raise ValueError(f"the key {key[:20]!r}… is longer than {METADATA_KEY_CHARACTERS} characters")
        if isinstance(value, (dict, list)):
            raise ValueError(f"the value of {key!r} must be a string")
        if len(str(value)) > METADATA_VALUE_CHARACTERS:
            raise ValueError(f"the value of {key!r} is longer than {METADATA_VALUE_CHARACTERS} characters")
    return metadata


def _or(empty: Any) -> BeforeValidator:
    """Reads null as the given empty value: the official SDK sends null for what was left out."""
    return BeforeValidator(lambda value: empty() if value is None else value)


Metadata = Annotated[dict[str, Any], _or(dict), AfterValidator(_check_metadata)]
ObjectId = Annotated[str, Field(min_length=1), AfterValidator(_check_id)]
Anchor = Annotated[ObjectId | None, BeforeValidator(lambda text: text or None)]
FileIds = Annotated[list[ObjectId], Field(fail_fast=True), _or(list)]
Temperature = Annotated[float, Field(ge=0, lt=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
TopK = Annotated[int, Field(ge=0, le=COUNT_LIMIT)]
Tokens = Annotated[int, Field(ge=1, le=COUNT_LIMIT)]


class Body(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class FunctionSpec(Body):
    """The function of a function tool."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _allowed(self) -> FunctionSpec:
        if self.name in RESERVED_FUNCTION_NAMES:
            raise ValueError(f"a function may not be called {self.name!r}; choose another name")
        return self


class ToolSpec(Body):
    """A tool definition. Unknown types pass, as plugins are named by their own ids."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(min_length=1)
    function: FunctionSpec | None = None

    @model_validator(mode="after")
    def _whole(self) -> ToolSpec:
        if self.type == "function" and self.function is None:
            raise ValueError("a tool of type 'function' needs the field 'function'")
        return self


def check_names(tools: Iterable[ToolSpec]) -> None:
    """Check that no two tools answer to one name, as a model names the tool that it calls.

    >>> check_names([ToolSpec(type="calculator"), ToolSpec(type="function", function=FunctionSpec(name="f"))])

    Raises:
        ValueError: Two functions have one name, or a function that of a built-in tool.
    """
    names: set[str] = set()
    given = list(tools)
    built_in = {tool.type for tool in given} - {"function"}
    for name in (tool.function.name for tool in given if tool.type == "function" and tool.function is not None):
        if name in built_in:
            raise ValueError(
                f"the function {name[:80]!r} has the name of a built-in tool beside it; rename the function"
            )
        if name in names:
            raise ValueError(f"there are two functions called {name[:80]!r}; rename one of them")
        names.add(name)


def _named_apart(tools: list[ToolSpec]) -> list[ToolSpec]:
    check_names(tools)
    return tools


Tools = Annotated[list[ToolSpec], Field(fail_fast=True), AfterValidator(_named_apart)]


class Sampling(Body):
    """The parameters that shape the model's choice of words."""

    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    max_tokens: Tokens | None = None


class AssistantUpdate(Sampling):
    """Body of "Update an assistant": what is left out keeps its value, ``tools: []`` clears the list."""

    model: Annotated[str, Field(min_length=1)] | None = None
    name: str | None = None
    description: str | None = None
    instructions: str | None = None
    tools: Tools | None = None
    file_ids: FileIds = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


class AssistantCreate(AssistantUpdate):
    """Body of "Create an assistant"."""

    model: str = Field(min_length=1)


class MessageCreate(Body):
    """Body of "Create a message"."""

    content: str = Field(min_length=1)
    role: Annotated[Literal["user", "assistant"], _or(lambda: "user")] = "user"
    file_ids: FileIds = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


class ThreadCreate(Body):
    """Body of "Create a thread". Clients also send nothing, ``{}`` or the JSON text ``""``."""

    messages: Annotated[list[MessageCreate], Field(fail_fast=True), _or(list)] = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        return value or {}


class MetadataUpdate(Body):
    """Body of the updates of threads, messages and runs."""

    metadata: Metadata = Field(default_factory=dict)


class TruncationStrategy(Body):
    """How much of the thread reaches the model."""

    type: Literal["last_messages"] = "last_messages"
    last_messages: Annotated[int, _or(lambda: LAST_MESSAGES), Field(ge=1, le=COUNT_LIMIT)] = LAST_MESSAGES


class RunCreate(Sampling):
    """Body of "Create a run". ``response_format`` is accepted and ignored: one SDK always sends it."""

    assistant_id: ObjectId
    model: Annotated[str, Field(min_length=1)] | None = None
    instructions: str | None = None
    additional_instructions: str | None = None
    additional_messages: Annotated[list[MessageCreate], Field(fail_fast=True), _or(list)] = Field(default_factory=list)
    tools: Tools | None = None
    metadata: Metadata = Field(default_factory=dict)
    stream: Annotated[bool, _or(bool)] = False
    truncation_strategy: TruncationStrategy | None = None
    max_prompt_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None


class ThreadRunCreate(RunCreate):
    """Body of "Create a thread and run"."""

    thread: Annotated[ThreadCreate, _or(dict)] = Field(default_factory=ThreadCreate)


class ToolOutput(Body):
    """The result of one function call; without an id, outputs and calls pair by position."""

    tool_call_id: Annotated[str, _or(str)] = ""
    output: str


class ToolOutputs(Body):
    """Body of "Submit tool outputs"."""

    tool_outputs: Annotated[list[ToolOutput], Field(fail_fast=True)] = Field(min_length=1)
    stream: Annotated[bool, _or(bool)] = False


class FileAttach(Body):
    """Body of "Attach a file to an assistant"."""

    file_id: ObjectId


class ListQuery(Body):
    """Query of every list. One SDK pages by ``page_no`` and ``page_size``; a given ``limit`` outranks the size."""

    limit: int = Field(default=PAGE_DEFAULT, ge=1, le=PAGE_LIMIT)
    order: Literal["asc", "desc"] = "desc"
    after: Anchor = None
    before: Anchor = None
    page_no: int = Field(default=1, ge=1, le=PAGE_NUMBER_LIMIT)
    page_size: int | None = Field(default=None, ge=1, le=PAGE_LIMIT)

    @model_validator(mode="after")
    def _one_direction(self) -> ListQuery:
        if self.after and self.before:
            raise ValueError("'after' and 'before' exclude each other")
        if self.page_no > 1 and (self.after or self.before):
            raise ValueError("'page_no' counts from the beginning of a list; 'after' and 'before' exclude it")
        return self

    @property
    def size(self) -> int:
        """How many entries a page has."""
        return self.page_size if self.page_size and "limit" not in self.model_fields_set else self.limit

    @property
    def skipped(self) -> int:
        """How many entries come before the page."""
        return (self.page_no - 1) * self.size
