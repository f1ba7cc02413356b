"""What Tab offers on the lines of the magics, in a real IPython shell."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.completer import ProvisionalCompleterWarning
from IPython.core.interactiveshell import InteractiveShell
from shells import magics_of, opened, run

import dashnb.magics.completion as completion
from dashnb.magics.arguments import cell_parser, run_parser
from dashnb.magics.commands import COMMANDS
from dashnb.magics.names import BUILT_IN_TOOLS, KNOWN_MODELS
from dashnb.view import MODES


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(completion.matcher, "__kwdefaults__", {"patience": 5.0})  # a test is not a person
    with opened(monkeypatch, tmp_path) as shell:
        yield shell


def offered(shell: InteractiveShell, cell: str) -> list[str]:
    """What the cursor at ``|``, or at the end, is offered: the whole words."""
    before, _, after = cell.partition("|")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProvisionalCompleterWarning)
        found = list(shell.Completer.completions(before + after, len(before)))
    return [one.text for one in found]


def test_the_options_that_a_line_does_not_have_yet_are_offered(shell: InteractiveShell) -> None:
    everything = {name for action in cell_parser()._actions for name in action.option_strings}
    assert set(offered(shell, "%%assistant -|\nhi")) == everything
    assert set(offered(shell, "%%assistant -m qwen-max --new -|")) == everything - {"-m", "--model", "--new"}
    assert {"--join", "--replay"} <= set(offered(shell, "%run_stream --|"))
    assert offered(shell, "%%assistant --js|") == ["--json-schema"]
    assert {"-t", "--tools"} <= set(offered(shell, "%%assistant -t calculator -|"))  # may be repeated


@pytest.mark.parametrize("magic", ["%%assistant", "%run_stream", "%%run_stream"])
def test_the_values_of_options_are_offered(shell: InteractiveShell, magic: str) -> None:
    assert set(offered(shell, f"{magic} --view |")) == set(MODES)
    assert offered(shell, f"{magic} --view wid|") == ["widget"]
    assert offered(shell, f"{magic} --view=wid|") == ["widget"]
    assert set(KNOWN_MODELS) <= set(offered(shell, f"{magic} -m |"))
    assert offered(shell, f"{magic} -o answer -m qwen-lo|") == ["qwen-long"]


def test_tools_are_those_of_the_service_and_of_the_notebook_behind_a_comma_too(shell: InteractiveShell) -> None:
    run(shell, "def search_cats(name: str) -> str:\n    return name")
    assert {*BUILT_IN_TOOLS, "search_cats"} <= set(offered(shell, "%%assistant -t |"))
    assert set(offered(shell, "%%assistant -t rag,sea|")) == {"search", "search_cats"}
    assert "rag" not in offered(shell, "%%assistant -t rag,|")


def test_variables_are_offered_for_o(shell: InteractiveShell) -> None:
    run(shell, "my_answer = 1\n_hidden = 2")
    assert "my_answer" in offered(shell, "%%assistant -o |")
    assert offered(shell, "%%assistant -o my|") == ["my_answer"]
    assert "_hidden" not in offered(shell, "%%assistant -o |")


def test_assistants_are_offered_by_variable_name_and_id_once_we_are_connected(shell: InteractiveShell) -> None:
    assert not any(word.startswith("asst_") for word in offered(shell, "%%assistant -a |"))
    run(shell, "%%assistant\nWhat is 2 + 3?")
    magics = magics_of(shell)
    painter = magics.conversation.client.assistants.create(model="qwen-max", name="Art Maestro")
    shell.user_ns["painter"] = painter
    assert {"painter", "'Art Maestro'", painter.id, "dashnb"} <= set(offered(shell, "%%assistant -a |"))
    assert offered(shell, "%%assistant -a Art|") == ["'Art Maestro'"]


def test_threads_and_runs_of_the_notebook_are_offered(shell: InteractiveShell) -> None:
    run(shell, "%%assistant -o answer\nWhat is 2 + 3?")
    answer = shell.user_ns["answer"]
    for line in ("%%assistant --thread |", "%run_stream |", "%run_stream --join answer --thread |"):
        assert {"answer", answer.thread_id} <= set(offered(shell, line))
    assert offered(shell, "%run_stream --join run_|") == [answer.id]
    assert "answer" in offered(shell, "%run_stream --join |")
    assert answer.thread_id not in offered(shell, f"%run_stream {answer.thread_id} |")


def test_files_are_offered_for_recordings_and_schemas(shell: InteractiveShell, tmp_path: Path) -> None:
    for name in ("demo.jsonl", "person.json", "with blank.json"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert {"demo.jsonl", "folder/"} <= set(offered(shell, "%run_stream --replay |"))
    assert offered(shell, "%%assistant --record dem|") == ["demo.jsonl"]
    run(shell, "class Person: pass\nplaces = {}")
    assert {"person.json", "'with blank.json'", "Person", "places"} <= set(
        offered(shell, "%%assistant --json-schema |")
    )
    assert "demo.jsonl" not in offered(shell, "%%assistant --json-schema |")


def test_commands_and_their_arguments_are_offered(shell: InteractiveShell) -> None:
    assert set(offered(shell, "%assistant |")) == set(COMMANDS)
    assert offered(shell, "%assistant conn|") == ["connect"]
    assert {"local", "cloud", "cloud-intl"} <= set(offered(shell, "%assistant connect |"))
    assert "--engine" in offered(shell, "%assistant connect local --|")
    assert "guide" in offered(shell, "%assistant connect local --engine |")
    assert set(offered(shell, "%assistant history t|")) == {"threads", "tool_calls"}
    assert "connect" in offered(shell, "x = 1\n%assistant conn|")


def test_conversations_are_offered_by_name_and_thread(shell: InteractiveShell) -> None:
    run(shell, "%assistant new cats")
    run(shell, "%%assistant -o answer\nWhat is 2 + 3?")
    assert {"cats", shell.user_ns["answer"].thread_id} <= set(offered(shell, "%assistant use |"))
    assert offered(shell, "%assistant resume ca|") == ["cats"]
    assert set(offered(shell, "%assistant busy |")) == {"wait", "cancel", "raise"}
    assert "--model" in offered(shell, "%assistant regenerate --|")


def test_variables_are_offered_in_braces_of_a_cell_with_vars_only(shell: InteractiveShell) -> None:
    run(shell, "names_of_cats = ['Tom']")
    assert offered(shell, "%%assistant --vars\nGreet {na|") == ["names_of_cats"]
    assert offered(shell, "%%assistant --vars\nGreet\n  {na|} now") == ["names_of_cats"]
    assert "names_of_cats" not in offered(shell, "%%assistant --new\nGreet {zz|")
    assert offered(shell, "%%assistant --vars\nGreet {{zz|") == []


def test_lines_of_others_and_texts_in_quotes_are_left_alone(shell: InteractiveShell) -> None:
    run(shell, "my_answer = 1")
    assert offered(shell, "my_ans|") == ["my_answer"]
    assert "--model" not in offered(shell, '%%assistant -i "write --mo|')
    assert "--model" not in offered(shell, "%timeit --|")
    assert "--model" not in offered(shell, "%%assistant --new\n%%assistant --mo|")


def test_the_older_way_of_asking_works_too(shell: InteractiveShell) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        _, found = shell.Completer.complete(line_buffer="%%assistant --vi", cursor_pos=16)
    assert found == ["--view"]


def test_unloading_takes_the_completions_away_and_loading_twice_adds_them_once(shell: InteractiveShell) -> None:
    shell.run_line_magic("reload_ext", "dashnb")
    assert len(shell.Completer.custom_matchers) == 1
    shell.run_line_magic("unload_ext", "dashnb")
    assert shell.Completer.custom_matchers == []
    assert "--view" not in offered(shell, "%%assistant --|")
    shell.run_line_magic("load_ext", "dashnb")


def test_a_failure_offers_nothing_and_is_silent(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(completion, "offer_for", fail)
    assert offered(shell, "%%assistant --vie|") == []
    assert capsys.readouterr() == ("", "")


def test_what_takes_too_long_is_not_waited_for(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    magics = magics_of(shell)
    monkeypatch.setattr(completion, "offer_for", lambda *_: gate.wait(5) and ("", []))
    shell.Completer.custom_matchers[:] = [completion.matcher(magics, patience=0.03)]
    magics.completes = shell.Completer.custom_matchers[0]
    context = completion.CompletionContext("--", "%%assistant --", 14, 0, None)
    for _ in range(2):  # the second one finds the first still at work
        began = time.perf_counter()
        assert magics.completes(context)["completions"] == []
        assert time.perf_counter() - began < 0.3
    gate.set()


def test_the_usual_completion_is_quick(shell: InteractiveShell) -> None:
    run(shell, "%%assistant\nWhat is 2 + 3?")
    magics = magics_of(shell)
    took = []
    for line in ("%%assistant -a ", "%%assistant --", "%run_stream ") * 5:
        began = time.perf_counter()
        assert completion.offer_for(magics, line, 0, line)[1]
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 0.05


def test_nothing_is_asked_of_the_cloud(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    sent: list[httpx.Request] = []
    monkeypatch.setattr(httpx.Client, "send", lambda _, request, **__: sent.append(request))
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-canary")
    run(shell, "%assistant connect cloud")
    for line in ("%%assistant -a |", "%%assistant --thread |", "%run_stream --join |", "%%assistant -m |"):
        offered(shell, line)
    assert sent == []
    assert all("sk-canary" not in word for word in offered(shell, "%%assistant -|"))


WORDS = [
    *("-a", "-t", "-o", "--view", "--view=", "--json-schema", "--new", "--thread", "--vars", "calculator,", ","),
    *("connect", "history", "use", "busy", "regenerate", "'", '"', "=", "--", "-", "a b", "\n{", "~", "é", "\\"),
]


@settings(deadline=None, max_examples=60)
@given(
    magic=st.sampled_from(["%%assistant", "%run_stream", "%%run_stream", "%assistant"]),
    rest=st.lists(st.sampled_from(WORDS), max_size=4),
    blank=st.sampled_from(["", " "]),
)
def test_whatever_is_typed_there_is_an_answer(magic: str, rest: list[str], blank: str) -> None:
    magics: Any = SimpleNamespace(shell=SimpleNamespace(user_ns={"a": 1, "b": {}}), opened=None)
    cell = f"{magic} {' '.join(rest)}{blank}"
    *before, line = cell.split("\n")
    typed, words = completion.offer_for(magics, cell, len(before), line)
    assert line.endswith(typed)
    assert len(words) == len(set(words))


def test_every_option_with_a_value_has_something_to_offer_or_is_free_text() -> None:
    free = {"instructions", "speed"}
    for parser in (cell_parser(), run_parser()):
        for action in parser._actions:
            known = action.nargs == 0 or action.choices is not None or hasattr(completion._Values, action.dest)
            assert known or action.dest in free, action.dest
