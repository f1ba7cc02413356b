"""The objects of the Assistant API: assistants, threads, messages, runs, run steps and their deltas.

Every object keeps the fields it was sent, known or not; `dashnb.protocol.spellings` brings the
spellings of the wire into one form.

Sources: Assistants, Threads, Messages, Runs and Run Steps references, sections "… object".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dashnb.protocol.spellings import (
    Flag,
    Listed,
    Map,
    Milliseconds,
    OrEmpty,
    OrNone,
    Output,
    Real,
    Switch,
    Text,
    Whole,
    failure,
    parts,
    scalar,
)

T = TypeVar("T")


class WireObject(BaseModel):
    """Base of all objects: immutable, unknown fields kept, short in print.

    >>> Thread.model_validate({"id": "thread_1", "object": "thread", "flavour": "new"}).flavour
    'new'
    """

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    def to_dict(self) -> dict[str, Any]:
        """The fields that were sent, by their names on the wire, as plain dicts and lists in the one form."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name in ("id", "type", "name", "role", "status", "code"):
            if value := getattr(self, name, None):
                yield name, value

    __str__ = BaseModel.__repr__


class Stored(WireObject):
    """An object that the service keeps: it has an id, a kind and a time of creation."""

    id: str = Field(min_length=1)
    object: Text = ""
    created_at: Milliseconds = None
    metadata: Map = Field(default_factory=dict)
    request_id: Text = ""


# --- tools and assistants ----------------------------------------------------------------------


class FunctionDefinition(WireObject):
    """What the model is told about a function: name, purpose, JSON schema of the parameters."""

    name: str
    description: Text = ""
    parameters: Map = Field(default_factory=dict)


class Tool(WireObject):
    """A tool that an assistant may use: built in, a function, ``rag``, or a plugin by its id.

    Source: Runs reference, parameter ``tools``.
    """

    type: str
    description: Text = ""
    function: OrNone[FunctionDefinition] = None
    auth: OrNone[dict[str, Any]] = None
    prompt_ra: OrNone[dict[str, Any]] = None

    @property
    def name(self) -> str:
        """The function's name, or the type of any other tool."""
        return self.function.name if self.function else self.type


class Assistant(Stored):
    """A model with instructions and tools, stored on the server."""

    model: Text = ""
    name: Text = ""
    description: Text = ""
    instructions: Text = ""
    tools: Listed[Tool] = Field(default_factory=list)
    file_ids: Listed[str] = Field(default_factory=list)
    temperature: Real = None
    top_p: Real = None
    top_k: Whole = None
    max_tokens: Whole = None


class Thread(Stored):
    """One conversation. Its messages are read with ``client.messages``."""


class File(Stored):
    """A file attached to an assistant or a message. Only the SDKs know it; no page documents it."""

    assistant_id: Text = ""
    message_id: Text = ""


class Deleted(WireObject):
    """The answer to a delete. Trust ``deleted``: the spelling of ``object`` varies."""

    id: Text = ""
    object: Text = ""
    deleted: Flag = False
    request_id: Text = ""


class Page(WireObject, Generic[T]):
    """One page of a list, in the order asked for.

    >>> page = Page[Thread].model_validate({"data": [{"id": "thread_1"}], "has_more": False})
    >>> len(page), [thread.id for thread in page]
    (1, ['thread_1'])

    Source: every "List …" section.
    """

    object: Text = "list"
    data: Listed[T] = Field(default_factory=list)
    first_id: Text = ""
    last_id: Text = ""
    has_more: Flag = False
    request_id: Text = ""

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> T:
        return self.data[index]

    def __iter__(self) -> Iterator[T]:  # type: ignore[override]  # a page is read as its objects
        return iter(self.data)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield "data", self.data
        yield "has_more", self.has_more


# --- messages ----------------------------------------------------------------------------------


class TextContent(WireObject):
    """The text of a part, with annotations (unused by the service so far)."""

    value: Text = ""
    annotations: Listed[dict[str, Any]] = Field(default_factory=list)


class ContentPart(WireObject):
    """One part of a message: text, or a type this version does not know, kept as it came."""

    type: Text = "text"
    index: Whole = None
    text: OrNone[TextContent] = None
    image_file: OrNone[dict[str, Any]] = None


Content = Annotated[list[ContentPart], BeforeValidator(parts)]


class Message(Stored):
    """One entry of a thread, by the user or by the assistant."""

    thread_id: Text = ""
    role: Text = ""
    content: Content = Field(default_factory=list)
    assistant_id: Text = ""
    run_id: Text = ""
    file_ids: Listed[str] = Field(default_factory=list)
    incomplete_details: OrNone[dict[str, Any]] = None
    completed_at: Milliseconds = None
    incomplete_at: Milliseconds = None
    name: Text = ""
    plugin_call: Map = Field(default_factory=dict)
    tool_calls: Listed[dict[str, Any]] = Field(default_factory=list)
    status: Text = ""
    sender: Text = Field(default="", alias="from")

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text.value for part in self.content if part.text)


class MessageDeltaBody(WireObject):
    """What a message delta adds."""

    role: Text = ""
    content: Content = Field(default_factory=list)
    file_ids: Listed[str] = Field(default_factory=list)


class MessageDelta(WireObject):
    """A piece of a message. Source: streaming events, ``thread.message.delta``."""

    id: str = Field(min_length=1)
    object: Text = ""
    delta: OrEmpty[MessageDeltaBody] = Field(default_factory=MessageDeltaBody)
    request_id: Text = ""


# --- runs --------------------------------------------------------------------------------------


class LastError(WireObject):
    """Why a run or a step failed."""

    code: Text = ""
    message: Text = ""


