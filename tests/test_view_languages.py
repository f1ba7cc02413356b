"""The words around an answer, in the reader's language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dashnb
from dashnb.magics.display import ENGINE_LABELS
from dashnb.view import Heading, to_html, to_markdown, to_text
from dashnb.view.languages import LANGUAGES, SENTENCES, choose_language, translate
from view_support import call, created, folded, message, run, text_of

PACKAGE = Path(dashnb.__file__).parent
NAME = re.compile(r"\{(\w+)\}")
SAYING = {"say": [0], "count": [1, 2]}


def said() -> Iterator[tuple[str, str]]:
    """Every sentence that is written out where it is said, with its place."""
    for path in [*sorted((PACKAGE / "view").glob("*.py")), PACKAGE / "magics" / "display.py"]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SAYING:
                for place in SAYING[node.func.attr]:
                    for part in ast.walk(node.args[place]) if place < len(node.args) else ():
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            yield part.value, f"{path.name}:{node.lineno}"


def test_every_sentence_that_is_said_is_translated() -> None:
    found = dict(said())
    assert len(found) > 25
    found |= dict.fromkeys(ENGINE_LABELS.values(), "display.py")
    assert {sentence: place for sentence, place in found.items() if sentence not in SENTENCES} == {}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_translation_has_the_same_values(sentence: str) -> None:
    for language in LANGUAGES:
        assert set(NAME.findall(translate(sentence, language))) == set(NAME.findall(sentence))


@pytest.mark.parametrize(
    "status", ["completed", "failed", "cancelled", "expired", "incomplete", "abandoned", "requires_action", ""]
)
@pytest.mark.parametrize("language", ["zh", "ja"])
def test_no_english_is_left_around_an_answer(language: str, status: str) -> None:
    heading = Heading("天气", language=language, watched=True)
    state = folded([created(), *call("f", '{"a": 1}', "4"), *message("完了"), run(status or "in_progress")])
    for shown in (text_of(to_html(state, heading)), to_markdown(state, heading), to_text(state, heading)):
        words = re.sub(r"qwen-max|\bf\b|\ba\b|\bs\b|token|%assistant continue", "", shown)
        assert not re.search(r"[A-Za-z]{2,}", words), words


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_MESSAGES": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_locale_chooses_the_language_unless_it_is_set(environ: dict[str, str], language: str) -> None:
    assert choose_language("auto", environ) == language
    assert choose_language("ja", environ) == "ja"


def test_a_sentence_without_a_translation_stays_as_it_is() -> None:
    assert translate("{n} unknown things", "zh", n=2) == "2 unknown things"
