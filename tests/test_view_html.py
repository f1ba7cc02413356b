"""A run as HTML, and the bundle that a notebook keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.protocol.recording import parse_recording
from dashnb.protocol.state import RunState
from dashnb.view import Heading, bundle, record, to_html
from dashnb.view.bundle import KEPT
from view_support import (
    HOSTILE,
    TRANSCRIPTS,
    assert_harmless,
    call,
    created,
    folded,
    message,
    recorded,
    run,
    text_of,
    waiting,
)

HEADING = Heading("Weather", engine="guide · rules, no language model")


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.name)
def test_a_recorded_run_is_shown_after_every_event(path: Path) -> None:
    state = RunState(requested_at=0)
    for at, event in enumerate(parse_recording(path.read_bytes())):
        state.apply(event, at=at)
        assert_harmless(to_html(state, HEADING, live=True))
    assert_harmless(to_html(state, HEADING))
    assert state.text[:9] in text_of(to_html(state, HEADING))


def test_the_header_names_who_answers_and_how_it_ended() -> None:
    assert text_of(to_html(recorded("run-plain"), HEADING)).split("\n")[1] == (
        "Weather · qwen-max · guide · rules, no language model · ● completed"
    )


def test_search_results_are_a_list_with_links() -> None:
    html = to_html(recorded("run-quark"), HEADING)
    assert (
        '<a href="http://bj.cma.gov.cn/fzlm/index.html" target="_blank" rel="noopener noreferrer">北京市気象局</a>'
        in html
    )
    assert "→ 11 results" in text_of(html)
    assert "… 1 more" in text_of(html)


def test_calls_are_closed_when_done_and_open_while_they_run() -> None:
    running = folded([created(), *call("f", '{"a": "b', status="in_progress")])
    assert "<details open " in to_html(running, HEADING, live=True)
    assert '"a": "b</pre>' in to_html(running, HEADING, live=True).replace("&quot;", '"')
    done = folded([created(), *call("f", "{}", "4"), run("completed")])
    assert "<details style" in to_html(done, HEADING)


def test_pictures_that_the_answer_does_not_show_are_shown() -> None:
    output = json.dumps({"results": [{"url": "https://example.org/a.png"}]})
    apart = folded(
        [created(), *call("text_to_image", '{"prompt": "a cat"}', output), *message("Here."), run("completed")]
    )
    assert '<img src="https://example.org/a.png"' in to_html(apart, HEADING)
    inside = "![cat](https://example.org/a.png)"
    shown = folded([created(), *call("text_to_image", "{}", output), *message(inside), run("completed")])
    assert to_html(shown, HEADING).count("<img") == 1


def test_json_is_indented_programs_are_lines_and_long_outputs_are_cut() -> None:
    state = folded(
        [
            created(),
            *call("code_interpreter", json.dumps({"code": "x = 1\nprint(x)"}), {"rows": [1]}, step="a"),
            *call("read", "{}", "y" * 5000, step="b"),
            run("completed"),
        ]
    )
    text = text_of(to_html(state, HEADING))
    assert "x = 1\nprint(x)" in text
    assert '"rows": [' in text
    assert "… 1,000 more characters" in text


def test_errors_and_waiting_are_boxes() -> None:
    failed = folded([created(), *message("Half"), run("failed", last_error={"code": "E", "message": "<i>no</i>"})])
    assert "The run failed: E: &lt;i&gt;no&lt;/i&gt;" in to_html(failed, HEADING)
    assert "Half" in to_html(failed, HEADING)
    asked = folded([created(), *call("get_weather", '{"city": "Rome"}', status="in_progress"), waiting()])
    assert "waits for its output" in text_of(to_html(asked, HEADING))
    assert "The run waits for the output of get_weather. Go on with %assistant continue." in text_of(
        to_html(asked, HEADING)
    )


def test_calls_that_no_step_shows_are_shown_all_the_same() -> None:
    assert '"city": "Rome"' in text_of(to_html(folded([created(), waiting()]), HEADING))


def test_seconds_are_shown_only_where_a_person_looks_on() -> None:
    state = recorded("run-quark")
    assert "tokens/s" not in to_html(state, HEADING)
    assert "tokens/s" in to_html(state, Heading(watched=True))
    assert "1,865 tokens in · 139 out · 2,004 in total" in to_html(state, HEADING)


def test_the_state_of_a_live_run_stands_below_the_answer() -> None:
    assert "Weather is working …" in to_html(RunState(), HEADING, live=True)
    assert "writing …" in to_html(folded([created(), *message("Hi")]), HEADING, live=True)
    assert "f is running …" in to_html(folded([created(), *call("f", "{}", status="in_progress")]), HEADING, live=True)
    assert "calling get_weather …" in to_html(folded([created(), waiting()]), HEADING, live=True)


@given(text=HOSTILE, arguments=HOSTILE, output=HOSTILE, name=HOSTILE, watched=st.booleans())
@settings(deadline=None, max_examples=150)
def test_nothing_in_a_run_becomes_active(text: str, arguments: str, output: str, name: str, watched: bool) -> None:
    found = json.dumps({"data": [{"title": text, "url": "https://x.y/" + text, "desc": output, "source": name}]})
    drawn = json.dumps({"results": [{"url": output}, {"url": "https://x.y/" + text}]})
    state = folded(
        [
            created(),
            *call(name, arguments, output, step="a"),
            *call(name, arguments, found, step="b"),
            *call(name, arguments, drawn, step="c"),
            *message(text),
            run("failed", last_error={"code": name or "x", "message": output}),
        ]
    )
    assert_harmless(to_html(state, Heading(name, engine=text, watched=watched)))
    assert_harmless(to_html(state, Heading(name, engine=text, watched=watched), live=True))


def test_a_bundle_has_three_forms_and_a_record() -> None:
    data, metadata = bundle(recorded("run-quark"), HEADING)
    assert list(data) == ["text/html", "text/markdown", "text/plain"]
    kept = metadata["dashnb"]
    assert kept["run"]["id"].startswith("run_")
    assert kept["run"]["status"] == "completed"
    assert kept["usage"] == {"input_tokens": 1865, "output_tokens": 139, "total_tokens": 2004}
    assert kept["times"]["duration_ms"] > kept["times"]["time_to_first_token_ms"] > 0
    assert [step["type"] for step in kept["steps"]] == ["tool_calls", "message_creation"]
    assert kept["steps"][0]["calls"][0]["output"] == recorded("run-quark").tool_calls[0].output
    assert json.loads(json.dumps(metadata, allow_nan=False)) == metadata


def test_data_is_the_same_however_long_the_run_took_and_holds_no_id() -> None:
    events = parse_recording(next(path for path in TRANSCRIPTS if "quark" in path.name).read_bytes())
    fast, slow = bundle(folded(events), HEADING), bundle(folded(events, every_ms=999), HEADING)
    assert fast[0] == slow[0]
    assert fast[1] != slow[1]
    assert not any(word in form for form in fast[0].values() for word in ("run_", "thread_", "step_", "asst_"))


def test_a_record_keeps_what_fits_and_says_what_it_cut() -> None:
    state = folded([created(), *call("f", "{}", "y" * (KEPT + 10)), *call("g", "{}", "z", step="u"), run("completed")])
    first, second = (step["calls"][0] for step in record(state, HEADING)["steps"])
    assert len(first["output"]) == KEPT - 2
    assert first["cut"] == {"output": KEPT + 10}
    assert second["cut"] == {"arguments": 2, "output": 1}


def test_a_bundle_can_always_be_sent() -> None:
    output = [{"value": float("nan"), "half": "\ud83d"}]
    state = folded([created(), *call("f", "{}", output), *message("\ud83d", "\ude00 \udc00"), run("completed")])
    data, metadata = bundle(state, HEADING)
    json.dumps([data, metadata], allow_nan=False, ensure_ascii=False).encode()
    assert "😀" in data["text/plain"]
