"""The official SDK, unchanged, works against the embedded API on a port; so do the habits of other clients.

Each version of the SDK is installed in an environment of its own, kept in the folder that
DASHNB_SDK_VENVS names, if it names one, and plays the scripts of ``conformance/``.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from dashnb.local.models.engine import CallPiece, EngineError, Spent, TextPiece
from dashnb.local.models.guide import GuideEngine
from dashnb.local.models.replay import ReplayEngine
from dashnb.protocol.recording import parse_recording
from port_support import KEY, Asked, Port
from scripted import BEGUN, ENDED, OPENED, RESUMED, Gate, Script, names, of, path_of, typed, written

pytestmark = [pytest.mark.conformance, pytest.mark.slow]

HERE = Path(__file__).parent
RECORDED = [json.loads(line) for line in (HERE / "recorded/sdk-2.0.2-requests.jsonl").read_text("utf-8").splitlines()]
TRANSCRIPTS = HERE / "transcripts"
VERSIONS = {"1.26": "dashscope==1.26.*", "2.0.2": "dashscope==2.0.2"}
# Named by whoever runs the tests; every test starts from an environment without it.
VENVS = os.environ.get("DASHNB_SDK_VENVS")
WEATHER: list[Any] = [CallPiece(0, "get_weather", '{"city": '), CallPiece(0, "get_weather", '"西安"}'), Spent(10, 4)]
RAIN: list[Any] = [TextPiece("It "), TextPiece("rains."), Spent(20, 2)]
# The two anchors of a list exclude each other; and one method of the SDK leaves the status out.
STATUS = {4: 400, 42: None}
CLASSES = {
    "thread.created": "Thread",
    "thread.run": "Run",
    "thread.run.step": "RunStep",
    "thread.run.step.delta": "RunStepDelta",
    "thread.message": "ThreadMessage",
    "thread.message.delta": "ThreadMessageDelta",
}


@dataclass(frozen=True, slots=True)
class Played:
    """What a script printed, and the end of its traceback if it failed."""

    printed: str
    error: str

    @property
    def lines(self) -> list[str]:
        assert not self.error, self.error
        return self.printed.splitlines()


@dataclass(frozen=True, slots=True)
class Play:
    """What one version of the SDK did with all scripts."""

    version: str
    scripts: dict[str, Played]
    asked: dict[str, list[Asked]]
    engines: dict[str, Any]
    tokens: list[str]


Covers = Callable[[str, int | str], None]


@pytest.fixture
def covers(record_property: Callable[[str, object], None]) -> Covers:
    """Tells the summary at the end what a test covers."""
    return lambda kind, what: record_property("covers", (kind, what))


@pytest.fixture(scope="module", params=VERSIONS)
def play(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """All scripts, played once by one version of the SDK."""
    folder = Path(VENVS) if VENVS else tmp_path_factory.getbasetemp() / "sdk"
    try:
        python = installed(folder / f"sdk-{request.param}", VERSIONS[request.param])
    except subprocess.CalledProcessError as error:
        # Only who asks for this suite has promised that packages can be fetched.
        no = pytest.fail if request.config.option.markexpr == "conformance" else pytest.skip
        no(f"{VERSIONS[request.param]} cannot be installed: {error.stderr[-300:]}")
    with Port().open() as port:
        engines, tokens = furnish(port)
        port.asked.clear()
        yield Play(
            version_of(python), played(python, port, tmp_path_factory.mktemp("home")), port.asked, engines, tokens
        )


def installed(venv: Path, requirement: str) -> str:
    """The Python of an environment with the SDK in it."""
    python = str(venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    try:
        version_of(python)
    except (OSError, subprocess.CalledProcessError):
        for command in ([sys.executable, "-m", "venv", venv], [python, "-m", "pip", "install", "-q", requirement]):
            subprocess.run(command, check=True, capture_output=True, text=True)
    return python


def version_of(python: str) -> str:
    program = "from importlib.metadata import version; print(version('dashscope'))"
    return subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def played(python: str, port: Port, home: Path) -> dict[str, Played]:
    """What the scripts printed, each played against the API of its name."""
    scripts = sorted(path.stem for path in (HERE / "conformance").glob("*.py") if path.stem != "play")
    program = [python, "-W", "ignore::DeprecationWarning", str(HERE / "conformance/play.py"), port.root, *scripts]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "NO_PROXY": "127.0.0.1",
        "HOME": str(home),
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(program, capture_output=True, env=environment, timeout=120, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {entry["name"]: Played(entry["printed"], entry["error"]) for entry in told}


def furnish(port: Port) -> tuple[dict[str, Any], list[str]]:
    """The APIs that the scripts expect; the engines whose turns are looked at, and the tokens that a plugin got."""
    tokens: list[str] = []

    async def my_plugin(arguments: str, definition: dict[str, Any]) -> str:
        tokens.append(definition["auth"]["user_token"])
        return "done"

    for name in ("submit", "function_call", "steps", "picture", "picture_stream", "failures", "manage_objects"):
        port.add(name, GuideEngine())
    for name in ("search_stream", "submit_stream"):
        port.add(name, recording(name))
    engines = {"overrides": Script(RAIN), "loop": Script(*translating())}
    for name, engine in engines.items():
        port.add(name, engine)
    plugin = Script([CallPiece(0, "my_plugin", "{}")], RAIN)
    port.add("plugin_auth", plugin, plugins={"my_plugin": my_plugin})
    port.add("broken", Script([TextPiece("It "), EngineError("No model.", code="server_error")]))
    port.add("cancelling", Script([TextPiece("Once "), Gate()]))
    port.add("manage_runs", Script(RAIN, [Gate()]))
    gate = Gate()
    port.add("at_once", Script([TextPiece("One "), gate, TextPiece("two.")]), gate=gate)
    for number, entry in enumerate(RECORDED, 1):
        prepare(port, f"call-{number}", with_run="run_1" in (entry.get("path") or ""))
    return engines, tokens


def recording(name: str) -> ReplayEngine:
    """The engine that says what a recorded run said."""
    if name == "search_stream":
        return ReplayEngine.from_file(TRANSCRIPTS / "run-quark-search.jsonl")
    return ReplayEngine(parse_recording((TRANSCRIPTS / "submit-tool-outputs.sse").read_bytes()))


def translating() -> list[list[Any]]:
    """The rounds of a model that asks for one function, then for two at once, then once more, and answers."""
    return [
        [CallPiece(0, "look_up", '{"word": "Hello"}')],
        [CallPiece(0, "look_up", '{"word": "world"}'), CallPiece(1, "translate_text", '{"text": "Hello"}')],
        [CallPiece(0, "translate_text", '{"text": "world"}')],
        [TextPiece("你好，"), TextPiece("世界")],
    ]


def prepare(port: Port, name: str, *, with_run: bool) -> None:
    """An API that holds one of each: asst_1, thread_1, message_1, file_1, and if wanted run_1 and step_1."""
    api = port.add(name, Script(WEATHER, RAIN) if with_run else Script(RAIN))
    assistant = api.assistant(tools=typed("function:get_weather"), file_ids=["file_1"])
    api.post("/threads", messages=[{"role": "user", "content": "西安的天气?", "file_ids": ["file_1"]}])
    if with_run:
        run = api.post("/threads/thread_1/runs", assistant_id=assistant)
        api.wait(f"/threads/thread_1/runs/{run['id']}", "requires_action")


# --- every recorded call ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, len(RECORDED) + 1), ids=lambda number: RECORDED[number - 1]["call"][:60])
def test_a_call_sends_the_recorded_request_and_returns_the_recorded_class(
    play: Play, number: int, covers: Covers
) -> None:
    covers("call", number)
    covers("sdk", play.version)
    entry = RECORDED[number - 1]
    got = json.loads(play.scripts["calls"].lines[number - 1])
    sent = [(asked.method, asked.path, asked.body) for asked in play.asked.get(f"call-{number}", [])]
    assert sent == ([(entry["method"], entry["path"], entry["body"])] if entry["method"] else [])
    if isinstance(entry["result"], list):
        assert got["result"][-1] == entry["result"][-1]
        assert all(class_of(event) == kind for event, kind in got["result"])
    else:
        assert (got["result"], got["status"]) == (
            entry["result"],
            STATUS.get(number, 200) if entry["method"] else None,
        )


def class_of(event: str) -> str:
    return CLASSES.get(event) or CLASSES[event.rpartition(".")[0]]


# --- the scenarios, by the SDK ---------------------------------------------------------------------


def test_s3_a_streamed_search_prints_what_the_documentation_prints(play: Play, covers: Covers) -> None:
    """The same events in the same order, and in each the same declared fields; values are the run's own."""
    covers("scenario", 3)
    lines = play.scripts["search_stream"].lines
    shown = [(name, ast.literal_eval(line)) for name, line in zip(lines[::2], lines[1::2], strict=True)]
    recorded = [
        (entry["event"], entry["data"])
        for entry in map(json.loads, (TRANSCRIPTS / "run-quark-search.jsonl").read_text("utf-8").splitlines())
    ]
    assert order([name for name, _ in shown]) == order([name for name, _ in recorded])
    assert {(name, shape(data)) for name, data in shown} == {(name, shape(data)) for name, data in recorded}
    deltas = [data["delta"] for name, data in shown if name == "thread.message.delta"]
    assert {(type(delta["content"]).__name__, "file_ids" in delta) for delta in deltas[:-1]} == {("dict", False)}
    assert shown[-1][1]["usage"] == recorded[-1][1]["usage"]


