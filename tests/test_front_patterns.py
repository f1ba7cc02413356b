"""No regular expression of the browser's side backtracks without bound, on the lines that are hardest for it."""

from __future__ import annotations

import front_patterns
import pytest
from front_patterns import NODE, SOURCES, built, expressions, worst

needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


def test_every_file_that_uses_an_expression_is_read() -> None:
    found = expressions()
    files = {file for files in found.values() for file in files.split(", ")}
    assert len(found) > 30
    assert r"/\\(left|right|begin|end)(?![A-Za-z])|\\.|([{}])/gsu" in found
    for path in SOURCES.glob("*.js"):
        if "new RegExp" in path.read_text("utf-8"):
            continue
        uses = any(
            call in path.read_text("utf-8") for call in (".test(", ".exec(", ".replace(/", ".split(/", ".match(/")
        )
        assert not uses or path.name in files, path.name


@needs_node
@pytest.mark.slow
def test_no_line_keeps_an_expression_of_the_browser_busy() -> None:
    put_together = built()
    assert len(put_together) > 5
    assert any("<host>" in source for source in put_together)
    found = {**expressions(), **dict.fromkeys(put_together, "dist")}
    for source, result in zip(found, worst(list(found)), strict=True):
        assert not result.is_over, f"{found[source]}: {source} has too much to do on {result.line!r}"


@needs_node
def test_what_backtracks_in_the_browser_is_found() -> None:
    sources = [r"/^(a+)+$/", r"/(\w+\s?)*!/", r"/\s+\0/", r"/a+b/y"]
    assert [result.is_over for result in worst(sources, 100_000)] == [True, True, True, False]
    assert front_patterns.AT_MOST < 1
