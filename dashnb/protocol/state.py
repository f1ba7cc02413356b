"""What the events of a run add up to.

A `RunState` starts empty, takes the events of one run in order (over several streams, if functions
were called in between) and always shows the sum: text, steps, tool calls, usage, status, times.

The merge rules:

* The last name wins over the object: a step is completed by the event ``thread.run.step.completed``
  even if the object in it says ``in_progress``.
* A message delta is appended to the part with its ``index``, else to the part at its position.
* A step delta is appended to the call with its ``index``, else to the call at its position. All
  payload keys of one call (``quark_search``, ``plugin_name``) are one record.
* The completed message, and a finished step that shows its calls, replace what was merged.
* Unknown events change nothing.

Times are given by the caller in milliseconds, on any clock that never goes back.

Sources: streaming events reference; Runs reference, streamed answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from dashnb.protocol.events import RunEvent
from dashnb.protocol.lifecycle import FINAL_STEP_STATUSES, is_final
from dashnb.protocol.objects import (
    ErrorInfo,
    LastError,
    Message,
    MessageDelta,
    RequiredAction,
    Run,
    RunStep,
    StepDelta,
    Thread,
    Usage,
)
from dashnb.protocol.pieces import Aside, MessagePieces, Step, StepPieces, ToolCall, call_of

__all__ = ["ABANDONED", "Aside", "RunState", "Step", "ToolCall"]

# What a run is called when reading stopped and the service could not be told to stop it.
ABANDONED = "abandoned"


class RunState:
    """The sum of the events of one run.

    >>> from dashnb.protocol.events import event_of
    >>> state = RunState()
    >>> state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued"}))
    >>> for piece in ("Hel", "lo"):
    ...     delta = {"content": [{"type": "text", "text": {"value": piece}}]}
    ...     state.apply(event_of("thread.message.delta", {"id": "message_1", "delta": delta}))
    >>> state.id, state.status, state.text
    ('run_1', 'queued', 'Hello')

    Attributes:
        run: The newest run object, or None before the first event.
        thread_id: The thread, once known.
        status: The run's status; ``""`` before the first event, ``abandoned`` if reading stopped and
            the service could not be told.
        usage: Tokens, or None.
        error: ``last_error`` of the run or the content of an ``error`` event, or None.
        done: True if ``done`` was the last event, so that the last stream came to its end.
        requested_at: When the first request was sent, in milliseconds of the caller's clock.
        first_token_at: When the first text that is not empty arrived.
        ended_at: When the run's final event arrived.
        event_count: How many events were applied.
        last_event_id: The id of the last event that had one, ``""`` if the server gives none.
        reasoning: What a reasoning model thought, apart from the answer; ``""`` if it shows nothing of it.
        asides: What only a person sees of the calls of functions, by the call's id; not from the wire.
        outputs: What functions that were called returned, by the call's id or else its number, until the run
            has taken it; not from the wire.
        request_key: What names the request for this run in the run's metadata; ``""`` before it is sent.
    """

    def __init__(self, *, requested_at: float | None = None) -> None:
        self.run: Run | None = None
        self.thread_id = ""
        self.status = ""
        self.usage: Usage | None = None
        self.error: LastError | None = None
        self.done = False
        self.requested_at = requested_at
        self.first_token_at: float | None = None
        self.ended_at: float | None = None
        self.event_count = 0
        self.last_event_id = ""
        self.reasoning = ""
        self.asides: dict[str, Aside] = {}
        self.outputs: dict[str, str] = {}
        self.request_key = ""
        self._steps: dict[str, StepPieces] = {}
        self._messages: dict[str, MessagePieces] = {}

    # --- reading ---------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's id, ``""`` before the first event."""
        return self.run.id if self.run else ""

    @property
    def model(self) -> str:
        """The model of the run, ``""`` if not known."""
        return self.run.model if self.run else ""

    @property
    def assistant_id(self) -> str:
        """The assistant of the run, ``""`` if not known."""
        return self.run.assistant_id if self.run else ""

    @property
    def text(self) -> str:
        """The answer so far: the text of the run's messages, with an empty line between two of them."""
        return "\n\n".join(text for message in self._messages.values() if (text := message.text))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in the order in which they began."""
        return tuple(step.snapshot(self._messages) for step in self._steps.values())

    @property
    def messages(self) -> tuple[Message, ...]:
        """The completed messages of the run, in order."""
        return tuple(message.whole for message in self._messages.values() if message.whole)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of all steps, in order."""
        return tuple(call for step in self.steps for call in step.calls)

    @property
    def required_action(self) -> RequiredAction | None:
        """What the caller has to do, or None unless the status is ``requires_action``."""
        return self.run.required_action if self.run and self.status == "requires_action" else None

    @property
    def pending_calls(self) -> tuple[ToolCall, ...]:
        """The function calls that the run waits for, in order."""
        action = self.required_action
        calls = action.submit_tool_outputs.tool_calls if action else []
        return tuple(call_of(number, call) for number, call in enumerate(calls))

    @property
    def is_final(self) -> bool:
        """True if the run will not change any more, or nobody will read its changes."""
        return is_final(self.status) or self.status == ABANDONED

    @property
    def time_to_first_token(self) -> float | None:
        """Milliseconds from the request to the first text, or None."""
        return _between(self.requested_at, self.first_token_at)

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds from the request to the end, the time for tools included, or None."""
        return _between(self.requested_at, self.ended_at)

    def __repr__(self) -> str:
        return f"RunState(id={self.id!r}, status={self.status!r}, steps={len(self._steps)}, chars={len(self.text)})"

    # --- writing ---------------------------------------------------------------------------

    def apply(self, event: RunEvent, *, at: float | None = None) -> None:
        """Take one event, the next of the run.

        Args:
            event: The event.
            at: When it arrived, in milliseconds of the caller's clock.
        """
        self.event_count += 1
        self.last_event_id = event.id or self.last_event_id
        self.done = event.name == "done"
        self.reasoning += event.reasoning
        data = event.data
        verb = event.name.rpartition(".")[2]
        if isinstance(data, Run):
            self._take_run(data, verb if verb != "created" else data.status or "queued", at)
        elif isinstance(data, RunStep):
            self._take_step(data, verb if verb in FINAL_STEP_STATUSES else "in_progress", at)
        elif isinstance(data, StepDelta):
            self._step(data.id, at).add(data)
        elif isinstance(data, Message):
            self._take_message(data, verb in ("completed", "incomplete"), at)
        elif isinstance(data, MessageDelta):
            self._message(data.id).add(data.delta.content)
            self._see_text(event.text, at)
        elif isinstance(data, Thread):
            self.thread_id = data.id
        elif isinstance(data, ErrorInfo):
            self.error = LastError(code=data.code or "error", message=data.message)

    def merge(
        self, run: Run, *, steps: Iterable[RunStep] = (), messages: Iterable[Message] = (), at: float | None = None
    ) -> None:
        """Take objects that were read one by one, oldest first; they outrank what the events said.

        Args:
            run: The run, as retrieved or listed.
            steps: Its steps.
            messages: Its messages; those of the user are left out.
            at: The time of reading, in milliseconds of the caller's clock.
        """
        for step in steps:
            self._take_step(step, step.status, at)
        for message in messages:
            if message.role == "assistant":
                self._take_message(message, True, at)
        self._take_run(run, run.status, at)

    def end(self, status: str, *, at: float | None = None, error: LastError | None = None) -> None:
        """Mark how the run ended for us when no event will say so: ``cancelled``, ``abandoned``, ``failed``.

        A run that has already ended keeps its end.
        """
        if is_final(self.status):
            return
        self.error = error or self.error
        self._end(status, at)

    # --- the rules -------------------------------------------------------------------------

    def _take_run(self, run: Run, status: str, at: float | None) -> None:
        self.run = run
        self.thread_id = run.thread_id or self.thread_id
        self.usage = run.usage or self.usage
        self.error = run.last_error or self.error
        if self.status == ABANDONED:  # somebody reads it again
            self.ended_at = None
        self.status = status
        if is_final(status):
            self._end(status, at)
        elif status == "requires_action":
            self._show_pending_calls(at)

    def _end(self, status: str, at: float | None) -> None:
        self.status = status
        self.ended_at = at if self.ended_at is None else self.ended_at
        for step in self._steps.values():
            if step.status == "in_progress":
                step.end(status if status in FINAL_STEP_STATUSES else "cancelled", at)

    def _show_pending_calls(self, at: float | None) -> None:
        # The service may leave out the deltas of function calls; the open step then has no calls yet.
        open_steps = [step for step in self._steps.values() if step.type == "tool_calls" and not step.is_final]
        for step in open_steps[-1:]:
            step.replace(list(self.pending_calls))

    def _take_step(self, step: RunStep, status: str, at: float | None) -> None:
        known = self._step(step.id, at)
        known.take(step)
        self.thread_id = step.thread_id or self.thread_id
        if status in FINAL_STEP_STATUSES:
            known.end(status, at)

    def _take_message(self, message: Message, whole: bool, at: float | None) -> None:
        known = self._message(message.id)
        if whole:
            known.finish(message)
            self._see_text(message.text, at)

    def _see_text(self, text: str, at: float | None) -> None:
        if text and self.first_token_at is None:
            self.first_token_at = at

    def _step(self, step_id: str, at: float | None) -> StepPieces:
        return self._steps.setdefault(step_id, StepPieces(step_id, started_at=at))

    def _message(self, message_id: str) -> MessagePieces:
        return self._messages.setdefault(message_id, MessagePieces())


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
