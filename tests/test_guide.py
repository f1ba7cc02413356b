"""The guide: what it answers, which tools it calls with what, and what it declines."""

from __future__ import annotations

import asyncio
import json
import string
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashnb.local.models.engine import Call, CallPiece, Engine, Piece, Said, Spent, TextPiece, Turn
from dashnb.local.models.guide import GuideEngine
from dashnb.local.models.guide.language import argument_pieces, count_tokens, language_of, pieces_of
from dashnb.local.models.guide.phrases import PHRASES, SKIES
from dashnb.local.models.guide.sampler import SAMPLERS
from dashnb.local.plugins.builtin import builtin_plugins

Tool = dict[str, Any]
TALKED = (("Hello", "Hello!"),)  # an earlier exchange, so that no note ends the answer


def function(name: str, description: str = "", required: Sequence[str] | None = None, **properties: Any) -> Tool:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties if required is None else required),
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
SEARCH, PICTURE, CALCULATOR, QR = (
    {"type": t} for t in ("quark_search", "text_to_image", "calculator", "generate_qrcode")
)
WEATHER = function(
    "get_current_weather",
    "Get the current weather in a given location",
    ["location"],
    location={"type": "string", "description": "The city, e.g. San Francisco"},
    unit={"type": "string", "enum": ["celsius", "fahrenheit"]},
)
ADD = function("big_add", "Add two big numbers", left=WHOLE, right=WHOLE)
TRANSLATE = function("translate_text", "Translate a text", text=TEXT, target_language=TEXT)
TRAINS = function(
    "get_train_info", "Train timetable", ["departure", "destination"], departure=TEXT, destination=TEXT, date=TEXT
)

PIZZA = function("order_pizza", size={"$ref": "#/$defs/Size"})
PIZZA["function"]["parameters"]["$defs"] = {"Size": {"type": "string", "enum": ["small", "large"]}}


def turn_of(text: str, tools: Iterable[Tool] = (), before: Sequence[tuple[str, str]] = TALKED, **more: Any) -> Turn:
    messages = [Said(role, said) for pair in before for role, said in zip(("user", "assistant"), pair, strict=True)]
    return Turn("guide", "Use tools.", tuple(tools), (*messages, Said("user", text)), **more)


def pieces(turn: Turn) -> list[Piece]:
    async def collect() -> list[Piece]:
        return [piece async for piece in GuideEngine().answer(turn)]

    return asyncio.run(collect())


def text_of(turn: Turn) -> str:
    return "".join(piece.text for piece in pieces(turn) if isinstance(piece, TextPiece))


def calls_of(turn: Turn) -> list[tuple[str, dict[str, Any]]]:
    """The calls of a turn; the pieces of their arguments joined and read as JSON."""
    joined: dict[tuple[int, str], str] = {}
    for piece in pieces(turn):
        if isinstance(piece, CallPiece):
            joined[piece.number, piece.name] = joined.get((piece.number, piece.name), "") + piece.arguments
    return [(name, json.loads(text)) for (_, name), text in joined.items()]


def play(
    text: str, tools: Iterable[Tool], functions: dict[str, Callable[..., str]] | None = None
) -> tuple[list[str], str]:
    """A whole run, as the runner makes it: the tools called in order, and the answer."""
    turn, rounds = turn_of(text, tools), []
    while calls := calls_of(turn):
        made = []
        for name, arguments in calls:
            written = json.dumps(arguments, ensure_ascii=False)
            plugin = builtin_plugins().get(name)
            output = asyncio.run(plugin(written, {})) if plugin else (functions or {})[name](**arguments)
            made.append(Call(name, written, output))
        rounds.append(tuple(made))
        assert len(rounds) <= 4, "the guide goes in circles"
        turn = turn_of(text, tools, rounds=tuple(rounds))
    return [call.name for made in rounds for call in made], text_of(turn)


def test_the_guide_is_an_engine() -> None:
    engine: Engine = GuideEngine()
    assert engine.name == "guide"


# Plain answers


