"""The built-in tools: their documented shapes, their determinism, and what they refuse."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.local.plugins import PluginError
from dashnb.local.plugins.builtin import PLUGINS
from dashnb.local.plugins.canvas import PALETTE, Canvas
from dashnb.local.plugins.sketch import draw, sky_of, subject_of


def call(plugin: str, **arguments: object) -> Any:
    """The output of a plugin, read."""
    return json.loads(asyncio.run(PLUGINS[plugin](json.dumps(arguments), {"type": plugin})))


@pytest.mark.parametrize("plugin", sorted(PLUGINS))
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ('{"query": ', "not JSON"),
        ("[1]", "not a JSON object"),
        ("", "needs the argument"),
        ("{}", "needs the argument"),
    ],
)
def test_bad_arguments_are_refused_with_a_clear_message(plugin: str, arguments: str, complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint) as caught:
        asyncio.run(PLUGINS[plugin](arguments, {"type": plugin}))
    assert caught.value.code == "InvokePluginFailed"


# quark_search


def test_a_search_has_the_documented_shape() -> None:
    output = call("quark_search", query="weather in Beijing")
    assert list(output) == ["success", "errorCode", "errorMsg", "data", "requestId", "failed"]
    assert (output["success"], output["failed"], output["errorCode"]) == (True, False, None)
    assert list(output["data"][0]) == ["title", "url", "desc", "type", "original", "query", "source"]
    assert output["data"][0]["source"] == "dashnb built-in documents"


def test_the_same_query_gives_the_same_output() -> None:
    assert call("quark_search", query="cats") == call("search", query="cats")
    assert call("search", query="cats")["requestId"] != call("search", query="dogs")["requestId"]


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("What is the weather in Beijing today?", "Weather in Beijing (sample data)"),
        ("今日の北京の天気", "北京の天気（サンプルデータ）"),
        ("今天北京天气怎么样", "北京天气（示例数据）"),
        ("東京の天気は", "東京の天気（サンプルデータ）"),
        ("Xi'an weather", "Weather in Xi'an (sample data)"),
        ("ragdoll cat", "Ragdoll cats"),
        ("布偶猫是什么品种", "布偶猫"),
        ("What is a run step?", "Run step"),
        ("who is Claude Monet", "Impressionism"),
    ],
)
def test_a_search_finds_the_document_in_the_language_of_the_query(query: str, title: str) -> None:
    assert call("quark_search", query=query)["data"][0]["title"] == title


@pytest.mark.parametrize(
    "query", ["weather in Lisbon", "里斯本天气", "京都の天気", "What happened in Peru in 1848?", "???"]
)
def test_a_search_for_what_is_not_there_succeeds_with_nothing(query: str) -> None:
    output = call("quark_search", query=query)
    assert output["success"] is True
    assert output["data"] == []


def test_the_weather_of_one_city_is_not_offered_for_another() -> None:
    assert len(call("quark_search", query="今天北京天气怎么样")["data"]) == 1


def test_every_weather_record_says_that_it_is_a_sample() -> None:
    for query in ("weather in Beijing", "上海天气", "東京の天気"):
        (record,) = call("quark_search", query=query)["data"]
        assert record["type"] == "sample_weather"
        assert any(word in record["desc"] for word in ("sample data", "示例数据", "サンプルデータ"))


# text_to_image


def decode(png: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG, with their checksums verified."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(name + data),)
        chunks[name] = data
        at += 12 + length
    return chunks


def check_picture(png: bytes) -> None:
    chunks = decode(png)
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (width, height, depth, kind) == (256, 256, 8, 3)
    pixels = zlib.decompress(chunks[b"IDAT"])
    assert len(pixels) == 256 * 257
    assert max(pixels) < len(chunks[b"PLTE"]) // 3 <= PALETTE
    assert chunks[b"IEND"] == b""


def test_a_picture_has_the_documented_shape() -> None:
    answer = call("text_to_image", prompt="a ragdoll cat")
    output = answer["output"]
    assert answer["request_id"]
    assert (output["task_status"], output["task_metrics"]) == ("SUCCEEDED", {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0})
    assert {"task_id", "submit_time", "scheduled_time", "end_time"} <= set(output)
    head, _, data = output["results"][0]["url"].partition(",")
    assert head == "data:image/png;base64"
    check_picture(base64.b64decode(data, validate=True))


@pytest.mark.parametrize(("wanted", "count"), [(2, 2), (4, 4), (99, 4), (0, 1), (-3, 1), ("two", 1)])
def test_at_most_four_pictures_are_drawn(wanted: object, count: int) -> None:
    output = call("wanx", prompt="a theory of colours", n=wanted)["output"]
    assert len(output["results"]) == output["task_metrics"]["TOTAL"] == count


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("A ragdoll cat, soft watercolour", "cat"),
        ("ラグドール猫", "cat"),
        ("布偶猫", "cat"),
        ("a puppy", "dog"),
        ("海边的房子", "house"),
        ("森の木", "tree"),
        ("a snowy mountain landscape", "mountain"),
        ("goldfish", "fish"),
        ("船", "ship"),
        ("the sun", "sun"),
        ("一朵花", "flower"),
        ("category theory", "abstract"),
    ],
)
def test_the_prompt_says_what_is_drawn(prompt: str, subject: str) -> None:
    assert subject_of(prompt) == subject


@pytest.mark.parametrize(
    "subject", ["cat", "dog", "house", "tree", "fish", "ship", "flower", "mountain", "sun", "idea"]
)
@pytest.mark.parametrize("mood", ["", " at night"])
def test_every_subject_becomes_a_small_png(subject: str, mood: str) -> None:
    png = draw(f"a {subject}{mood}")
    check_picture(png)
    assert len(png) < 6000


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=60))
def test_any_prompt_is_drawn_and_always_the_same(prompt: str) -> None:
    png = draw(prompt)
    check_picture(png)
    assert png == draw(prompt)


def test_a_picture_is_drawn_quickly() -> None:
    start = time.perf_counter()
    draw("a ragdoll cat")
    # About a tenth of a second; the margin is for busy machines.
    assert time.perf_counter() - start < 2


def test_night_and_sunset_change_the_sky() -> None:
    assert [sky_of(prompt) for prompt in ("a cat at night", "夕焼けの船", "大海")] == ["night", "sunset", "sea"]
    assert draw("a cat at night") != draw("a cat")


def test_shapes_outside_the_canvas_are_cut_off() -> None:
    canvas = Canvas(16, (0, 0, 0))
    canvas.ellipse(-50, 8, 10, 10, (255, 255, 255))
    canvas.ellipse(8, 99, 10, 10, (255, 255, 255))
    canvas.polygon([(-9, -9), (8, -9), (8, 99), (-9, 99)], (255, 255, 255))
    assert [canvas.pixel(x, 8)[0] for x in range(16)] == [255] * 8 + [0] * 8


def test_edges_are_smooth() -> None:
    canvas = Canvas(16, (0, 0, 0))
    canvas.polygon([(0, 0), (4.5, 0), (4.5, 16), (0, 16)], (255, 255, 255))
    assert [canvas.pixel(x, 8)[0] for x in (3, 4, 5)] == [255, 128, 0]


# calculator


@pytest.mark.parametrize("key", ["expression", "formula"])
def test_the_calculator_gives_formula_and_result(key: str) -> None:
    assert call("calculator", **{key: "999 × 998"}) == {"formula": "999 × 998", "result": "997002", "exact": True}


def test_the_calculator_says_when_a_result_is_rounded_or_impossible() -> None:
    assert call("calculator", expression="1/3")["exact"] is False
    assert call("calculator", expression="1/0") == {"formula": "1/0", "error": "Division by zero."}
