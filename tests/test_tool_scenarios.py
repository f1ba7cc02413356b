"""Scenarios with tools, played by the guide on the embedded API: what is found, drawn and passed on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashnb import cli
from dashnb.local.models.guide import GuideEngine
from dashnb.local.plugins.builtin import builtin_plugins
from scripted import Api, Event, names, of, path_of, serving

PHONES = {
    "x1.md": "# Bailian X1\n\nThe Bailian X1 has a 6.7 inch screen and a battery of 5000 mAh. It costs 4599 yuan.\n",
    "zephyr.md": "# Zephyr Z9\n\nThe Zephyr Z9 is the lightest phone of our shop: 168 grams.\n",
    "手机.md": "# 百炼 X1\n\n百炼 X1 配备 6.7 英寸屏幕，电池容量为 5000 毫安时，售价 4599 元。\n",
    "電話.md": "# 百煉 X1 の保証\n\n百煉 X1 の保証期間は二年です。\n",
}
RAG = {
    "type": "rag",
    "prompt_ra": {
        "pipeline_id": ["phones"],
        "multiknowledge_rerank_top_n": 10,
        "rerank_top_n": 5,
        "parameters": {"type": "object", "properties": {"query_word": {"type": "str", "value": "${document1}"}}},
    },
}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(GuideEngine(), plugins=builtin_plugins()) as api:
        yield api


@pytest.fixture
def phones(tmp_path: Path) -> None:
    folder = tmp_path / "phones"
    folder.mkdir()
    for name, text in PHONES.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert cli.main(["docs", "add", str(folder), "--collection", "phones"]) == 0


def ask(api: Api, question: str, *tools: dict[str, Any], **fields: Any) -> tuple[list[Event], list[Any], str]:
    """The events, the finished tool calls and the answer of a run."""
    assistant = api.assistant(tools=list(tools), **fields)
    with api.stream(f"/threads/{api.thread(question)}/runs", assistant_id=assistant) as stream:
        events = list(stream)
    steps = [step for step in of(events, "thread.run.step.completed") if step["type"] == "tool_calls"]
    calls = [call for step in steps for call in step["step_details"]["tool_calls"]]
    (message,) = of(events, "thread.message.completed")
    return events, calls, message["content"][0]["text"]["value"]


def output_of(call: Any) -> Any:
    return json.loads(call.get("plugin_name", call.get(call["type"]))["output"])


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (
            "Check the weather in Beijing, then draw a picture of it and make a QR code for https://example.org/beijing",
            "QR code for https://example.org/beijing",
        ),
        (
            "Check the weather in Beijing, draw a picture of it, and then make a QR code of it.",
            "QR code for weather in Beijing.",
        ),
        ("查一下北京天气，然后画一幅画，再为 https://example.org/beijing 生成二维码", "的二维码"),
        ("北京の天気を調べて、その絵を描いて、https://example.org/beijing の QRコードを作って", "QR コード"),
    ],
)
def test_the_weather_becomes_a_picture_and_a_qr_code(api: Api, question: str, answer: str) -> None:
    tools = [{"type": name} for name in ("quark_search", "text_to_image", "generate_qrcode")]
    events, calls, text = ask(api, question, *tools)
    assert names(events)[-2:] == ["thread.run.completed", "done"]
    assert [call["type"] for call in calls] == ["quark_search", "text_to_image", "generate_qrcode"]
    weather, picture, code = map(output_of, calls)
    assert weather["data"][0]["type"] == "sample_weather"
    assert "24 °C" in text
    for made in (picture, code):
        assert made["output"]["results"][0]["url"] in text
    assert answer in text
    steps = api.get(f"{path_of(events)}/steps")["data"]
    assert [step["type"] for step in steps].count("tool_calls") == 3


@pytest.mark.usefixtures("phones")
@pytest.mark.parametrize(
    ("question", "answer", "source"),
    [
        ("Which phone of your shop is the lightest?", "168 grams", "zephyr.md"),
        ("How large is the battery of the Bailian X1?", "5000 mAh", "x1.md"),
        ("百炼X1的屏幕有多大？", "6.7 英寸", "手机.md"),
        ("百煉X1の保証期間はどのくらいですか？", "二年", "電話.md"),
    ],
)
def test_a_phone_shop_answers_from_its_documents(api: Api, question: str, answer: str, source: str) -> None:
    instructions = "You sell phones. Answer from these documents: ${document1}"
    events, calls, text = ask(api, question, RAG, instructions=instructions)
    assert names(events)[-2:] == ["thread.run.completed", "done"]
    (call,) = calls
    assert call["type"] == "rag"
    assert output_of(call)["data"][0]["source"].endswith(source)
    assert answer in text
    assert source in text


def test_a_collection_that_is_not_there_fails_the_run(api: Api) -> None:
    assistant = api.assistant(tools=[RAG])
    thread = api.thread("Which phone is the lightest?")
    with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as stream:
        events = list(stream)
    (run,) = of(events, "thread.run.failed")
    assert run["last_error"]["code"] == "InvokePluginFailed"
    assert "dashnb docs add" in run["last_error"]["message"]
