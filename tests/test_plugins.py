"""The built-in tools: their documented shapes, their determinism, and what they refuse."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
import zlib
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.local.documents.library import Document, Library
from dashnb.local.documents.passages import passages
from dashnb.local.documents.texts import Text
from dashnb.local.models.engine import CallPiece
from dashnb.local.plugins import PluginError, toolbox
from dashnb.local.plugins.builtin import builtin_plugins
from dashnb.local.plugins.canvas import PALETTE, Canvas
from dashnb.local.plugins.rag import fill_placeholder, passages_of
from dashnb.local.plugins.sketch import draw, sky_of, subject_of
from dashnb.view.toolcalls import picture_url
from scripted import Script, serving


def call(plugin: str, **arguments: object) -> Any:
    """The output of a plugin, read."""
    return json.loads(asyncio.run(builtin_plugins()[plugin](json.dumps(arguments), {"type": plugin})))


TAKES_ARGUMENTS = sorted(set(builtin_plugins()) - {"code_interpreter", "github_search"})


@pytest.mark.parametrize("plugin", TAKES_ARGUMENTS)
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ('{"query": ', "not JSON"),
        ("[1]", "not a JSON object"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        ("", "needs the argument"),
        ("{}", "needs the argument"),
    ],
)
def test_bad_arguments_are_refused_with_a_clear_message(plugin: str, arguments: str, complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint) as caught:
        asyncio.run(builtin_plugins()[plugin](arguments, {"type": plugin}))
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


def test_a_picture_is_kept_as_a_file_too(tmp_path: Path) -> None:
    tool = builtin_plugins(lambda: tmp_path)["text_to_image"]
    output = json.loads(asyncio.run(tool('{"prompt": "a ship", "n": 2}', {})))["output"]
    kept = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in kept] == [f"{output['task_id']}-{n}.png" for n in (1, 2)]
    urls = [f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" for path in kept]
    assert [result["url"] for result in output["results"]] == urls


def test_a_picture_is_drawn_even_where_it_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    tool = builtin_plugins(lambda: tmp_path / "file")["text_to_image"]
    assert "data:image/png" in asyncio.run(tool('{"prompt": "a ship"}', {}))


# quark_search, on documents of one's own


def keep(folder: Path, collection: str = "phones", **texts: str) -> None:
    with Library(folder / "documents.db") as library:
        for name, text in texts.items():
            document = Document(collection, name, f"/shop/{name}.md", "markdown")
            library.put(document, passages(Text(name, text, "markdown")))


def use(tool: str, folder: Path, definition: dict[str, Any] | None = None, **arguments: object) -> Any:
    plugin = builtin_plugins(lambda: folder)[tool]
    return json.loads(asyncio.run(plugin(json.dumps(arguments), definition or {"type": tool})))


def test_a_search_finds_own_documents_before_built_in_ones(tmp_path: Path) -> None:
    keep(tmp_path, cats="Our ragdoll cats sleep in the shop.")
    data = use("quark_search", tmp_path, query="ragdoll cats")["data"]
    assert [entry["source"] for entry in data] == ["/shop/cats.md", "dashnb built-in documents"]
    assert list(data[0]) == ["title", "url", "desc", "type", "original", "query", "source"]
    assert (data[0]["url"], data[0]["type"], data[0]["original"]) == (None, "markdown", None)


def test_what_answers_more_of_the_question_comes_first(tmp_path: Path) -> None:
    keep(tmp_path, beijing="The shop in Beijing sells phones in any weather.", other="Beijing has phones.")
    data = use("quark_search", tmp_path, query="weather in Beijing at 24 °C, clear, with a west wind")["data"]
    assert data[0]["type"] == "sample_weather"


def test_a_long_passage_is_shown_in_part_and_kept_whole(tmp_path: Path) -> None:
    filling = " ".join(f"Line {n} speaks of nothing." for n in range(20))
    keep(tmp_path, long=f"{filling} The X1 weighs 190 grams.")
    (entry,) = use("quark_search", tmp_path, query="X1 grams")["data"]
    assert "190 grams" in entry["desc"]
    assert len(entry["desc"]) < len(entry["original"]) <= 800


def test_documents_that_cannot_be_read_fail_the_tool(tmp_path: Path) -> None:
    (tmp_path / "documents.db").write_text("a letter, not a database. " * 100)
    for tool in ("quark_search", "rag"):
        with pytest.raises(PluginError, match=r"documents\.db cannot be used"):
            use(tool, tmp_path, query="cats")


# rag


def rag(*collections: str, **more: object) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"query_word": {"type": "str", "value": "${document1}"}}}
    return {"type": "rag", "prompt_ra": {"pipeline_id": list(collections), "parameters": parameters, **more}}


def test_rag_searches_the_named_collections_only(tmp_path: Path) -> None:
    keep(tmp_path, x1="The X1 has a large screen.")
    keep(tmp_path, "cars", car="The car has a large screen.")
    question = "Which one has a large screen?"
    data = use("rag", tmp_path, rag("phones"), query_word=question)["data"]
    assert [entry["source"] for entry in data] == ["/shop/x1.md"]
    assert len(use("rag", tmp_path, rag("phones", "cars"), query_word=question)["data"]) == 2
    assert len(use("rag", tmp_path, {"type": "rag"}, query_word=question)["data"]) == 2
    one = {"type": "rag", "prompt_ra": {"pipeline_id": "cars"}}
    assert [entry["title"] for entry in use("rag", tmp_path, one, query=question)["data"]] == ["car"]


def test_rag_gives_as_many_passages_as_asked(tmp_path: Path) -> None:
    keep(tmp_path, **{f"phone{n}": f"Phone {n} has a screen." for n in range(15)})
    for wanted, count in ((3, 3), (None, 5), ("many", 5), (0, 1), (99, 10)):
        assert len(use("rag", tmp_path, rag("phones", rerank_top_n=wanted), query_word="screen")["data"]) == count


def test_rag_says_which_collections_there_are(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"no documents yet\. Add some with: dashnb docs add"):
        use("rag", tmp_path, rag("phones"), query_word="screen")
    keep(tmp_path, x1="The X1 has a large screen.")
    keep(tmp_path, "cars", car="The car has a large screen.")
    with pytest.raises(PluginError, match="no collection 'idx_1'; there are: cars, phones"):
        use("rag", tmp_path, rag("idx_1"), query_word="screen")
    with pytest.raises(PluginError, match="pipeline_id"):
        use("rag", tmp_path, {"type": "rag", "prompt_ra": {"pipeline_id": [7]}}, query_word="screen")


@pytest.mark.parametrize("placeholder", ["${document1}", "${documents}"])
def test_passages_replace_the_placeholder_of_the_instructions(placeholder: str, tmp_path: Path) -> None:
    keep(tmp_path, x1="The X1 costs $4599 \\1 times.")
    output = json.dumps(use("rag", tmp_path, rag("phones"), query_word="X1 costs"))
    filled = fill_placeholder(f"Know this:\n{placeholder}\nBe brief.", passages_of(output))
    assert filled == "Know this:\n[1] x1\nThe X1 costs $4599 \\1 times.\nBe brief."
    assert fill_placeholder("Be brief. ${other}", ["x"]) == "Be brief. ${other}"
    assert passages_of("no JSON") == passages_of("[]") == passages_of('{"data": 3}') == passages_of("[" * 100_000) == []


# generate_qrcode


def bits(png: bytes) -> list[list[bool]]:
    """The pixels of a PNG of one bit, read without the library that wrote it; true is dark."""
    chunks = decode(png)
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, kind) == (1, 0)
    raw, size = zlib.decompress(chunks[b"IDAT"]), (width + 7) // 8 + 1
    rows = []
    for y in range(height):
        line = raw[y * size : (y + 1) * size]
        assert line[0] in (0, 2), "the lines are plain, or the difference from the line above"
        above = rows[-1] if line[0] == 2 else bytes(size)
        rows.append(bytes((new + old) % 256 for new, old in zip(line, above, strict=True)))
    return [[not row[1 + x // 8] >> (7 - x % 8) & 1 for x in range(width)] for row in rows]


@pytest.mark.parametrize("name", ["text", "content", "url"])
@pytest.mark.parametrize("text", ["https://example.org/a?b=1", "百炼手机 X1 の画面", "x" * 1000])
def test_a_qr_code_has_the_modules_of_its_text(name: str, text: str) -> None:
    url = call("generate_qrcode", **{name: text})["output"]["results"][0]["url"]
    assert len(url) < 4096
    assert picture_url(url) == url
    pixels = bits(base64.b64decode(url.partition(",")[2], validate=True))
    matrix = segno.make(text, micro=False, error="m").matrix
    scale = len(pixels) // (len(matrix) + 8)
    assert len(pixels) == len(pixels[0]) == (len(matrix) + 8) * scale
    middle = scale // 2
    read = [row[middle::scale][4:-4] for row in pixels[middle::scale][4:-4]]
    assert read == [[bool(module) for module in row] for row in matrix]


def test_a_qr_code_of_too_much_text_is_refused() -> None:
    with pytest.raises(PluginError, match="at most 1000 bytes of text, not 1002"):
        call("generate_qrcode", text="猫" * 334)


# What there is, and what there is not


def test_a_tool_that_needs_the_network_says_so() -> None:
    with pytest.raises(PluginError, match="github_search needs the network"):
        call("github_search", query="dashnb")


def test_an_unknown_tool_fails_the_run_and_says_what_there_is() -> None:
    with serving(Script([CallPiece(0, "time_machine", "{}")]), plugins=builtin_plugins()) as api:
        events = api.run("time_machine")
    assert "thread.run.step.failed" in [name for name, _ in events]
    ((_, run),) = [event for event in events if event[0] == "thread.run.failed"]
    assert "no tool 'time_machine'" in run["last_error"]["message"]
    assert "generate_qrcode" in run["last_error"]["message"]


async def shouting(arguments: str, tool: dict[str, Any]) -> str:
    return arguments.upper()


SHOUT = EntryPoint("shout", f"{__name__}:shouting", "dashnb.plugins")
BROKEN = EntryPoint("broken", "no_such_package:tool", "dashnb.plugins")
NUMBER = EntryPoint("number", "math:pi", "dashnb.plugins")


def test_installed_packages_offer_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolbox, "entry_points", lambda group: EntryPoints([SHOUT, BROKEN, NUMBER]).select(group=group))
    tools = builtin_plugins()
    assert {"shout", "broken", "number"} <= set(tools)
    assert asyncio.run(tools["shout"]("hello", {})) == "HELLO"
    with pytest.raises(PluginError, match="'broken' of no_such_package:tool cannot be loaded: ModuleNotFoundError"):
        tools["broken"]
    with pytest.raises(PluginError, match="'number' of math:pi is no function but float"):
        tools["number"]
    assert tools.get("other") is None
    assert len(tools) == len(set(tools))
