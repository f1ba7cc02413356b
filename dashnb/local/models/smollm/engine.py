"""The engine `smollm`: a real language model of 135 million parameters, on one thread of this process.

It streams and stops as large models do, and its answers are for show. It knows English only. Tools are
chosen by the model and called with what stands in the message (`tools`), once in a run; after that it
answers from their outputs.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from dashnb.errors import ConfigurationError
from dashnb.local.models.engine import CallPiece, Piece, Spent, TextPiece, Turn
from dashnb.local.models.guide.routing import name_of
from dashnb.local.models.smollm import prompts, tools
from dashnb.local.models.smollm.decoder import Chunk, Decoder, Model, open_llama, require_extra
from dashnb.local.models.smollm.weights import present, weights_file

_USAGE = {"stream_options": {"include_usage": True}}
# A model of this size falls into repeating itself when it talks; from a fact it must be able to copy.
_TALK = {"repeat_penalty": 1.1}
_COPY = {"temperature": 0}
_MOST_FORCED = tools.MOST_MESSAGE + 1  # a token has at least one character, and one token ends the text


class SmolLMEngine:
    """Answers with a small language model.

    The model is opened by the first answer and let go by `close`, or when the engine is forgotten.

    Args:
        path: The model's GGUF file.
        open_model: Opens it; xllamacpp if left out.

    Raises:
        ConfigurationError: The extra ``llm`` is not installed, or there is no such file.
    """

    name = "smollm"
    label = "SmolLM2-135M · a very small model, answers are for show"

    def __init__(self, path: Path, *, open_model: Callable[[Path], Model] | None = None) -> None:
        if open_model is None:
            require_extra()
            if not path.is_file():
                raise ConfigurationError(f"The engine smollm has no model yet ({path}). Get it with: dashnb llm fetch")
        opener = open_model or open_llama
        self._decoder = Decoder(lambda: opener(path))

    @classmethod
    def from_data_dir(cls, data_dir: Path) -> SmolLMEngine:
        """The engine with the model that ``dashnb llm fetch`` has put into a data folder.

        Raises:
            ConfigurationError: The extra ``llm`` is not installed, or the model is not there.
        """
        require_extra()
        path = weights_file(data_dir)
        if path.is_file() and not present(path):
            raise ConfigurationError(f"The model {path} is cut short. Get it anew with: dashnb llm fetch")
        return cls(path)

    def close(self) -> None:
        """Stop what is going on, and let the model go."""
        self._decoder.close()

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        """The pieces of an answer, or of the calls of one tool; at the end the tokens as the model counted them.

        Raises:
            EngineError: The model failed, or the message is too long for it.
        """
        spent = _Tokens()
        message = next((said.text for said in reversed(turn.messages) if said.role == "user"), "")
        made = [call for calls in turn.rounds for call in calls]
        if turn.tools and not made and (tool := await self._choose(turn, tools.weighed(message), spent)):
            calls = tools.calls_of(tool, message)
            for number, arguments in enumerate(calls):
                yield CallPiece(number, name_of(tool), json.dumps(arguments, ensure_ascii=False))
            if calls:
                yield Spent(spent.read, spent.written)
                return
        messages = prompts.answer_from(message, made) if made else prompts.chat(turn)
        chosen = prompts.sampling({**_COPY, **turn.sampling} if made else turn.sampling)
        request = {"messages": messages, **chosen, **({} if made else _TALK), **_USAGE}
        async with aclosing(self._decoder.stream(request)) as chunks:
            async for chunk in chunks:
                spent.add(chunk)
                for choice in chunk["choices"]:
                    if text := choice["delta"].get("content"):
                        yield TextPiece(text)
        yield Spent(spent.read, spent.written)

    async def _choose(self, turn: Turn, message: str, spent: _Tokens) -> dict[str, Any] | None:
        """The tool whose purpose makes the message likeliest; None if none does by much."""
        if not message:
            return None
        copied = await self._forced(prompts.copying(message), prompts.exactly(message), spent)
        tokens = [token for token, _ in copied]
        if not tokens:
            return None
        grammar = prompts.exactly_tokens(tokens)
        named = {name_of(tool): tool for tool in turn.tools}
        scores = {}
        for name, tool in named.items():
            scores[name] = sum(one for _, one in await self._forced(tools.before_message(tool), grammar, spent))
        without = sum(one for _, one in await self._forced(tools.NO_TOOL, grammar, spent))
        chosen = tools.best(scores, without)
        return named[chosen] if chosen else None

    async def _forced(self, prompt: str, grammar: str, spent: _Tokens) -> list[tuple[int, float]]:
        """The tokens that a grammar forces after a prompt, each with its log-probability."""
        request = {"prompt": prompt, "grammar": grammar, "temperature": 0, "n_probs": 1, "max_tokens": _MOST_FORCED}
        found: list[tuple[int, float]] = []
        async with aclosing(self._decoder.stream({**request, **_USAGE})) as chunks:
            async for chunk in chunks:
                spent.add(chunk, forced=True)
                found += _tokens(chunk)
        return found


def _tokens(chunk: Chunk) -> list[tuple[int, float]]:
    entries = [entry for choice in chunk["choices"] for entry in (choice.get("logprobs") or {}).get("content") or ()]
    # The last token ends the text and has no bytes.
    return [(entry["id"], entry["logprob"]) for entry in entries if entry["bytes"]]


class _Tokens:
    """Tokens read and written in one turn; what a grammar forces is read, not written."""

    def __init__(self) -> None:
        self.read = self.written = 0

    def add(self, chunk: Chunk, *, forced: bool = False) -> None:
        usage = chunk.get("usage") or {}
        self.read += usage.get("total_tokens" if forced else "prompt_tokens", 0)
        self.written += 0 if forced else usage.get("completion_tokens", 0)