class Usage(WireObject):
    """Tokens of all model calls of a run. Older answers say ``prompt_tokens`` and ``completion_tokens``.

    >>> Usage.model_validate({"prompt_tokens": 66, "completion_tokens": 9, "total_tokens": 75}).input_tokens
    66
    """

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            yield name, getattr(self, name)

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        fields = {name: number for name, number in value.items() if scalar(number) is not None}
        for new, old in (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")):
            if old in fields:
                fields.setdefault(new, fields.pop(old))
        counts = [fields.get("input_tokens", 0), fields.get("output_tokens", 0)]
        if all(isinstance(count, int) for count in counts):
            fields.setdefault("total_tokens", sum(counts))
        return fields


class FunctionCall(WireObject):
    """A function the model wants called: arguments as JSON text, output once there is one."""

    name: Text = ""
    arguments: Text = ""
    output: Output = None


class StepToolCall(WireObject):
    """A tool call as it travels: a function, or a payload under the tool's own name or ``plugin_name``."""

    id: Text = ""
    type: Text = ""
    index: Whole = None
    function: OrNone[FunctionCall] = None

    @property
    def kind(self) -> str:
        """``function``, or the tool's own name: the type, else the only payload's key."""
        key, _ = self.payload
        return "function" if self.function else self.type or ("" if key == "plugin_name" else key)

    @property
    def tool(self) -> str:
        """The function's name, ``""`` in a delta that leaves it out; for other calls the tool's own name."""
        return (self.function.name if self.function else "") if self.kind == "function" else self.kind

    @property
    def payload(self) -> tuple[str, FunctionCall]:
        """The key and the content of the payload: under ``type``, else ``plugin_name``, else the only object.

        Source: Run Steps reference, ``step_details``; Runs reference, streamed answer with a search.
        """
        if self.function:
            return "function", self.function
        fields = self.model_extra or {}
        objects = [key for key, value in fields.items() if isinstance(value, dict)]
        for key in (self.type, "plugin_name", *objects[:1]):
            if isinstance(fields.get(key), dict):
                return key, FunctionCall.model_validate(fields[key])
        return self.type, FunctionCall()

    @model_validator(mode="after")
    def _payload_is_readable(self) -> StepToolCall:
        _ = self.payload  # raises here, where the object is read, and not where the call is looked at
        return self


class SubmitToolOutputs(WireObject):
    """The calls whose outputs the run waits for."""

    tool_calls: Listed[StepToolCall] = Field(default_factory=list)


class RequiredAction(WireObject):
    """What the caller has to do before the run goes on."""

    type: Text = ""
    submit_tool_outputs: OrEmpty[SubmitToolOutputs] = Field(default_factory=SubmitToolOutputs)


class Run(Stored):
    """One execution of an assistant on a thread. Source: Runs reference, "Run object"."""

    thread_id: Text = ""
    assistant_id: Text = ""
    status: Text = ""
    required_action: OrNone[RequiredAction] = None
    last_error: Annotated[LastError | None, BeforeValidator(failure)] = None
    expires_at: Milliseconds = None
    started_at: Milliseconds = None
    cancelled_at: Milliseconds = None
    failed_at: Milliseconds = None
    completed_at: Milliseconds = None
    model: Text = ""
    instructions: Text = ""
    tools: Listed[Tool] = Field(default_factory=list)
    file_ids: Listed[str] = Field(default_factory=list)
    usage: OrNone[Usage] = None
    temperature: Real = None
    top_p: Real = None
    top_k: Whole = None
    max_tokens: Whole = None
    truncation_strategy: OrNone[dict[str, Any]] = None
    incomplete_details: OrNone[dict[str, Any]] = None
    enable_search: Switch = None
    stop: Any = None
    tool_choice: Any = None

    @property
    def pending_calls(self) -> list[StepToolCall]:
        """The function calls that wait for an output: none unless the status is ``requires_action``.

        ``required_action`` alone proves nothing: the answer to a submit still carries the old one.
        """
        if self.status != "requires_action" or self.required_action is None:
            return []
        return self.required_action.submit_tool_outputs.tool_calls


# --- run steps ---------------------------------------------------------------------------------


class MessageCreation(WireObject):
    """The message that a step writes."""

    message_id: Text = ""


class StepDetails(WireObject):
    """What a step does: writes a message, or calls tools."""

    type: Text = ""
    message_creation: OrNone[MessageCreation] = None
    tool_calls: Listed[StepToolCall] = Field(default_factory=list)


class RunStep(Stored):
    """One unit of work of a run. Source: Run Steps reference, "Run step object"."""

    assistant_id: Text = ""
    thread_id: Text = ""
    run_id: Text = ""
    type: Text = ""
    status: Text = ""
    step_details: OrEmpty[StepDetails] = Field(default_factory=StepDetails)
    last_error: Annotated[LastError | None, BeforeValidator(failure)] = None
    started_at: Milliseconds = None
    expires_at: Milliseconds = None
    expired_at: Milliseconds = None
    cancelled_at: Milliseconds = None
    failed_at: Milliseconds = None
    completed_at: Milliseconds = None
    usage: OrNone[Usage] = None


class StepDeltaBody(WireObject):
    """What a step delta adds."""

    step_details: OrEmpty[StepDetails] = Field(default_factory=StepDetails)


class StepDelta(WireObject):
    """A piece of a step. Source: streaming events, ``thread.run.step.delta``."""

    id: str = Field(min_length=1)
    object: Text = ""
    delta: OrEmpty[StepDeltaBody] = Field(default_factory=StepDeltaBody)
    request_id: Text = ""


class ErrorInfo(WireObject):
    """The data of an ``error`` event and the body of an error answer."""

    code: Text = ""
    message: Text = ""
    request_id: Text = ""
