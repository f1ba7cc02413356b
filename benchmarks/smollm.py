"""How fast the engine smollm is, and how often it is right: python benchmarks/smollm.py [FOLDER]

Needs the extra ``llm`` and the model of ``dashnb llm fetch``; FOLDER is the folder with the model's
file, the one in the data folder if left out. Prints the time to open the model, to the first token and
to a cancel, tokens per second, and the hits of twenty messages with a choice of four tools each (the
right tool, its arguments, the tool's output in the answer) and of six messages that need no tool.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from dashnb.local.models.engine import Call, CallPiece, Piece, Said, Spent, TextPiece, Turn
from dashnb.local.models.smollm import SmolLMEngine
from dashnb.local.models.smollm.weights import SMOLLM, weights_file
from dashnb.settings import Settings

ROUNDS = 5
TALK = "Write a long story about the sea."


def function(name: str, description: str, **parameters: str) -> dict[str, Any]:
    """A tool definition with required parameters of these types."""
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = [
    function("get_current_weather", "Get the current weather of a place", location="string"),
    function("big_add", "Add two integers", left="integer", right="integer"),
    function("translate", "Translate a text into another language", text="string", language="string"),
    {"type": "quark_search"},
    function("big_multiply", "Multiply two numbers", left="number", right="number"),
    {"type": "text_to_image"},
    function("convert_currency", "Convert an amount of money to another currency", amount="number"),
    function("get_stock_price", "Get the price of a stock", company="string"),
    function("send_email", "Send an email to a person", email="string"),
    function("set_alarm", "Set an alarm at a time", time="string"),
]
NAMES = [tool.get("function", {}).get("name") or tool["type"] for tool in TOOLS]
# Message, tool, what must stand in the arguments, the tool's output, what must stand in the answer.
TRIALS = [
    ("What is the weather in Beijing?", "get_current_weather", "Beijing", "sunny", "sunny"),
    ("Will it rain in Paris tomorrow?", "get_current_weather", "Paris", "heavy rain", "rain"),
    ("Is it cold in Oslo right now?", "get_current_weather", "Oslo", "-7 degrees", "7 degrees"),
    ("What is 12345 plus 67890?", "big_add", "67890", "80235", "80235"),
    ("Add 17 and 25.", "big_add", "25", "42", "42"),
    ("Multiply 999 by 998.", "big_multiply", "998", "997002", "997002"),
    ("What is 12 times 7?", "big_multiply", "12", "84", "84"),
    ("Translate 'good morning' into French.", "translate", "good morning", "bonjour", "bonjour"),
    ("How do you say 'thank you' in Japanese?", "translate", "thank you", "arigato", "arigato"),
    ("Search for the latest news about Mars.", "quark_search", "Mars", "A rover found ice.", "ice"),
    ("Who won the world cup in 2018?", "quark_search", "world cup", "France won.", "france"),
    ("Draw a cat on a sofa.", "text_to_image", "cat", "The picture is cat.png.", "cat"),
    ("Make a picture of a red house by the sea.", "text_to_image", "red house", "The picture is house.png.", "house"),
    ("How many euros are 100 dollars?", "convert_currency", "100", "92 euros", "92"),
    ("Convert 50 pounds to yen.", "convert_currency", "50", "9500 yen", "9500"),
    ("What does a share of Apple cost?", "get_stock_price", "Apple", "201 dollars", "201"),
    ("What is Tesla's stock price today?", "get_stock_price", "Tesla", "310 dollars", "310"),
    ("Write a mail to anna@example.com that I am late.", "send_email", "anna@example.com", "sent", "sent"),
    ("Wake me up at 7 am.", "set_alarm", "7", "The alarm is set.", "alarm"),
    ("Set an alarm for 6:30.", "set_alarm", "6:30", "The alarm is set.", "alarm"),
]
NO_TOOL = [
    "Hello, how are you?",
    "Tell me a short story about a dog.",
    "Thank you very much!",
    "What is your name?",
    "Why is the sky blue?",
    "Give me three tips for sleeping well.",
]


async def answer(engine: SmolLMEngine, turn: Turn) -> tuple[list[Piece], list[float]]:
    """The pieces of an answer, and when each came."""
    started, pieces, times = time.perf_counter(), [], []
    async for piece in engine.answer(turn):
        pieces.append(piece)
        times.append(time.perf_counter() - started)
    return pieces, times


def turn(text: str, *tools: dict[str, Any], **further: Any) -> Turn:
    """A turn with one message."""
    return Turn("smollm", "", tools, (Said("user", text),), **further)


async def speed(engine: SmolLMEngine) -> None:
    """Print the times."""
    first, rate, stops, free = [], [], [], []
    for number in range(ROUNDS):
        text = f"{number}. {TALK}"  # another beginning each time, so that nothing is read already
        pieces, times = await answer(engine, turn(text, sampling={"max_tokens": 128}))
        spent = pieces[-1]
        assert isinstance(spent, Spent)
        first.append(times[0])
        rate.append((spent.output_tokens - 1) / (times[-1] - times[0]))
        task = asyncio.create_task(answer(engine, turn(text)))
        await asyncio.sleep(0.6)
        started = time.perf_counter()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        stops.append(time.perf_counter() - started)
        await answer(engine, turn("Hi.", sampling={"max_tokens": 1}))
        free.append(time.perf_counter() - started)
    print(f"{'first token':<44}{1000 * statistics.median(first):>8.0f} ms")
    print(f"{'tokens per second':<44}{statistics.median(rate):>8.0f}")
    print(f"{'cancel':<44}{1000 * statistics.median(stops):>8.1f} ms")
    print(f"{'cancel, and a next short answer complete':<44}{1000 * statistics.median(free):>8.0f} ms")


async def hits(engine: SmolLMEngine) -> None:
    """Print how often the model was right."""
    chosen = filled = told = 0
    waits = []
    for text, name, argument, output, expected in TRIALS:
        at = NAMES.index(name)
        tools = [TOOLS[(at + step) % len(TOOLS)] for step in (5, 2, 0, 7)]
        pieces, times = await answer(engine, turn(text, *tools, sampling={"max_tokens": 16}))
        waits.append(times[0])
        calls = [piece for piece in pieces if isinstance(piece, CallPiece)]
        chosen += bool(calls) and calls[0].name == name
        filled += bool(calls) and calls[0].name == name and argument in calls[0].arguments
        arguments = calls[0].arguments if calls and calls[0].name == name else json.dumps({"about": argument})
        made = ((Call(name, arguments, output),),)
        said, _ = await answer(engine, turn(text, *tools, rounds=made))
        whole = "".join(piece.text for piece in said if isinstance(piece, TextPiece))
        told += expected in whole.lower()
    left = 0
    for text in NO_TOOL:
        pieces, _ = await answer(engine, turn(text, *TOOLS[:4], sampling={"max_tokens": 4}))
        left += not any(isinstance(piece, CallPiece) for piece in pieces)
    print(f"{'choosing one of four tools':<44}{1000 * statistics.median(waits):>8.0f} ms")
    for what, count, of in (
        ("the right tool called", chosen, len(TRIALS)),
        ("with the right argument", filled, len(TRIALS)),
        ("the tool's output in the answer", told, len(TRIALS)),
        ("no tool called where none is needed", left, len(NO_TOOL)),
    ):
        print(f"{what:<44}{count:>4} of {of:<3}{count / of:>6.0%}")


async def main() -> None:
    """Print the table."""
    path = Path(sys.argv[1]) / SMOLLM.file if len(sys.argv) > 1 else weights_file(Settings.load().data_dir)
    engine = SmolLMEngine(path)
    _, times = await answer(engine, turn("Hi.", sampling={"max_tokens": 1}))
    print(f"{'first token of all, opening the model':<44}{1000 * times[0]:>8.0f} ms")
    await speed(engine)
    await hits(engine)
    engine.close()


if __name__ == "__main__":
    asyncio.run(main())
