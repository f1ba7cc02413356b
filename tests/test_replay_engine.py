"""A recording that is played again gives the run it was: texts, calls, outputs and tokens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from dashnb.errors import ConfigurationError, ProtocolError
from dashnb.local.models.engine import CallPiece, EngineError, OutputPiece, Piece, Said, Spent, TextPiece, Turn
from dashnb.local.models.replay import ReplayEngine
from dashnb.local.plugins import PluginError
from dashnb.local.service import make_engine
from dashnb.protocol.events import RunEvent, event_of
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.state import RunState
from scripted import Api, names, of, parse, path_of, serving

TRANSCRIPTS = Path(__file__).parent / "transcripts"
PLAIN = TRANSCRIPTS / "run-plain.sse"
SEARCH = TRANSCRIPTS / "run-quark-search.jsonl"
SUBMIT = TRANSCRIPTS / "submit-tool-outputs.sse"


def folded(events: list[RunEvent]) -> RunState:
    state = RunState()
    for event in events:
        state.apply(event)
    return state


def played(path: Path, *, submit: bool = False) -> RunState:
    """The state that a client folds from a run that plays this recording."""

    async def never(arguments: str, definition: dict[str, Any]) -> str:
        raise PluginError("A recording has its outputs with it.")

    events: list[tuple[str, Any]]
    with serving(ReplayEngine.from_file(path), plugins={"quark_search": never}) as api:
        tools = folded(parse_recording(path.read_bytes())).run
        assert tools is not None
        assistant = api.assistant(tools=[tool.to_dict() for tool in tools.tools])
        with api.stream(f"/threads/{api.thread('Hello')}/runs", assistant_id=assistant) as stream:
            events = list(stream)
        if submit:
            assert names(events)[-2:] == ["thread.run.requires_action", "done"]
            events = events[:-1] + api.submit(path_of(events), {"output": "rain"})
    return folded([event_of(name, data) if name != "done" else RunEvent("done") for name, data in events])


def facts(state: RunState) -> dict[str, Any]:
    calls = [call for step in state.steps for call in step.calls]
    return {
        "status": state.status,
        "texts": [step.text for step in state.steps if step.text],
        "calls": [(call.type, call.name, call.arguments, call.output) for call in calls],
        "usage": state.usage and (state.usage.input_tokens, state.usage.output_tokens, state.usage.total_tokens),
    }


# --- the recordings ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PLAIN, SEARCH, SUBMIT], ids=lambda path: path.name)
def test_a_recorded_run_is_the_same_when_it_is_played(path: Path) -> None:
    expected = facts(folded(parse_recording(path.read_bytes())))
    assert facts(played(path, submit=path == SUBMIT)) == expected
    assert expected["status"] == "completed"
    assert expected["usage"]


@pytest.mark.parametrize("path", [PLAIN, SUBMIT], ids=lambda path: path.name)
def test_a_recorded_text_comes_in_the_recorded_pieces(path: Path) -> None:
    recorded = parse_recording(path.read_bytes())
    with serving(ReplayEngine.from_file(path)) as api:
        events = api.run("function:get_current_weather")
        if path == SUBMIT:
            events = api.submit(path_of(events), {"output": "rain"})
    said = [delta["delta"]["content"][0]["text"]["value"] for delta in of(events, "thread.message.delta")]
    assert said == [event.text for event in recorded if event.name == "thread.message.delta"]


def test_a_function_is_answered_by_the_caller_and_not_by_the_recording() -> None:
    with serving(ReplayEngine.from_file(SUBMIT)) as api:
        events = api.run("function:get_current_weather")
        second = api.submit(path_of(events), {"output": "snow"})
    call = second[0][1]["step_details"]["tool_calls"][0]
    assert call["function"]["output"] == "snow"


# --- rounds --------------------------------------------------------------------------------------


def turn(rounds: int = 0) -> Turn:
    return Turn("qwen-max", "", (), (Said("user", "Hello"),), ((),) * rounds)


def answered(engine: ReplayEngine, rounds: int = 0) -> list[Piece]:
    async def collect() -> list[Piece]:
        return [piece async for piece in engine.answer(turn(rounds))]

    return asyncio.run(collect())


def step(number: int, *calls: dict[str, Any]) -> dict[str, Any]:
    details = {"type": "tool_calls", "tool_calls": list(calls)}
    return {"id": f"step_{number}", "type": "tool_calls", "status": "completed", "step_details": details}


def said(number: int, text: str) -> list[tuple[str, dict[str, Any]]]:
    details = {"type": "message_creation", "message_creation": {"message_id": f"message_{number}"}}
    whole = {"id": f"message_{number}", "role": "assistant", "content": text}
    made = {"id": f"step_{number}", "type": "message_creation", "step_details": details}
    return [("thread.run.step.created", made), ("thread.message.completed", whole)]


def recording(*events: tuple[str, dict[str, Any]]) -> ReplayEngine:
    return ReplayEngine(event_of(name, data) for name, data in events)


def function(name: str, arguments: str, output: str) -> dict[str, Any]:
    return {"id": "", "type": "function", "function": {"name": name, "arguments": arguments, "output": output}}


def test_each_round_ends_with_its_calls_and_the_tokens_are_spent_in_the_last() -> None:
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    engine = recording(
        *said(1, "One moment."),
        ("thread.run.step.completed", step(2, function("f", "1", "a"), function("g", "2", "b"))),
        ("thread.run.step.completed", step(3, {"type": "calculator", "calculator": {"arguments": "3", "output": "c"}})),
        *said(4, "Done."),
        ("thread.run.completed", {"id": "run_1", "status": "completed", "usage": usage}),
    )
    assert answered(engine, 0) == [
        TextPiece("One moment."),
        CallPiece(0, "f"),
        CallPiece(0, "f", "1"),
        CallPiece(1, "g"),
        CallPiece(1, "g", "2"),
    ]
    assert answered(engine, 1) == [CallPiece(0, "calculator"), CallPiece(0, "calculator", "3"), OutputPiece(0, "c")]
    assert answered(engine, 2) == [TextPiece("Done."), Spent(5, 3)]


def test_an_output_that_is_a_list_is_played_as_one_text() -> None:
    call = {"type": "code_interpreter", "code_interpreter": {"arguments": "{}", "output": ["1", "2"]}}
    pieces = answered(recording(("thread.run.step.completed", step(1, call))))
    assert pieces[-1] == OutputPiece(0, "12")


def test_a_call_without_output_is_played_with_an_empty_one() -> None:
    call = {"type": "calculator", "calculator": {"arguments": "{}"}}
    assert answered(recording(("thread.run.step.completed", step(1, call))))[-1] == OutputPiece(0, "")


def test_a_recording_that_stopped_at_a_function_ends_there() -> None:
    engine = recording(("thread.run.step.completed", step(1, function("f", "{}", ""))))
    assert len(answered(engine)) == 2
    with pytest.raises(EngineError) as caught:
        answered(engine, 1)
    assert caught.value.code == "recording_ended"


def test_a_recording_that_has_ended_fails_the_run_with_a_code_of_its_own() -> None:
    engine = recording(("thread.run.step.completed", step(1, function("f", "{}", ""))))
    with serving(engine) as api:
        events = api.submit(path_of(api.run("function:f")), {"output": "x"})
    error = of(events, "thread.run.failed")[0]["last_error"]
    assert error == {"code": "recording_ended", "message": "The recording has ended; it holds no further answer."}
    assert names(events)[-1] == "done"


def test_a_recording_is_played_to_every_run_from_its_beginning() -> None:
    with serving(ReplayEngine.from_file(PLAIN)) as api:
        assert [names(api.run())[-1] for _ in range(2)] == ["done", "done"]
        assert len({text(api, thread) for thread in ("thread_1", "thread_2")}) == 1


def text(api: Api, thread: str) -> str:
    return str(api.get(f"/threads/{thread}/messages")["data"][0]["content"][0]["text"]["value"])


# --- what is no recording ------------------------------------------------------------------------


def test_a_recording_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"lost\.sse cannot be read: No such file"):
        make_engine(f"replay:{tmp_path / 'lost.sse'}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no events"),
        (b"hello\nworld\n", "holds no events"),
        (b"{}\n", "Line 1 of the recording"),
        (b'{"event": "done"}\n{"event": \n', "Line 2 of the recording"),
        (b"event:thread.run.created\ndata:{\n\n", "thread.run.created does not carry JSON"),
        (b"event:thread.run.created\ndata:[]\n\n", "thread.run.created is malformed"),
        (b"event:done\ndata:[DONE]\n\n", "holds no step of a run"),
        (b'{"event": "thread.run.created", "data": {"id": "run_1"}}\n', "holds no step of a run"),
    ],
)
def test_a_broken_recording_says_what_is_wrong_with_it(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "broken"
    file.write_bytes(content)
    with pytest.raises(ProtocolError, match=reason):
        ReplayEngine.from_file(file)


def test_a_recording_cut_in_its_middle_plays_as_far_as_it_goes() -> None:
    whole = PLAIN.read_bytes()
    events = list(parse(iter([whole[: whole.index(b"event:thread.message.completed")]])))
    deltas = [data["delta"]["content"][0]["text"]["value"] for data in of(events, "thread.message.delta")]
    engine = ReplayEngine(event_of(name, data) for name, data in events)
    assert answered(engine) == [TextPiece(delta) for delta in deltas if delta]


@pytest.mark.parametrize("cut", range(len(SEARCH.read_bytes().splitlines()) + 1))
def test_a_recording_cut_behind_any_event_plays_or_says_why_not(cut: int) -> None:
    content = b"\n".join(SEARCH.read_bytes().splitlines()[:cut])
    try:
        engine = ReplayEngine(parse_recording(content))
    except ProtocolError:
        assert cut < 6  # before the first piece of the first call
        return
    pieces = answered(engine)
    assert all(isinstance(piece, (TextPiece, CallPiece, OutputPiece, Spent)) for piece in pieces)


@pytest.mark.parametrize("name", ["replay", "replay:", "gpt", ""])
def test_an_engine_that_nobody_has_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"there are guide and replay:FILE"):
        make_engine(name)


def test_a_recording_is_found_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    line = {"event": "thread.run.step.completed", "data": step(1, function("f", "{}", ""))}
    (tmp_path / "kept.jsonl").write_text(json.dumps(line) + "\n")
    assert make_engine("replay:~/kept.jsonl").name == "replay"
