"""The live view's bundle: made from the sources beside it, small, and sufficient to itself."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import dashnb

FRONT = Path(dashnb.__file__).parent / "view" / "front"
BUNDLE = FRONT / "dist" / "run_view.js"
MOST_BYTES = 60_000
BUILD = "npm --prefix dashnb/view/front ci && npm --prefix dashnb/view/front run build"
NPM = shutil.which("npm")


def read(path: Path) -> str:
    return path.read_bytes().decode().replace("\r\n", "\n")


def banner_and_body() -> tuple[str, str]:
    banner, end, body = read(BUNDLE).partition(" */\n")
    return banner + end, body


def sources_digest() -> str:
    names = sorted([f"src/{path.name}" for path in (FRONT / "src").iterdir()] + ["build.mjs", "package-lock.json"])
    return hashlib.sha256("".join(f"{name}\n{read(FRONT / name)}\n" for name in names).encode()).hexdigest()


def test_the_bundle_is_made_from_the_sources_beside_it() -> None:
    banner, _ = banner_and_body()
    assert f"sources: {sources_digest()}\n" in banner, f"dist/run_view.js is stale. Run: {BUILD}"


def test_the_bundle_was_not_edited() -> None:
    banner, body = banner_and_body()
    assert f"body: {hashlib.sha256(body.encode()).hexdigest()}\n" in banner, f"Change src/, then run: {BUILD}"


def test_the_bundle_is_small() -> None:
    assert len(BUNDLE.read_bytes()) < MOST_BYTES


def test_the_bundle_says_whose_code_it_holds() -> None:
    banner, _ = banner_and_body()
    others = re.findall(r"\* (\S+ [\d.]+), (.+) \(LICENSES\.md\)", banner)
    licences = read(FRONT / "LICENSES.md")
    assert others
    for package, licence in others:
        assert f"## {package}\n" in licences
        assert licence == "MIT"


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bimport\s*[({*\"'\w]",
        r"\beval\s*\(",
        r"\bFunction\s*\(",
        r"innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|srcdoc|document\.write",
        r"XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|new Worker",
        r"localStorage|sessionStorage|indexedDB",
        r"@import|\burl\(\s*[\"']?[a-z]",
        r"sourceMappingURL",
    ],
)
def test_the_bundle_neither_loads_code_nor_makes_any_of_text(pattern: str) -> None:
    _, body = banner_and_body()
    found = [body[max(0, match.start() - 40) : match.end() + 40] for match in re.finditer(pattern, body)]
    assert found == []


def test_the_one_request_is_the_interrupt_of_the_kernel() -> None:
    _, body = banner_and_body()
    assert len(re.findall(r"\bfetch\(", body)) == 1
    assert body.count("/interrupt") == 1
    assert "same-origin" in body


def test_text_is_parsed_by_the_browser_for_named_characters_alone() -> None:
    uses = {path.name for path in (FRONT / "src").iterdir() if "DOMParser" in read(path)}
    assert uses == {"entities.js"}


@pytest.mark.parametrize("path", sorted((FRONT / "src").iterdir()), ids=lambda path: path.name)
def test_a_source_is_read_in_one_sitting(path: Path) -> None:
    assert len(read(path).splitlines()) <= 450


@pytest.mark.slow
@pytest.mark.skipif(NPM is None, reason="npm is not installed")
def test_a_fresh_build_has_the_same_bytes(tmp_path: Path) -> None:
    fresh = tmp_path / "front"
    shutil.copytree(FRONT, fresh, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        ran = subprocess.run([str(NPM), *command], cwd=fresh, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr[-2000:]
    assert (fresh / "dist" / "run_view.js").read_bytes() == BUNDLE.read_bytes()