def test_a_sum_is_answered_in_a_sentence_and_in_small_pieces() -> None:
    texts = [
        piece.text
        for piece in pieces(turn_of("What is 999 × 998?", [PICTURE, WEATHER]))
        if isinstance(piece, TextPiece)
    ]
    assert texts == ["9", "9", "9", " multiplied", " by", " 998", " equals", " 997002."]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("999 に 998 を掛けると?", "999 に 998 を掛けると 997002 になります。"),
        ("999乘以998等于多少", "999 乘以 998 等于 997002。"),
        ("what's 12.5 / 5 + 3", "12.5 / 5 + 3 equals 5.5."),
        ("divide 10 by 3", "10 divided by 3 ≈ 3.33333333333."),
        ("What is 1/0?", "1 ÷ 0 has no result: Division by zero."),
    ],
)
def test_sums_are_answered_in_the_language_of_the_question(question: str, answer: str) -> None:
    assert text_of(turn_of(question)) == answer


@pytest.mark.parametrize(
    ("question", "words"),
    [("hello", "no language model"), ("你好", "没有语言模型"), ("こんにちは", "言語モデルは使っていません")],
)
def test_the_first_answer_of_a_thread_ends_with_one_honest_note(question: str, words: str) -> None:
    *_, note = text_of(turn_of(question, before=())).split("\n\n")
    assert note.startswith("*")
    assert note.endswith("*")
    assert words in note
    assert "%assistant connect cloud" in note
    assert "DASHSCOPE_API_KEY" in note
    assert note not in text_of(turn_of(question))


@pytest.mark.parametrize("question", ["Who are you?", "help", "你是谁", "何ができますか"])
def test_it_introduces_itself_and_names_the_tools_of_the_assistant(question: str) -> None:
    answer = text_of(turn_of(question, [WEATHER, SEARCH]))
    assert "dashnb" in answer
    assert "`get_current_weather`" in answer
    assert "`quark_search`" in answer


@pytest.mark.parametrize("question", ["How to cook a beef and potato stew?", "爱是什么", "愛とは何ですか", "", "?!"])
def test_what_it_cannot_answer_it_declines(question: str) -> None:
    answer = text_of(turn_of(question))
    assert any(words in answer for words in ("I cannot answer that", "我答不了", "答えられません"))
    assert "%assistant connect cloud" in answer


@pytest.mark.parametrize(
    "question", ["Tell me a story", "write 200 words", "show me markdown", "讲个故事", "物語を聞かせて"]
)
def test_a_wish_for_a_long_text_brings_every_kind_of_markdown(question: str) -> None:
    answer = text_of(turn_of(question))
    for mark in ("## ", "\n1. ", "\n- ", "\n| ", "```python", "\n> ", "**"):
        assert mark in answer


def test_the_english_sampler_is_a_page_long() -> None:
    assert 150 <= len(SAMPLERS["en"].split()) <= 280


@pytest.mark.parametrize(
    ("question", "before", "answer"),
    [
        ("and times 2?", "999 multiplied by 998 equals 997002.", "997002 multiplied by 2 equals 1994004."),
        ("那再加 8 呢", "999 乘以 998 等于 997002。", "997002 加 8 等于 997010。"),
        ("What did I ask before?", "x", "Before this, you said:\n\n1. First"),
    ],
)
def test_it_knows_what_was_said_before(question: str, before: str, answer: str) -> None:
    assert text_of(turn_of(question, before=(("First", before),))) == answer


# Functions