def order(events: list[str]) -> list[str]:
    """The names of events, deltas that follow one another as one."""
    return [name for name, _ in groupby(events)]


def shape(value: Any) -> str:
    """The fields of a printed object, in their order, without its values."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {shape(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shape, value)) + "]"
    return "null" if value is None else type(value).__name__


def test_s4_a_run_is_given_its_own_model_instructions_tools_and_memory(play: Play, covers: Covers) -> None:
    covers("scenario", 4)
    assert play.scripts["overrides"].lines == [
        "qwen-plus Be verbose. text_to_image",
        "completed qwen-plus Be verbose. text_to_image",
        "qwen-max",
    ]
    (turn,) = play.engines["overrides"].turns
    assert (turn.model, turn.instructions, turn.tools) == ("qwen-plus", "Be verbose.", ({"type": "text_to_image"},))
    assert [said.text for said in turn.messages] == [f"No. {number}" for number in range(2, 12)]
    assert turn.sampling == {"temperature": 0.1, "top_p": 0.5, "top_k": 1}


def test_s5_a_plugin_is_given_the_token_of_the_user(play: Play, covers: Covers) -> None:
    covers("scenario", 5)
    assert play.scripts["plugin_auth"].lines == ["completed token-1"]
    assert play.tokens == ["token-1"]


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (6, ["listed 1 False True completed", "listed True ['input_tokens', 'output_tokens', 'total_tokens']"]),
        (7, ["times 0 0 0 0 0"]),
        (8, ["updated {'user': 'abc123'} {'user': 'abc123'}"]),
        (13, ["waited True completed", "unknown 404 NotFound", "timeout Wait run complete timeout"]),
        (14, ["missing []", "read thread.run True completed False Be brief."]),
    ],
    ids=["s6-list", "s7-retrieve", "s8-update", "s13-wait", "s14-fields"],
)
def test_runs_are_managed_as_in_scenario(play: Play, scenario: int, expected: list[str], covers: Covers) -> None:
    covers("scenario", scenario)
    kinds = {line.split()[0] for line in expected}
    assert [line for line in play.scripts["manage_runs"].lines if line.split()[0] in kinds] == expected


def test_s9_an_output_submitted_without_a_stream_is_answered_with_the_old_action(play: Play, covers: Covers) -> None:
    covers("scenario", 9)
    *lines, text = play.scripts["submit"].lines
    assert lines == ["requires_action", 'in_progress {"location": "Xi\'an"}', "completed False"]
    assert ast.literal_eval(text).startswith("The current weather in Xi'an is rain.")


def test_s10_an_output_submitted_in_a_stream_is_followed_by_the_recorded_events(play: Play, covers: Covers) -> None:
    covers("scenario", 10)
    lines = play.scripts["submit_stream"].lines
    recorded = [event.name for event in parse_recording((TRANSCRIPTS / "submit-tool-outputs.sse").read_bytes())]
    told = [line.split()[1] for line in lines if line.startswith("second")]
    assert [*order(told), "done"] == order(recorded)
    assert 'call function get_current_weather {"location": "Xi\'an"}' in lines
    (usage,) = [line for line in lines if line.startswith("usage")]
    assert ast.literal_eval(usage.removeprefix("usage ")) == {
        "input_tokens": 439,
        "output_tokens": 11,
        "total_tokens": 450,
    }
    assert lines[-1].startswith("text ")
    assert len(lines[-1]) > 10


def test_s11_a_function_is_called_from_end_to_end_and_everything_printed_as_json(play: Play, covers: Covers) -> None:
    covers("scenario", 11)
    run, steps, messages = map(json.loads, play.scripts["function_call"].lines)
    assert (run["status"], run["status_code"], run["required_action"]) == ("completed", 200, {})
    said, called = steps["data"]
    assert (said["type"], called["type"]) == ("message_creation", "tool_calls")
    function = called["step_details"]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {"left": 87787, "right": 788988737}
    assert function["output"] == "789076524"
    assert "789076524" in messages["data"][0]["content"][0]["text"]["value"]


def test_s15_a_run_goes_on_without_its_reader_until_it_is_cancelled(play: Play, covers: Covers) -> None:
    covers("scenario", 15)
    status, cancelled, end, again = play.scripts["cancelling"].lines
    assert status == "in_progress"
    assert cancelled in ("200 cancelling", "200 cancelled")
    assert (end, again) == ("cancelled", "400 InvalidParameter")


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (
            16,
            [
                "listed False [('tool_calls', 'completed'), ('message_creation', 'completed')]",
                "usage {} error True 0 True",
                "call quark_search True",
                "message True",
                "newest True",
                "iterated attribute name must be string, not 'int'",
            ],
        ),
        (17, ["retrieved True message_creation completed None", "got True"]),
        (18, ["paged True True", "more True True", "both 400 InvalidParameter"]),
    ],
    ids=["s16-list", "s17-retrieve", "s18-paging"],
)
def test_steps_are_read_as_in_scenario(play: Play, scenario: int, expected: list[str], covers: Covers) -> None:
    covers("scenario", scenario)
    kinds = {line.split()[0] for line in expected}
    assert [line for line in play.scripts["steps"].lines if line.split()[0] in kinds] == expected


def test_s19_a_picture_is_painted_and_its_message_printed_as_json(play: Play, covers: Covers) -> None:
    covers("scenario", 19)
    *checks, message = play.scripts["picture"].lines
    assert checks == [f"{what} done" for what in ("assistant", "thread", "message", "run", "wait", "messages")]
    assert "![" in json.loads(message)["content"][0]["text"]["value"]


def test_s20_a_picture_is_painted_in_a_stream(play: Play, covers: Covers) -> None:
    covers("scenario", 20)
    lines = play.scripts["picture_stream"].lines
    assert next(line for line in lines if line.startswith("tool")) == "tool text_to_image"
    told = [line for line in lines if not line.startswith(("tool", "answer"))]
    deltas = ["thread.run.step.delta"]
    assert order(told) == order([*BEGUN, *OPENED, *deltas, "thread.run.step.completed", *written(1), *ENDED[:1]])
    assert lines[-1] == "answer True"


def test_s21_what_goes_wrong_is_an_object_with_status_code_and_message(play: Play, covers: Covers) -> None:
    covers("scenario", 21)
    lines = play.scripts["failures"].lines
    refusals = {"wrong key": "401 InvalidApiKey"}
    refusals |= dict.fromkeys(("no assistant", "no thread", "no message", "no run", "no steps"), "404 NotFound")
    refusals |= dict.fromkeys(("run without an assistant", "deleting nobody"), "404 NotFound")
    wrong = ("wrong order", "too long a page", "too much metadata", "too long a key", "too long a value", "too hot")
    refusals |= dict.fromkeys(wrong, "400 InvalidParameter")
    assert lines == [
        *[f"{what} {answer} True True" for what, answer in refusals.items()],
        "stream None 404 NotFound True True",
        "good 200 False",
    ]


# --- patterns beyond the scenarios -----------------------------------------------------------------


def test_objects_and_their_files_are_made_changed_listed_and_deleted(play: Play, covers: Covers) -> None:
    covers("pattern", "objects and files")
    assert play.scripts["manage_objects"].lines == [
        "made 助手 [{'type': 'quark_search'}] ['file_1'] assistant",
        "kept [{'type': 'quark_search'}] n",
        "cleared [] []",
        "newest True",
        "behind True",
        "attached file_2 assistant.file True",
        "files ['file_2', 'file_1']",
        "file assistant.file",
        "detached True",
        "left ['file_2'] ['file_2']",
        "gone NotFound",
        "message user Look ['file_3'] {'主题': '天气'}",
        "files ['file_3']",
        "file thread.message.file True",
        "updated {'k': 'v'}",
        "updated {'modified': 'true'} {'modified': 'true'}",
        "deleted True thread.deleted True",
        "gone NotFound",
        "deleted True NotFound",
    ]


def test_functions_are_called_in_a_loop_of_streams_and_once_without(play: Play, covers: Covers) -> None:
    """Several calls at once, outputs in any order, a second request for functions, JSON between two streams."""
    covers("pattern", "loop of functions")
    lines = play.scripts["loop"].lines
    assert lines == [
        "delta function look_up",
        "calls ['look_up']",
        "too many 400 InvalidParameter",
        "calls ['look_up', 'translate_text']",
        "delta function translate_text",
        "calls ['translate_text']",
        "begun ['thread.created', 'thread.run.created']",
        "text 你好，世界",
        "late 400 InvalidParameter",
        "said 你好，世界",
    ]
    last = play.engines["loop"].turns[-1]
    assert [[call.output == call.arguments for call in calls] for calls in last.rounds] == [[True], [True] * 2, [True]]


def test_a_model_that_fails_ends_the_run_with_the_reason(play: Play, covers: Covers) -> None:
    covers("pattern", "failed run")
    assert play.scripts["broken"].lines == [
        "thread.message.incomplete It ",
        "thread.run.failed failed server_error",
        "failed server_error",
    ]


def test_the_first_event_is_seen_before_the_last_is_made(play: Play, covers: Covers) -> None:
    covers("pattern", "events at once")
    assert play.scripts["at_once"].lines == ["before thread.run.created One  False", "after thread.run.completed"]


# --- other clients, by plain HTTP ------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[Port]:
    with Port().open() as opened:
        yield opened


JAVA = {
    "X-DashScope-SSE": "enable",
    "Accept": "text/event-stream",
    "Content-Type": "application/json; charset=utf-8",
}


def test_s1_a_run_is_created_by_http_and_polled(port: Port, covers: Covers) -> None:
    covers("scenario", 1)
    api = port.add("s1", GuideEngine())
    thread = api.thread("What is 999 × 998?")
    assistant = api.assistant(tools=typed("search", "text_to_image"))
    run = api.post(f"/threads/{thread}/runs", assistant_id=assistant, metadata={})
    assert set(run) == {
        *("id", "object", "created_at", "thread_id", "assistant_id", "status", "model", "instructions"),
        *("tools", "metadata", "request_id"),
    }
    assert run["status"] == "in_progress"
    assert api.wait(f"/threads/{thread}/runs/{run['id']}", "completed")["usage"]["total_tokens"] > 0
    assert "997002" in api.get(f"/threads/{thread}/messages")["data"][0]["content"][0]["text"]["value"]


def test_s2_a_run_is_streamed_by_http_as_recorded(port: Port, covers: Covers) -> None:
    covers("scenario", 2)
    content = (TRANSCRIPTS / "run-plain.sse").read_text("utf-8")
    # Its first event belongs to create-thread-and-run.
    recorded = parse_recording(content.encode())[1:]
    fields = {name: list(json.loads(data)) for name, data in re.findall(r"event:(.*)\ndata:({.*})", content)}
    api = port.add("s2", ReplayEngine(recorded))
    events = api.run("text_to_image", "function:get_current_weather")
    assert names(events) == [event.name for event in recorded]
    (run,) = of(events, "thread.run.completed")
    assert run["usage"] == {"input_tokens": 419, "output_tokens": 16, "total_tokens": 435}
    for name, data in events[:-1]:
        assert list(data) == fields[name], name


@pytest.mark.parametrize("streams", [False, True], ids=["polled", "streamed"])
def test_s12_a_function_is_called_with_the_habits_of_java(port: Port, streams: bool, covers: Covers) -> None:
    """An empty thread is ``{}``, every run names a response format, the page of messages is as long as allowed."""
    covers("scenario", 12)
    api = port.add("s12", Script([CallPiece(0, "add", '{"left": 1, "right": 2}')], [TextPiece("3")]))
    api.client.headers.update(JAVA)
    thread = api.post("/threads")["id"]
    api.post(f"/threads/{thread}/messages", role="user", content="Add 1 and 2.")
    body = {"assistant_id": api.assistant(tools=typed("function:add")), "response_format": "json_object"}
    body |= {"parallel_tool_calls": True, "tool_choice": "auto", "max_prompt_tokens": 100, "max_completion_tokens": 9}
    if streams:
        with api.stream(f"/threads/{thread}/runs", **body) as events:
            told = list(events)
        assert names(told) == [*BEGUN, *OPENED, *["thread.run.step.delta"] * 2, "thread.run.requires_action", "done"]
        path = path_of(told)
    else:
        # One header for all requests: it must not make a stream of an answer that was not asked for as one.
        path = f"/threads/{thread}/runs/{api.post(f'/threads/{thread}/runs', **body, stream=False)['id']}"
    run = api.wait(path, "requires_action")
    (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    output = {"tool_call_id": call["id"], "output": str(sum(json.loads(call["function"]["arguments"]).values()))}
    if streams:
        assert names(api.submit(path, output)) == [*RESUMED, *written(1), *ENDED]
    else:
        api.post(f"{path}/submit_tool_outputs", tool_outputs=[output], stream=False)
    run = api.wait(path, "completed")
    times = [run[name] for name in ("expires_at", "started_at", "cancelled_at", "failed_at", "completed_at")]
    assert all(time < 2**31 for time in times)
    messages = api.get(f"/threads/{thread}/messages", limit=100)["data"]
    assert messages[0]["content"][0]["text"]["value"] == "3"


@pytest.mark.parametrize("content", [b"", b"{}", b'""', b"null"], ids=["nothing", "object", "text", "null"])
def test_an_empty_thread_may_be_asked_for_in_every_way(port: Port, content: bytes, covers: Covers) -> None:
    covers("pattern", "empty bodies")
    api = port.add("empty", GuideEngine())
    answer = api.client.post("/threads", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["id"]) == (200, "thread_1")


def test_what_node_updates_by_put_is_updated(port: Port, covers: Covers) -> None:
    covers("pattern", "PUT")
    api = port.add("put", GuideEngine())
    thread = api.thread("Hello")
    run = api.post(f"/threads/{thread}/runs", assistant_id=api.assistant())["id"]
    paths = [f"/threads/{thread}", f"/threads/{thread}/messages/message_1", f"/threads/{thread}/runs/{run}"]
    for path in ["/assistants/asst_1", *paths]:
        answer = api.client.put(path, json={"metadata": {"k": "v"}})
        assert (answer.status_code, answer.json()["metadata"]) == (200, {"k": "v"})
        assert api.get(path)["metadata"] == {"k": "v"}


def test_what_node_lists_by_page_numbers_is_paged(port: Port, covers: Covers) -> None:
    covers("pattern", "page numbers")
    api = port.add("pages", GuideEngine())
    made = [api.assistant(file_ids=["file_1", "file_2"]) for _ in range(3)][::-1]
    thread = api.thread("One", "Two", "Three")
    lists = {
        "/assistants": made,
        f"/threads/{thread}/messages": [f"message_{number}" for number in (3, 2, 1)],
        "/assistants/asst_1/files": ["file_2", "file_1"],
    }
    for path, whole in lists.items():
        for page in (1, 2):
            answer = api.get(path, page_no=page, page_size=2)
            assert [entry["id"] for entry in answer["data"]] == whole[page * 2 - 2 : page * 2]
            assert answer["has_more"] == (page * 2 < len(whole))


def test_streams_travel_in_chunks_and_wrong_requests_are_answered_in_json(port: Port, covers: Covers) -> None:
    covers("pattern", "headers of a stream")
    api = port.add("chunks", GuideEngine())
    body = {"assistant_id": api.assistant(), "stream": True}
    with api.client.stream("POST", f"/threads/{api.thread('Hello')}/runs", json=body, headers=JAVA) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.headers["content-type"].startswith("text/event-stream")
        content = answer.read().decode()
    assert re.findall(r"^event: ", content, re.MULTILINE) == []
    assert content.endswith("event:done\ndata:[DONE]\n\n")
    refused = api.client.post("/threads/thread_9/runs", json=body, headers=JAVA)
    assert (refused.status_code, refused.headers["content-type"]) == (404, "application/json")
    denied = api.client.get("/assistants", headers={"Authorization": f"Bearer {KEY}x"})
    assert (denied.status_code, set(denied.json())) == (401, {"code", "message", "request_id"})
