"""The magics in a real IPython shell, with the embedded API behind them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from shells import opened, run

import dashnb
from dashnb.errors import (
    BadRequestError,
    ConfigurationError,
    DashnbError,
    NotFoundError,
    RunError,
    RunInterrupted,
    ServerError,
)
from dashnb.magics.arguments import cell_parser, connect_parser, history_parser, run_parser, table_of
from dashnb.magics.commands import COMMANDS
from dashnb.magics.display import show
from dashnb.magics.explanations import hint_model
from dashnb.magics.magics import AssistantMagics
from dashnb.protocol.objects import Run
from dashnb.protocol.state import RunState
from dashnb.session.result import RunResult
from dashnb.view import Heading

TRANSCRIPTS = Path(__file__).parent / "transcripts"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    with opened(monkeypatch, tmp_path) as shell:
        yield shell


def test_a_cell_asks_the_assistant_and_shows_the_answer(shell: InteractiveShell) -> None:
    _, shown = run(shell, "%%assistant\nWhat is 999 × 998?")
    assert "999 multiplied by 998 equals 997002." in shown


def test_the_conversation_goes_on_from_cell_to_cell(shell: InteractiveShell) -> None:
    run(shell, "%%assistant -o first\nWhat is 2 + 3?")
    run(shell, "%%assistant -o second\nWhat is 3 + 4?")
    first, second = shell.user_ns["first"], shell.user_ns["second"]
    assert first.thread_id == second.thread_id
    assert first.assistant_id == second.assistant_id
    assert (first.id, first.status) != (second.id, second.status)


def test_new_begins_a_new_thread_by_option_and_by_command(shell: InteractiveShell) -> None:
    run(shell, "%%assistant -o one\nWhat is 2 + 3?")
    run(shell, "%%assistant --new -o two\nWhat is 2 + 3?")
    _, said = run(shell, "%assistant new")
    run(shell, "%%assistant -o three\nWhat is 2 + 3?")
    assert len({shell.user_ns[name].thread_id for name in ("one", "two", "three")}) == 3
    assert "new thread" in said


def test_the_output_variable_holds_the_run(shell: InteractiveShell) -> None:
    run(shell, "%%assistant -o answer\nWhat is 999 × 998?")
    answer = shell.user_ns["answer"]
    assert isinstance(answer, RunResult)
    assert (answer.status, "997002" in answer.text, answer.usage.total_tokens > 0) == ("completed", True, True)


def test_functions_of_the_notebook_are_tools_by_name(shell: InteractiveShell) -> None:
    run(shell, 'def big_add(left: int, right: int) -> int:\n    "Add two integers."\n    return left + right')
    run(shell, "%%assistant --tools big_add,quark_search -o answer\nAdd 87787 to 788988737")
    (call,) = shell.user_ns["answer"].tool_calls
    assert (call.name, call.output) == ("big_add", "789076524")


def test_braces_and_dollars_in_a_cell_are_sent_as_they_stand(shell: InteractiveShell) -> None:
    run(shell, "x = 'expanded'")
    run(shell, '%%assistant -o answer\nReturn JSON like {"a": 1} or {x} for $x')
    sent = dashnb.history.messages(thread_id=shell.user_ns["answer"].thread_id)["text"][0]
    assert sent == 'Return JSON like {"a": 1} or {x} for $x'


def test_an_option_of_a_cell_holds_for_that_cell_only(shell: InteractiveShell) -> None:
    run(shell, '%%assistant -m qwen-plus -i "Be very brief" -o one\nWhat is 2 + 3?')
    run(shell, "%%assistant -o two\nWhat is 2 + 3?")
    one, two = shell.user_ns["one"], shell.user_ns["two"]
    assert (one.run.model, one.run.instructions) == ("qwen-plus", "Be very brief")
    assert (two.run.model, two.run.instructions) == ("qwen-max", "")
    assert one.assistant_id == two.assistant_id


def test_an_assistant_is_named_by_variable_id_or_name(shell: InteractiveShell) -> None:
    run(shell, "import dashnb\nclient = dashnb.connect('local')")
    run(shell, "painter = client.assistants.create(model='qwen-max', name='Art Maestro')")
    painter = shell.user_ns["painter"]
    for named in ("painter", painter.id, "'Art Maestro'"):
        run(shell, f"%%assistant -a {named} -o answer\nWhat is 2 + 3?")
        assert shell.user_ns["answer"].assistant_id == painter.id
    shell.user_ns["client"].close()


def test_run_stream_runs_on_a_thread_by_variable_and_by_id(shell: InteractiveShell) -> None:
    run(shell, "import dashnb\nclient = dashnb.connect('local')")
    run(shell, "thread = client.threads.create(messages=[{'role': 'user', 'content': 'What is 2 + 3?'}])")
    thread = shell.user_ns["thread"]
    _, by_variable = run(shell, "%run_stream thread -o one")
    _, by_id = run(shell, f"%run_stream {thread.id} -o two")
    assert "equals 5" in by_variable
    assert "equals 5" in by_id
    assert shell.user_ns["one"].thread_id == shell.user_ns["two"].thread_id == thread.id
    shell.user_ns["client"].close()


def test_the_cell_form_of_run_stream_adds_its_text_as_a_message(shell: InteractiveShell) -> None:
    run(shell, "%%assistant -o one\nWhat is 2 + 3?")
    thread_id = shell.user_ns["one"].thread_id
    _, shown = run(shell, f"%%run_stream {thread_id}\nWhat is 999 × 998?")
    assert "997002" in shown


@pytest.mark.parametrize("name", ["run-plain.sse", "submit-tool-outputs.sse", "run-quark-search.jsonl"])
def test_a_recording_is_shown_without_any_service(shell: InteractiveShell, name: str) -> None:
    _, shown = run(shell, f"%run_stream --replay {TRANSCRIPTS / name} -o seen")
    # The whole message of one recording has other blanks than its pieces.
    assert "".join(shell.user_ns["seen"].text.split()) in "".join(shown.split())
    assert shell.user_ns["seen"].status == "completed"


def test_static_view_shows_exactly_one_output_with_the_run_in_its_metadata(shell: InteractiveShell) -> None:
    with capture_output() as captured:
        shell.run_cell("%%assistant --view static -o answer\nWhat is 999 × 998?").raise_error()
    (output,) = captured.outputs
    assert set(output.data) == {"text/html", "text/markdown", "text/plain"}
    assert output.metadata["dashnb"]["run"]["id"] == shell.user_ns["answer"].id
    assert captured.stdout == ""


def test_a_failed_run_fails_the_cell_and_keeps_what_arrived(shell: InteractiveShell) -> None:
    run(
        shell, f"%assistant connect local --engine replay:{TRANSCRIPTS / 'submit-tool-outputs.sse'} --database :memory:"
    )
    with pytest.raises(RunError, match="get_current_weather"):
        run(shell, "%%assistant -o answer\nWhat is the weather in Xi'an?")
    assert shell.user_ns["answer"].status == "requires_action"
    assert shell.user_ns["answer"].tool_calls[0].arguments == '{"location": "Xi\'an"}'


def test_a_thread_that_is_not_there_does_not_become_the_current_one(shell: InteractiveShell) -> None:
    run(shell, "%%assistant -o one\nWhat is 2 + 3?")
    for cell in ("%%assistant --thread thread_nowhere\nhello", "%run_stream thread_nowhere"):
        with pytest.raises(NotFoundError):
            run(shell, cell)
    run(shell, "%%assistant -o two\nWhat is 3 + 4?")
    assert shell.user_ns["one"].thread_id == shell.user_ns["two"].thread_id


def test_a_failure_is_shown_in_at_most_three_lines_without_a_traceback(shell: InteractiveShell) -> None:
    with capture_output() as captured:
        result = shell.run_cell("%%assistant --thread thread_nowhere\nWhat is 2 + 3?")
    assert isinstance(result.error_in_exec, NotFoundError)
    lines = [line for line in (captured.stdout + captured.stderr).splitlines() if line.strip()]
    assert len(lines) <= 3
    assert "Traceback" not in "".join(lines)
    assert "NotFound" in lines[0]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%assistant --modle x\nhi", "unrecognized arguments: --modle"),
        ("%%assistant -m\nhi", "expected one argument"),
        ("%%assistant --view loud\nhi", "invalid choice: 'loud'"),
        ("%%assistant\n   ", "the cell is empty"),
        ('%%assistant -i "open\nhi', "no closing quotation"),
        ("%%assistant -a nobody\nhi", "there is no assistant 'nobody'"),
        ("%%assistant --thread nowhere\nhi", "there is no thread 'nowhere'"),
        ("%%assistant --tools quark_serach\nhi", "Did you mean quark_search"),
        ("%%assistant -o 1x\nhi", "-o needs the name of a variable"),
        ("%%assistant --new --thread thread_1\nhi", "exclude each other"),
        ("%run_stream", "needs a thread"),
        ("%assistant conect", "Did you mean connect"),
        ("%assistant status now", "takes no arguments"),
        ("%assistant history --limit many", "invalid int value"),
        ("%assistant history --limit 0", "at least 1"),
    ],
)
def test_bad_arguments_are_usage_errors_that_say_why(shell: InteractiveShell, cell: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(shell, cell)
    assert type(caught.value) is UsageError
    assert said in str(caught.value)


def test_connect_says_where_and_why_and_a_failed_connect_keeps_the_old_one(shell: InteractiveShell) -> None:
    _, said = run(shell, "%assistant connect local --database :memory:")
    assert "embedded Assistant API" in said
    assert "asked for" in said
    for target in ("cloud", "moon"):
        with pytest.raises(ConfigurationError):
            run(shell, f"%assistant connect {target}")
    _, shown = run(shell, "%%assistant\nWhat is 2 + 3?")
    assert "equals 5" in shown


def test_status_names_place_reason_and_engine_and_masks_the_key(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-canary")
    _, said = run(shell, "%assistant status")
    assert re.search(r"connected +cloud", said)
    assert "environment DASHSCOPE_API_KEY is set" in said
    assert "sk-canary" not in said
    run(shell, "%assistant connect local --database :memory:")
    _, said = run(shell, "%assistant status")
    assert re.search(r"answers +guide", said)


def test_history_shows_the_newest_runs_as_a_table(shell: InteractiveShell) -> None:
    for number in (2, 3, 4):
        run(shell, f"%%assistant\nWhat is {number} + {number}?")
    table, _ = run(shell, "%assistant history --limit 2")
    assert table["prompt"] == ["What is 3 + 3?", "What is 4 + 4?"]
    steps, _ = run(shell, "%assistant history steps")
    assert set(steps["type"]) == {"message_creation"}


def test_the_ledger_can_be_switched_off(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_LEDGER", "off")
    _, shown = run(shell, "%%assistant\nWhat is 2 + 3?")
    assert "equals 5" in shown
    with pytest.raises(ConfigurationError, match="DASHNB_LEDGER"):
        run(shell, "%assistant history")


def test_an_interrupt_cancels_the_run_keeps_the_answer_and_fails_the_cell_in_one_line(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashnb.view import TextView

    shown = TextView.show

    def interrupt_after_some_text(view: TextView, state: RunState) -> None:
        shown(view, state)
        if len(state.text) > 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(TextView, "show", interrupt_after_some_text)
    with capture_output() as captured:
        result = shell.run_cell("%%assistant -o answer\nTell me a story")
    assert type(result.error_in_exec).__name__ == "RunInterrupted"
    assert isinstance(result.error_in_exec, DashnbError)
    answer = shell.user_ns["answer"]
    assert answer.status == "cancelled"
    assert len(answer.text) > 20
    assert "Traceback" not in captured.stdout + captured.stderr
    row = dashnb.history.runs().to_dicts()[-1]
    assert (row["status"], row["text"]) == ("cancelled", answer.text)
    monkeypatch.undo()
    run(shell, "%%assistant\nWhat is 2 + 3?")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("completed", "Stopped; the run was completed by then."),
        ("failed", "Stopped; the run was failed by then."),
        ("cancelled", "Stopped; the run was cancelled."),
        ("requires_action", "Stopped; the run still waits for functions."),
        ("abandoned", "Stopped; the run run_1 was not cancelled, and may go on at the service."),
    ],
)
def test_an_interrupt_says_what_became_of_the_run(status: str, told: str) -> None:
    state = RunState()

    def states() -> Generator[RunState, None, None]:
        state.merge(Run(id="run_1", status=status))
        yield state
        raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as caught:
        show(states(), state, Heading(), mode="text")
    assert str(caught.value).splitlines()[0] == told
    assert caught.value.state is state


def stopped(shell: InteractiveShell, cell: str) -> str:
    """What a person sees of a cell that was stopped."""
    with capture_output() as captured:
        result = shell.run_cell(cell)
    assert type(result.error_in_exec).__name__ == "RunInterrupted", result.error_in_exec
    shown = captured.stdout + captured.stderr
    assert "Traceback" not in shown
    assert "KeyboardInterrupt" not in shown
    return shown


class Interrupting(httpx.BaseTransport):
    """The way to the service, on which some requests are interrupted after they arrived, or before."""

    def __init__(self, inner: httpx.BaseTransport, *ends: str, arrives: bool = True) -> None:
        self._inner = inner
        self._ends = list(ends)
        self._arrives = arrives

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._ends and request.method == "POST" and request.url.path.endswith(self._ends[0]):
            self._ends.pop(0)
            if self._arrives:
                self._inner.handle_request(request).close()
            raise KeyboardInterrupt
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def put_between(shell: InteractiveShell, *ends: str, arrives: bool = True) -> None:
    magics: Any = shell.magics_manager.registry["AssistantMagics"]
    http = magics.conversation.client._pool.http
    http._transport = Interrupting(http._transport, *ends, arrives=arrives)


@pytest.mark.parametrize("arrives", [True, False], ids=["arrives", "does not arrive"])
@pytest.mark.parametrize("end", ["/assistants", "/threads", "/messages", "/runs"])
def test_an_interrupt_before_the_first_event_is_a_line_and_the_next_question_goes_through(
    shell: InteractiveShell, end: str, arrives: bool
) -> None:
    put_between(shell, end, arrives=arrives)
    shown = stopped(shell, "%%assistant -o answer\nTell me a story")
    if end == "/runs" and arrives:
        assert "the run was cancelled" in shown
        assert (shell.user_ns["answer"].status, bool(shell.user_ns["answer"].id)) == ("cancelled", True)
    _, shown = run(shell, "%%assistant\nWhat is 2 + 3?")
    assert "equals 5" in shown


def test_a_second_interrupt_while_the_run_is_cancelled_keeps_what_arrived_and_is_said_in_a_line(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashnb.view import TextView

    shown, finish = TextView.show, TextView.finish
    finished: list[str] = []

    def interrupt_after_some_text(view: TextView, state: RunState) -> None:
        shown(view, state)
        if len(state.text) > 20:
            raise KeyboardInterrupt

    def interrupt_at_the_end(view: TextView, state: RunState) -> None:
        finished.append(state.text)
        if len(finished) == 1:
            raise KeyboardInterrupt
        finish(view, state)

    monkeypatch.setattr(TextView, "show", interrupt_after_some_text)
    monkeypatch.setattr(TextView, "finish", interrupt_at_the_end)
    put_between(shell, "/cancel", arrives=False)
    said = stopped(shell, "%%assistant -o answer\nTell me a story")
    answer = shell.user_ns["answer"]
    assert (answer.status, len(answer.text) > 20) == ("abandoned", True)
    assert finished == [answer.text] * 2
    assert "was not cancelled" in said
    row = dashnb.history.runs().to_dicts()[-1]
    assert (row["status"], row["text"]) == ("abandoned", answer.text)
    monkeypatch.undo()
    run(shell, "%%assistant\nWhat is 2 + 3?")


def test_a_cell_that_goes_on_after_a_stopped_hand_in_calls_no_function_again(shell: InteractiveShell) -> None:
    called: list[int] = []

    def big_add(left: int, right: int) -> int:
        """Add two integers.

        Args:
            left: The first one.
            right: The second one.
        """
        called.append(left)
        return left + right

    shell.user_ns["big_add"] = big_add
    put_between(shell, "/submit_tool_outputs", "/cancel", arrives=False)
    stopped(shell, "%%assistant -t big_add\nAdd 87787 to 788988737")
    _, shown = run(shell, "%assistant continue -t big_add")
    assert "789076524" in shown
    assert called == [87787]


def test_unloading_restores_what_was_there_and_loading_again_works(shell: InteractiveShell) -> None:
    shell.run_line_magic("unload_ext", "dashnb")
    assert "assistant" not in shell.magics_manager.magics["cell"]
    shell.register_magic_function(lambda line: "theirs", "line", "assistant")
    shell.run_line_magic("load_ext", "dashnb")
    shell.run_line_magic("reload_ext", "dashnb")
    shell.run_line_magic("unload_ext", "dashnb")
    assert shell.run_line_magic("assistant", "") == "theirs"
    shell.run_line_magic("load_ext", "dashnb")


@pytest.mark.parametrize(("magic", "parser"), [("assistant", cell_parser()), ("run_stream", run_parser())])
def test_the_help_of_a_magic_lists_exactly_its_options(magic: str, parser: Any) -> None:
    text = inspect.getdoc(getattr(AssistantMagics, magic)) or ""
    shown = set(re.findall(r"^ {4}((?:-\w, )?--?[\w-]+|THREAD\b)", text, re.MULTILINE))
    expected = {re.match(r"(-\w, --[\w-]+|--[\w-]+|\w+)", names)[1] for names, _ in table_of(parser)}  # type: ignore[index]
    assert shown == expected


def test_the_help_names_every_command_and_its_options() -> None:
    text = inspect.getdoc(AssistantMagics.assistant) or ""
    for parser in (connect_parser(), history_parser()):
        for names, _ in table_of(parser):
            assert names.split()[0] in text or names in ("target", "table")
    commands = set(re.findall(r"^ +%assistant (\w+)", text, re.MULTILINE))
    assert commands == set(COMMANDS)


def test_the_help_command_shows_the_same_text(shell: InteractiveShell) -> None:
    _, said = run(shell, "%assistant help")
    assert said.strip() == (inspect.getdoc(AssistantMagics.assistant) or "").strip()


def test_a_run_that_is_over_is_shown_again_by_variable_and_by_id(shell: InteractiveShell) -> None:
    run(shell, "%%assistant -o one\nWhat is 999 × 998?")
    one = shell.user_ns["one"]
    for line in (f"{one.id}", f"{one.id} --thread {one.thread_id}", "one"):
        _, shown = run(shell, f"%run_stream --join {line} -o again")
        assert "997002" in shown
        assert shell.user_ns["again"].text == one.text
    rows = dashnb.history.runs().to_dicts()
    assert [(row["id"], row["prompt"]) for row in rows] == [(one.id, "What is 999 × 998?")]


def test_a_run_that_waits_goes_on_when_it_is_joined_with_its_function(shell: InteractiveShell) -> None:
    recording = TRANSCRIPTS / "submit-tool-outputs.sse"
    run(shell, f"%assistant connect local --engine replay:{recording} --database :memory:")
    with pytest.raises(RunError, match="get_current_weather"):
        run(shell, "%%assistant -o parked\nWhat is the weather in Xi'an?")
    run(shell, 'def get_current_weather(location: str) -> str:\n    "The weather."\n    return "rain"')
    run(shell, "%run_stream --join parked -t get_current_weather -o answer")
    assert shell.user_ns["answer"].id == shell.user_ns["parked"].id
    assert shell.user_ns["answer"].status == "completed"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--join run_1", "needs the run's thread"),
        ("--join nothing", "there is no run 'nothing'"),
        ("--join run_1 -m qwen-plus", "none of -a, -m and -i"),
        ("--join run_1 --replay x.sse", "exclude each other"),
        ("thread_1 --thread thread_2", "takes one thread"),
    ],
)
def test_a_run_to_join_has_to_be_named_well(shell: InteractiveShell, line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(shell, f"%run_stream {line}")


# --- errors ----------------------------------------------------------------------------------------


def seen(shell: InteractiveShell, cell: str) -> list[str]:
    """The lines that a person sees of a cell that fails."""
    with capture_output() as captured:
        assert not shell.run_cell(cell).success
    return [line for line in (captured.stdout + captured.stderr).splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("%%assistant --modle x\nhi", "--model"),
        ("%%assistant --bakground=x\nhi", "--background"),
        ("%run_stream --jion run_1", "--join"),
        ("%%assistant --view statick\nhi", "static"),
        ("%assistant history runns", "runs"),
        ("%assistant connect --engin guide", "--engine"),
        ("%%assistant -t calculater\nhi", "calculator"),
        ("%%assistant --json-schema persn\nhi", "person"),
        ("%%assistant --thread answr\nhi", "answer"),
        ("%%assistant --vars\n{persn}", "{person}"),
    ],
)
def test_what_is_misspelt_gets_a_suggestion(shell: InteractiveShell, cell: str, meant: str) -> None:
    shell.user_ns.update(person={}, answer=RunResult(RunState()))
    with pytest.raises(UsageError, match=rf"Did you mean {re.escape(meant)}\?"):
        run(shell, cell)


@pytest.mark.parametrize(
    ("language", "usage", "kind"),
    [
        ("zh", "用法错误：", "找不到对象："),
        ("ja", "使い方の誤り：", "見つかりません："),
        ("en", "unrecognized", "NotFound"),
    ],
)
def test_errors_begin_in_the_language_of_the_reader(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, language: str, usage: str, kind: str
) -> None:
    monkeypatch.setenv("DASHNB_LANGUAGE", language)
    assert seen(shell, "%%assistant --modle x\nhi")[0].startswith(f"UsageError: {usage}")
    lines = seen(shell, "%run_stream thread_nowhere")
    assert lines[0].startswith(kind)
    assert any(line.startswith("NotFoundError: HTTP 404") for line in lines)
    assert len(lines) <= 4


def test_settings_that_are_wrong_are_explained_in_the_language_of_the_locale(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHNB_VIEW", "loud")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert seen(shell, "%%assistant\nhi")[0].startswith("配置错误")


def test_debug_shows_the_whole_traceback(shell: InteractiveShell) -> None:
    short, long = (seen(shell, f"%run_stream thread_nowhere{debug}") for debug in ("", " --debug"))
    assert len(short) <= 3
    assert "Traceback" in "".join(long)
    assert "names.py" in "".join(long)
    assert "NotFoundError" in long[-2] + long[-1]
    assert len(seen(shell, "%run_stream thread_nowhere")) == len(short)  # only where it was asked for


@pytest.mark.parametrize(
    ("error", "model", "hints"),
    [
        (NotFoundError("none", status_code=404, code="ModelNotFound"), "qwen-plsu", ["Did you mean qwen-plus?"]),
        (BadRequestError("The model qwen-mx is unknown", status_code=400), "qwen-mx", ["Did you mean qwen-max?"]),
        (
            RunError("failed: ModelNotFound", state=RunState(), code="ModelNotFound"),
            "qwen-trubo",
            ["Did you mean qwen-turbo?"],
        ),
        (NotFoundError("no thread", status_code=404), "qwen-plsu", []),
        (ServerError("the model failed", status_code=500), "qwen-plsu", []),
        (NotFoundError("none", status_code=404, code="ModelNotFound"), "qwen-plus", []),
        (NotFoundError("none", status_code=404, code="ModelNotFound"), None, []),
    ],
)
def test_an_error_about_a_model_suggests_one(error: Any, model: str | None, hints: list[str]) -> None:
    hint_model(error, model)
    assert getattr(error, "__notes__", []) == hints
    assert all(hint in "".join(error._render_traceback_()) for hint in hints)


# --- recordings ------------------------------------------------------------------------------------


def test_a_cell_is_recorded_and_answered_again_from_the_file(shell: InteractiveShell, tmp_path: Path) -> None:
    file = tmp_path / "demo.jsonl"
    run(shell, "%%assistant -o before\nWhat is 2 + 3?")
    run(shell, f"%%assistant --record {file} -o one\nWhat is 3 + 4?")
    run(shell, "%%assistant -o after\nWhat is 4 + 5?")
    before, one, after = (shell.user_ns[name] for name in ("before", "one", "after"))
    assert before.thread_id == one.thread_id == after.thread_id
    assert before.assistant_id == one.assistant_id
    run(shell, "%assistant connect local --database :memory:")
    for line in ("--speed 1000", ""):
        _, shown = run(shell, f"%%assistant --replay {file} {line} -o two\nWhat is 3 + 4?")
        assert "equals 7" in shown
        assert (shell.user_ns["two"].id, shell.user_ns["two"].text) == (one.id, one.text)
    with pytest.raises(DashnbError, match="cassette"):
        run(shell, f"%%assistant --replay {file}\nWhat is 5 + 6?")
    _, shown = run(shell, f"%run_stream --replay {file} -o three")
    assert shell.user_ns["three"].text == one.text
    assert "equals 7" in shown
    # The notebook's own conversation knows nothing of it.
    run(shell, "%%assistant -o own\nWhat is 2 + 3?")
    assert shell.user_ns["own"].thread_id != one.thread_id


def test_a_recorded_run_stream_uses_the_thread_that_is_named(shell: InteractiveShell, tmp_path: Path) -> None:
    file = tmp_path / "demo.jsonl"
    run(shell, "%%assistant -o one\nWhat is 2 + 3?")
    thread = shell.user_ns["one"].thread_id
    run(shell, f"%%run_stream {thread} --record {file} -o two\nWhat is 3 + 4?")
    assert shell.user_ns["two"].thread_id == thread
    run(shell, f"%%run_stream --replay {file} -o three\nWhat is 3 + 4?")
    assert shell.user_ns["three"].text == shell.user_ns["two"].text


def test_a_recording_of_a_stream_answers_a_cell_too(shell: InteractiveShell) -> None:
    _, shown = run(shell, f"%%assistant --replay {TRANSCRIPTS / 'run-plain.sse'} -o seen\nHello")
    assert shell.user_ns["seen"].status == "completed"
    assert shell.user_ns["seen"].text.split()[0] in shown


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ("--replay nowhere.jsonl", ConfigurationError, "cannot be read"),
        ("--speed 2", UsageError, "--speed is for --replay"),
        ("--replay a --record b", UsageError, "exclude each other"),
        ("--replay a --speed 0", UsageError, "invalid speed value"),
    ],
)
def test_a_recording_has_to_be_named_well(shell: InteractiveShell, options: str, error: Any, said: str) -> None:
    for cell in (f"%%assistant {options}\nhi", f"%run_stream thread_1 {options}"):
        with pytest.raises(error, match=said):
            run(shell, cell)


# --- approval --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answers", "output"), [(["y"], "789076524"), (["n", "too big"], "too big")])
def test_a_person_is_asked_about_a_tool_that_asks_first(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, answers: list[str], output: str
) -> None:
    said = iter(answers)
    monkeypatch.setattr("builtins.input", lambda _: next(said))
    run(
        shell,
        "import dashnb\n@dashnb.tool(approval='ask')\ndef big_add(left: int, right: int) -> int:\n"
        '    "Add two integers."\n    return left + right',
    )
    run(shell, "%%assistant -t big_add -o answer\nAdd 87787 to 788988737")
    (call,) = shell.user_ns["answer"].tool_calls
    assert output in call.output


def test_a_run_that_was_left_waiting_goes_on_by_a_command(shell: InteractiveShell) -> None:
    recording = TRANSCRIPTS / "submit-tool-outputs.sse"
    run(shell, f"%assistant connect local --engine replay:{recording} --database :memory:")
    with pytest.raises(RunError, match="get_current_weather"):
        run(shell, "%%assistant -o parked\nWhat is the weather in Xi'an?")
    run(shell, 'def get_current_weather(location: str) -> str:\n    "The weather."\n    return "rain"')
    run(shell, "%assistant continue -t get_current_weather --approve -o answer")
    assert shell.user_ns["answer"].id == shell.user_ns["parked"].id
    assert shell.user_ns["answer"].status == "completed"