@pytest.mark.parametrize(
    ("question", "tool", "arguments"),
    [
        ("add 87787 to 788988737", ADD, {"left": 87787, "right": 788988737}),
        ("87787加788988737", ADD, {"left": 87787, "right": 788988737}),
        ("87787と788988737を足すと", ADD, {"left": 87787, "right": 788988737}),
        ("What is the weather in Xi'an?", WEATHER, {"location": "Xi'an"}),
        ("weather in beijing in Fahrenheit", WEATHER, {"location": "Beijing", "unit": "fahrenheit"}),
        ("北京の天気", WEATHER, {"location": "北京"}),
        ("北京天气怎么样", WEATHER, {"location": "北京"}),
        ("奈良の天気を教えて", WEATHER, {"location": "奈良"}),
        ('Translate "Hello world" to Chinese', TRANSLATE, {"text": "Hello world", "target_language": "Chinese"}),
        ("Translate good morning to French.", TRANSLATE, {"text": "good morning", "target_language": "French"}),
        ("把“你好”翻译成英文", TRANSLATE, {"text": "你好", "target_language": "英文"}),
        (
            "trains to Shanghai from Beijing tomorrow",
            TRAINS,
            {"departure": "Beijing", "destination": "Shanghai", "date": "tomorrow"},
        ),
        ("从西安到北京的火车", TRAINS, {"departure": "西安", "destination": "北京"}),
        (
            "What is the mean of 1, 2.5 and 4?",
            function("mean", numbers={"type": "array", "items": {"type": "number"}}),
            {"numbers": [1, 2.5, 4]},
        ),
        ("What time is it?", function("get_time", "The time of day"), {}),
        ("Roll the dice 3 times", function("roll_dice", times=WHOLE), {"times": 3}),
        (
            "Set an alarm for 7, without sound",
            function("set_alarm", hour=WHOLE, sound={"type": "boolean"}),
            {"hour": 7, "sound": False},
        ),
        (
            "weather in Ulm",
            function("getWeather", city={"anyOf": [{"type": "string"}, {"type": "null"}]}),
            {"city": "Ulm"},
        ),
        ("Order a large pizza", PIZZA, {"size": "large"}),
        ("Order a pizza", PIZZA, None),
    ],
)
def test_arguments_are_what_stands_in_the_message(question: str, tool: Tool, arguments: dict[str, Any] | None) -> None:
    expected = [] if arguments is None else [(tool["function"]["name"], arguments)]
    assert calls_of(turn_of(question, [tool])) == expected


def test_arguments_come_in_pieces_that_part_key_and_value() -> None:
    turn = turn_of("What is the weather in Xi'an?", [WEATHER])
    assert pieces(turn)[:-1] == [
        CallPiece(0, "get_current_weather", '{"location": "'),
        CallPiece(0, "get_current_weather", "Xi'an\"}"),
    ]


def test_several_cities_make_several_calls_in_one_round() -> None:
    assert calls_of(turn_of("weather in Beijing and Xi'an?", [WEATHER])) == [
        ("get_current_weather", {"location": "Beijing"}),
        ("get_current_weather", {"location": "Xi'an"}),
    ]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What is the weather like?", "does not say"),
        ("天气怎么样", "没有说明"),
        ("天気はどうですか", "メッセージにありません"),
    ],
)
def test_a_missing_argument_is_named_and_nothing_is_called(question: str, words: str) -> None:
    answer = text_of(turn_of(question, [WEATHER]))
    assert words in answer
    assert "`location`" in answer


@pytest.mark.parametrize(
    "question",
    [
        "What is 999 × 998?",
        "What is the best city to live in?",
        "Tell me a joke",
        "你好",
        "Tell me about painting techniques",
    ],
)
def test_a_tool_that_the_message_does_not_speak_of_is_not_called(question: str) -> None:
    assert calls_of(turn_of(question, [PICTURE, WEATHER, ADD])) == []


def test_a_follow_up_asks_the_same_of_another_place() -> None:
    turn = turn_of("And in Xi'an?", [WEATHER], before=(("What is the weather in Beijing?", "Rain."),))
    assert calls_of(turn) == [("get_current_weather", {"location": "Xi'an"})]


@pytest.mark.parametrize(
    ("question", "output", "answer"),
    [
        ("What is the weather in Xi'an?", "rain", "The current weather in Xi'an is rain."),
        ("西安の天気は?", "rain", "西安の現在の天気は雨です。"),
        ("西安天气怎么样", "rain", "西安现在的天气是雨。"),
        (
            "What is the weather in Xi'an?",
            '{"sky": "rain", "degrees": 18}',
            "`get_current_weather` returned:\n\n- sky: rain\n- degrees: 18",
        ),
        ("What is the weather in Xi'an?", "It rains.", "The result of `get_current_weather` is: It rains."),
        ("What is the weather in Xi'an?", "", "`get_current_weather` returned nothing."),
        ("What is the weather in Xi'an?", "Error: no network", "`get_current_weather` could not do it: no network"),
    ],
)
def test_a_function_s_output_becomes_a_sentence(question: str, output: str, answer: str) -> None:
    called, text = play(question, [WEATHER], {"get_current_weather": lambda **_: output})
    assert (called, text) == (["get_current_weather"], answer)


