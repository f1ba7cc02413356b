"""The ledger keeps what happened, once, whole, for its owner only."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashnb.errors import StoreError
from dashnb.history.ledger import SCHEMA_VERSION, Ledger
from dashnb.history.schema import TABLES
from dashnb.protocol.events import event_of
from dashnb.protocol.objects import LastError
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.state import ABANDONED, RunState

TRANSCRIPTS = Path(__file__).parent / "transcripts"
ASKED_AT = 1795156863000
posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


def folded(name: str) -> RunState:
    """The state of a recorded run whose events arrived 10 ms after each other."""
    state = RunState(requested_at=1000.0)
    for number, event in enumerate(parse_recording((TRANSCRIPTS / name).read_bytes()), 1):
        state.apply(event, at=1000.0 + 10 * number)
    return state


def begun(run_id: str = "run_1", thread_id: str = "thread_1", created_at: int = ASKED_AT) -> RunState:
    """A run whose answer has begun and not ended."""
    state = RunState(requested_at=0.0)
    ids = {"run_id": run_id, "thread_id": thread_id}
    step: dict[str, Any] = {"id": f"step_{run_id}", "type": "message_creation", **ids}
    step["step_details"] = {"type": "message_creation", "message_creation": {"message_id": f"message_{run_id}"}}
    events: list[tuple[str, dict[str, Any]]] = [
        ("thread.run.created", {"id": run_id, "thread_id": thread_id, "status": "queued", "created_at": created_at}),
        ("thread.run.step.created", step),
        ("thread.message.delta", {"id": f"message_{run_id}", "delta": {"content": "The weather in"}}),
    ]
    for number, (event, data) in enumerate(events, 1):
        state.apply(event_of(event, data), at=100.0 * number)
    return state


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    numbers = iter(range(1, 100))
    with Ledger(":memory:", ids=lambda: next(numbers)) as opened:
        yield opened


@pytest.mark.parametrize("name", sorted(path.name for path in TRANSCRIPTS.iterdir()))
def test_a_recorded_run_comes_back_as_it_was(ledger: Ledger, name: str) -> None:
    state = folded(name)
    assert ledger.record(state, prompt="今日の北京の天気は?", recorded_at=ASKED_AT) == state.id
    (run,) = ledger.runs()
    assert state.run is not None
    assert state.usage is not None
    assert {key: run[key] for key in ("id", "thread_id", "assistant_id", "model", "status", "text")} == {
        "id": state.id,
        "thread_id": state.thread_id,
        "assistant_id": state.assistant_id,
        "model": "qwen-max",
        "status": "completed",
        "text": state.text,
    }
    assert run["created_at"] == state.run.created_at
    assert run["duration_ms"] == state.duration_ms
    assert run["time_to_first_token_ms"] == state.time_to_first_token
    assert run["total_tokens"] == state.usage.total_tokens
    assert (run["cost"], run["error_code"]) == (None, None)
    assert ledger.steps()["id"] == [step.id for step in state.steps]
    assert ledger.steps()["position"] == list(range(len(state.steps)))
    assert ledger.steps()["duration_ms"] == [step.duration_ms for step in state.steps]
    assert ledger.tool_calls()["arguments"] == [call.arguments for call in state.tool_calls]
    assert ledger.messages()["role"] == ["user"] + ["assistant"] * len(state.messages)
    assert ledger.messages()["text"] == ["今日の北京の天気は?", *(message.text for message in state.messages)]
    assert ledger.messages()["created_at"] == [ASKED_AT, *(message.created_at for message in state.messages)]


def test_the_columns_of_runs_are_the_promised_ones_in_their_order() -> None:
    assert " ".join(list(TABLES["runs"])[:16]) == (
        "id thread_id assistant_id model engine status created_at duration_ms time_to_first_token_ms input_tokens "
        "output_tokens total_tokens cost prompt text error_code"
    )


def test_a_step_shows_the_tool_its_arguments_and_its_output(ledger: Ledger) -> None:
    ledger.record(folded("submit-tool-outputs.sse"), prompt="", recorded_at=ASKED_AT)
    first, second = ledger.steps()
    assert (first["type"], first["tool"], first["output"]) == ("tool_calls", "get_current_weather", "rain")
    assert json.loads(str(first["arguments"])) == {"location": "Xi'an"}
    assert first["text"] is None
    assert (second["type"], second["tool"], second["arguments"]) == ("message_creation", None, None)
    (call,) = ledger.tool_calls()
    assert (call["step_id"], call["number"], call["name"], call["status"]) == (
        first["id"],
        0,
        "get_current_weather",
        "completed",
    )


def test_several_calls_of_a_step_are_one_step_and_several_calls(ledger: Ledger) -> None:
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued"}))
    calls: list[dict[str, Any]] = [
        {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}', "output": "sun"}},
        {"type": "text_to_image", "text_to_image": {"arguments": "{}", "output": [{"url": "https://x/天.png"}]}},
        {"type": "function", "function": {"name": "pending", "arguments": "{}"}},
    ]
    step = {"id": "step_1", "type": "tool_calls", "step_details": {"type": "tool_calls", "tool_calls": calls}}
    state.apply(event_of("thread.run.step.completed", step))
    ledger.record(state, prompt="?", recorded_at=ASKED_AT)
    (kept,) = ledger.steps()
    assert kept["tool"] == "weather, text_to_image, pending"
    assert kept["arguments"] == '{"city": "Rome"}\n{}\n{}'
    assert kept["output"] == 'sun\n[{"url": "https://x/天.png"}]\n'
    assert ledger.tool_calls()["number"] == [0, 1, 2]
    assert ledger.tool_calls()["output"] == ["sun", '[{"url": "https://x/天.png"}]', None]


def test_recording_a_run_again_replaces_it_and_keeps_its_place(ledger: Ledger) -> None:
    first, second = begun("run_1"), begun("run_2")
    for state in (first, second):
        ledger.record(state, prompt="?", recorded_at=ASKED_AT)
    first.end("cancelled", at=500.0)
    for _ in range(2):
        ledger.record(first, prompt="?", recorded_at=ASKED_AT)
    assert ledger.runs()["id"] == ["run_1", "run_2"]
    assert ledger.runs()["status"] == ["cancelled", "queued"]
    assert ledger.steps()["status"] == ["cancelled", "in_progress"]
    assert len(ledger.messages()) == 4


@pytest.mark.parametrize("status", ["cancelled", "failed", "expired", ABANDONED])
def test_a_run_that_broke_off_keeps_its_text_and_its_message(ledger: Ledger, status: str) -> None:
    state = begun()
    state.end(status, at=350.0)
    ledger.record(state, prompt="And in Rome?", prompt_id="message_0", recorded_at=ASKED_AT)
    (run,) = ledger.runs()
    assert (run["status"], run["text"], run["duration_ms"]) == (status, "The weather in", 350.0)
    assert run["total_tokens"] is None
    assert [(row["id"], row["role"], row["text"], row["created_at"]) for row in ledger.messages()] == [
        ("message_0", "user", "And in Rome?", ASKED_AT),
        ("message_run_1", "assistant", "The weather in", ASKED_AT + 200),
    ]


def test_a_message_that_never_began_is_not_kept(ledger: Ledger) -> None:
    state = RunState()
    details = {"type": "message_creation", "message_creation": {"message_id": "message_1"}}
    state.apply(event_of("thread.run.step.created", {"id": "step_1", "step_details": details}))
    ledger.record(state, prompt="", recorded_at=ASKED_AT)
    assert len(ledger.messages()) == 0


def test_text_that_no_step_claims_is_a_message_all_the_same(ledger: Ledger) -> None:
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued"}))
    state.apply(event_of("thread.message.delta", {"id": "message_1", "delta": {"content": "Hel"}}))
    ledger.record(state, prompt="", recorded_at=ASKED_AT)
    assert ledger.messages()["text"] == ["Hel"]
    state.apply(event_of("thread.message.completed", {"id": "message_1", "role": "assistant", "content": "Hello"}))
    ledger.record(state, prompt="", recorded_at=ASKED_AT)
    assert [(row["id"], row["text"]) for row in ledger.messages()] == [("message_1", "Hello")]


def test_the_error_of_a_run_and_of_a_step_are_kept(ledger: Ledger) -> None:
    state = begun()
    failure = {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."}
    state.apply(event_of("thread.run.step.failed", {"id": "step_run_1", "last_error": failure}))
    run = {"id": "run_1", "thread_id": "thread_1", "status": "failed", "last_error": failure}
    state.apply(event_of("thread.run.failed", run))
    ledger.record(state, prompt="?", recorded_at=ASKED_AT)
    (kept,) = ledger.runs()
    assert (kept["status"], kept["error_code"]) == ("failed", "DataInspectionFailed")
    assert kept["error_message"] == failure["message"]
    assert ledger.steps()["error_code"] == ["DataInspectionFailed"]


def test_a_request_that_never_became_a_run_gets_an_id_and_belongs_to_no_thread(ledger: Ledger) -> None:
    for code in ("InvalidApiKey", "Arrearage"):
        state = RunState(requested_at=0.0)
        state.error = LastError(code=code, message="no")
        state.end("failed", at=12.0)
        ledger.record(state, prompt="Hello?", engine="", connection="cloud", recorded_at=ASKED_AT)
    assert ledger.runs()["id"] == ["request_1", "request_2"]
    assert ledger.runs()["error_code"] == ["InvalidApiKey", "Arrearage"]
    assert ledger.runs()["created_at"] == [ASKED_AT, ASKED_AT]
    assert ledger.runs()["connection"] == ["cloud", "cloud"]
    assert len(ledger.threads()) == 0


@pytest.mark.parametrize("text", ["晴れ ☀️ 👩‍🔬 Ünï\x00\u2028", "' OR 1=1; --", "a\n\r\n\tb", "x" * 200_000])
def test_any_text_comes_back_as_it_was(ledger: Ledger, text: str) -> None:
    ledger.record(begun(), prompt=text, recorded_at=ASKED_AT)
    assert ledger.runs()["prompt"] == [text]


def test_halves_of_an_emoji_are_joined_and_a_lone_half_is_replaced(ledger: Ledger) -> None:
    ledger.record(begun(), prompt="\ud83d\ude00 and \ud83d!", recorded_at=ASKED_AT)
    assert ledger.runs()["prompt"] == ["😀 and \ufffd!"]
    assert ledger.messages(run_id="run_1")["text"][0] == "😀 and \ufffd!"


def test_a_number_that_no_database_takes_is_left_out(ledger: Ledger) -> None:
    state = begun()
    usage = {"input_tokens": 10**30, "output_tokens": 2, "total_tokens": 3}
    state.apply(event_of("thread.run.completed", {"id": "run_1", "status": "completed", "usage": usage}))
    ledger.record(state, prompt="?", recorded_at=ASKED_AT)
    assert (ledger.runs()["input_tokens"], ledger.runs()["output_tokens"]) == ([None], [2])


def test_tables_are_oldest_first_and_a_limit_keeps_the_newest(ledger: Ledger) -> None:
    for number, run_id in enumerate(["run_c", "run_b", "run_a"]):
        ledger.record(begun(run_id, created_at=ASKED_AT + number), prompt=run_id, recorded_at=ASKED_AT)
    ledger.record(begun("run_old", created_at=ASKED_AT - 1), prompt="run_old", recorded_at=ASKED_AT)
    assert ledger.runs()["id"] == ["run_old", "run_c", "run_b", "run_a"]
    assert ledger.runs(limit=2)["id"] == ["run_b", "run_a"]
    assert len(ledger.runs(limit=0)) == 0
    assert ledger.messages(limit=3)["text"] == ["The weather in", "run_a", "The weather in"]
    assert ledger.steps(limit=1)["run_id"] == ["run_a"]


def test_filters_choose_by_thread_and_by_run(ledger: Ledger) -> None:
    ledger.record(begun("run_1", "thread_1"), prompt="1", recorded_at=ASKED_AT)
    ledger.record(begun("run_2", "thread_2"), prompt="2", recorded_at=ASKED_AT)
    ledger.record(begun("run_3", "thread_2"), prompt="3", recorded_at=ASKED_AT)
    assert ledger.runs(thread_id="thread_2")["id"] == ["run_2", "run_3"]
    assert ledger.messages(thread_id="thread_1")["text"] == ["1", "The weather in"]
    assert ledger.messages(run_id="run_3")["text"][0] == "3"
    assert ledger.steps(run_id="run_2")["id"] == ["step_run_2"]
    assert len(ledger.steps(run_id="run_2", thread_id="thread_1")) == 0
    assert len(ledger.tool_calls(thread_id="thread_2", run_id="run_3", limit=1)) == 0


def test_threads_add_up_their_runs_messages_and_tokens(ledger: Ledger) -> None:
    plain = folded("run-plain.sse")
    ledger.record(begun("run_1", plain.thread_id, created_at=ASKED_AT), prompt="1", recorded_at=ASKED_AT)
    ledger.record(plain, prompt="2", recorded_at=ASKED_AT)
    ledger.record(begun("run_3", "thread_3", created_at=ASKED_AT + 5), prompt="3", recorded_at=ASKED_AT)
    assert plain.run is not None
    assert plain.usage is not None
    assert ledger.threads().rows == (
        (plain.thread_id, 2, 4, plain.run.created_at, ASKED_AT, plain.usage.total_tokens),
        ("thread_3", 1, 2, ASKED_AT + 5, ASKED_AT + 5, None),
    )
    assert ledger.threads(limit=1)["id"] == ["thread_3"]


def test_a_file_is_found_again_with_what_was_kept(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "ledger.db"
    with Ledger(file) as ledger:
        ledger.record(begun(), prompt="?", recorded_at=ASKED_AT)
    with Ledger(str(file)) as ledger:
        assert ledger.runs()["id"] == ["run_1"]
    assert [path.name for path in file.parent.iterdir()] == ["ledger.db"]


def test_several_threads_write_to_one_ledger_and_to_one_file(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"

    def write(ledger: Ledger, writer: int) -> None:
        for number in range(20):
            ledger.record(begun(f"run_{writer}_{number}"), prompt="?", recorded_at=ASKED_AT)

    with Ledger(file) as one, Ledger(file) as other:
        threads = [threading.Thread(target=write, args=args) for args in ((one, 1), (one, 2), (other, 3))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(one.runs()) == 60
        assert len(other.messages()) == 120


def test_a_database_in_memory_is_the_same_for_every_thread() -> None:
    with Ledger(":memory:") as ledger:
        args = {"prompt": "?", "recorded_at": ASKED_AT}
        thread = threading.Thread(target=ledger.record, args=(begun(),), kwargs=args)
        thread.start()
        thread.join()
        assert len(ledger.runs()) == 1


def test_a_reader_sees_a_run_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failure between two statements leaves what was there before."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.record(begun(), prompt="first", recorded_at=ASKED_AT)
        with sqlite3.connect(tmp_path / "ledger.db") as other:
            other.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON messages WHEN new.text = 'second' "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        other.close()
        with pytest.raises(StoreError, match="refused"):
            ledger.record(begun(), prompt="second", recorded_at=ASKED_AT)
        assert ledger.runs()["prompt"] == ["first"]
        assert ledger.messages()["text"] == ["first", "The weather in"]


@posix
def test_file_and_folder_belong_to_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Ledger(tmp_path / "folder" / "ledger.db") as ledger:
            ledger.record(begun(), prompt="?", recorded_at=ASKED_AT)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "folder").iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert "ledger.db" in modes
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_file_of_a_newer_dashnb_is_refused_and_left_as_it_was(tmp_path: Path, journal: str) -> None:
    file = tmp_path / "ledger.db"
    with sqlite3.connect(file) as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute("CREATE TABLE runs (everything_else TEXT)")
        other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    other.close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match="newer dashnb") as caught:
        Ledger(file)
    assert str(file) in str(caught.value)
    assert "DASHNB_LEDGER=off" in str(caught.value)
    assert file.read_bytes() == before


def test_a_damaged_file_is_named_and_left_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"Move the file away.*DASHNB_LEDGER=off") as caught:
        Ledger(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3
    assert file.read_bytes() == b"not a database at all" * 100


def test_damage_behind_the_first_page_is_a_store_error_too(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with Ledger(file) as ledger:
        ledger.record(begun(), prompt="x" * 20_000, recorded_at=ASKED_AT)
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with Ledger(file) as ledger, pytest.raises(StoreError, match="Move the file away"):
        ledger.runs()


def test_a_folder_in_place_of_the_file_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        Ledger(tmp_path)


def test_a_file_in_place_of_the_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        Ledger(tmp_path / "folder" / "ledger.db")


def test_a_ledger_that_another_process_holds_says_so(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with Ledger(file, busy_timeout=0.0) as ledger:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="Another process"):
            ledger.record(begun(), prompt="?", recorded_at=ASKED_AT)
        other.execute("ROLLBACK")
        other.close()
        ledger.record(begun(), prompt="?", recorded_at=ASKED_AT)
        assert len(ledger.runs()) == 1


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.close()
    ledger.close()
    assert "closed" in repr(ledger)
    with pytest.raises(StoreError, match="closed"):
        ledger.runs()
    with pytest.raises(StoreError, match="closed"):
        ledger.record(begun(), prompt="?", recorded_at=ASKED_AT)