@pytest.mark.parametrize("output", ["789076524", '{"result": 789076524}', "789076524.0"])
def test_a_sum_is_answered_from_what_the_function_gave(output: str) -> None:
    _, text = play("add 87787 to 788988737", [ADD], {"big_add": lambda **_: output})
    assert text == "87787 plus 788988737 equals 789076524."


def test_a_wrong_result_of_a_function_is_not_corrected() -> None:
    _, text = play("add 1 to 2", [ADD], {"big_add": lambda **_: "4"})
    assert text == "1 plus 2 equals 4."


# Built-in tools


def test_a_sum_goes_to_the_calculator() -> None:
    assert calls_of(turn_of("What is 999 × 998?", [CALCULATOR])) == [("calculator", {"expression": "999 × 998"})]
    assert play("What is 999 × 998?", [CALCULATOR])[1] == "999 multiplied by 998 equals 997002."
    assert play("What is 1/0?", [CALCULATOR])[1] == "1 ÷ 0 has no result: Division by zero."


@pytest.mark.parametrize(
    ("question", "query", "words"),
    [
        (
            "What is the weather in Beijing today?",
            "weather in Beijing today",
            "The weather in Beijing is clear at 24 °C",
        ),
        ("今日の北京の天気は?", "今日の北京の天気", "北京の天気は晴れ"),
        ("今天北京天气怎么样", "今天北京天气", "北京的天气：晴"),
        ("Who is Claude Monet?", "Claude Monet", "Impressionism"),
    ],
)
def test_a_search_is_answered_from_its_results_and_names_their_source(question: str, query: str, words: str) -> None:
    assert calls_of(turn_of(question, [SEARCH])) == [("quark_search", {"query": query})]
    called, text = play(question, [SEARCH])
    assert called == ["quark_search"]
    assert words in text
    assert "dashnb built-in documents" in text


def test_a_search_without_results_is_admitted() -> None:
    assert "found nothing" in play("Who won the match in Peru?", [SEARCH])[1]


def test_the_results_of_another_search_engine_are_read_too() -> None:
    output = {
        "data": [{"title": "A", "url": "http://a.example/x", "desc": "About a.", "type": "normal", "source": "Site"}]
    }
    made = ((Call("quark_search", '{"query": "a"}', json.dumps(output)),),)
    assert text_of(turn_of("search for a", [SEARCH], rounds=made)) == (
        "The search found “A”: About a. (Source: [Site](<http://a.example/x>))"
    )


@pytest.mark.parametrize(
    ("question", "prompt", "words"),
    [
        ("Draw a picture of a ragdoll cat.", "a ragdoll cat, soft watercolour", "It is a sketch"),
        ("ラグドール猫の絵を描いてください。", "ラグドール猫、やわらかな水彩", "スケッチ"),
        ("画一只布偶猫", "布偶猫，柔和的水彩", "草图"),
    ],
)
def test_a_picture_is_drawn_from_an_improved_prompt_and_shown(question: str, prompt: str, words: str) -> None:
    ((name, arguments),) = calls_of(turn_of(question, [SEARCH, PICTURE]))
    assert name == "text_to_image"
    assert arguments["prompt"].startswith(prompt)
    called, text = play(question, [SEARCH, PICTURE])
    assert called == ["text_to_image"]
    assert words in text
    assert "](data:image/png;base64," in text


def test_a_picture_s_address_stays_in_one_piece() -> None:
    output = asyncio.run(builtin_plugins()["text_to_image"]('{"prompt": "a cat"}', {}))
    turn = turn_of("Draw a cat", [PICTURE], rounds=((Call("text_to_image", '{"prompt": "a cat"}', output),),))
    assert sum("base64" in piece.text for piece in pieces(turn) if isinstance(piece, TextPiece)) == 1


def test_the_number_of_pictures_is_passed_on() -> None:
    ((_, arguments),) = calls_of(turn_of("Draw three pictures of a ship", [PICTURE]))
    assert arguments["n"] == 3


def test_one_question_may_need_several_tools_in_turn() -> None:
    question = "Check the weather in Beijing, then draw a picture of it and make a QR code for https://example.org"
    called, text = play(question, [PICTURE, QR, SEARCH])
    assert called == ["quark_search", "text_to_image", "generate_qrcode"]
    assert "24 °C" in text
    assert "![weather in Beijing](data:image/png" in text
    assert "QR code for https://example.org." in text
    assert "![QR](data:image/png" in text


def test_nothing_is_called_twice_even_if_it_failed() -> None:
    made = ((Call("quark_search", '{"query": "x"}', "Error: no network"),),)
    turn = turn_of("Search for x", [SEARCH], rounds=made)
    assert calls_of(turn) == []
    assert text_of(turn) == "`quark_search` could not do it: no network"


# Usage, determinism, tables


def test_each_turn_ends_with_the_tokens_it_spent() -> None:
    turn = turn_of("What is 999 × 998?")
    *texts, spent = pieces(turn)
    assert isinstance(spent, Spent)
    said = sum(count_tokens(message.text) for message in turn.messages)
    assert spent.input_tokens == count_tokens(turn.instructions) + said
    assert spent.output_tokens == sum(count_tokens(piece.text) for piece in texts if isinstance(piece, TextPiece))


def test_tools_and_earlier_rounds_cost_tokens() -> None:
    bare, *others = (
        turn_of("x"),
        turn_of("x", [WEATHER]),
        turn_of("x", rounds=((Call("f", "{}", "a long output"),),)),
    )
    cost = [piece.input_tokens for turn in (bare, *others) for piece in pieces(turn) if isinstance(piece, Spent)]
    assert min(cost[1:]) > cost[0]


@given(st.text(max_size=80))
def test_any_message_gets_the_same_pieces_each_time(text: str) -> None:
    turn = turn_of(text, [SEARCH, PICTURE, CALCULATOR, WEATHER, ADD, TRANSLATE, TRAINS, {"type": "hhh"}])
    assert pieces(turn) == pieces(turn)
    calls_of(turn)


@pytest.mark.parametrize(
    "text", ["1", "\n", "A B ", "tell ", "search for ", "(1", "1,", "画一", "天气", "from to ", '"']
)
def test_a_long_message_is_read_in_no_time(text: str) -> None:
    start = time.perf_counter()
    pieces(turn_of(text * (8000 // len(text)), [SEARCH, PICTURE, WEATHER, ADD, TRANSLATE, TRAINS]))
    # Some tens of milliseconds; a pattern that tries every way to match would take minutes.
    assert time.perf_counter() - start < 5


@given(st.text(max_size=80))
def test_any_output_of_a_function_is_answered(output: str) -> None:
    made = ((Call("get_current_weather", '{"location": "Ulm"}', output),),)
    assert text_of(turn_of("What is the weather in Ulm?", [WEATHER], rounds=made))


@given(
    st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers() | st.booleans() | st.lists(st.integers()))
)
def test_the_pieces_of_arguments_join_to_their_json(arguments: dict[str, object]) -> None:
    assert json.loads("".join(argument_pieces(arguments))) == arguments


@given(st.text())
def test_the_pieces_of_a_text_join_to_the_text(text: str) -> None:
    assert "".join(pieces_of(text)) == text


@pytest.mark.parametrize(
    ("text", "language"), [("hi 999", "en"), ("天气", "zh"), ("天気は", "ja"), ("カタカナ", "ja"), ("", "en")]
)
def test_the_script_decides_the_language(text: str, language: str) -> None:
    assert language_of(text) == language


def test_every_language_says_everything_with_the_same_values() -> None:
    def fields(phrase: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(phrase) if name}

    for phrases in PHRASES.values():
        assert {key: fields(phrase) for key, phrase in phrases.items()} == {
            key: fields(phrase) for key, phrase in PHRASES["en"].items()
        }
    assert SKIES.keys() == PHRASES.keys() == SAMPLERS.keys()


def test_a_question_before_other_wishes_is_searched_alone() -> None:
    message = "What is the weather in Beijing? Draw a picture of it and make a QR code of it."
    tools = [{"type": kind} for kind in ("quark_search", "text_to_image", "generate_qrcode")]
    (call,) = calls_of(turn_of(message, tools))
    assert call == ("quark_search", {"query": "weather in Beijing"})
