"""Keyrings that wait, fail, print and talk nonsense: nothing that needs no key hears of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashnb import keys
from dashnb.errors import ConfigurationError
from dashnb.keys import Found, NoAnswer, Secret
from dashnb.session.connection import open_client, plan
from dashnb.settings import Settings

PROGRAM_SECONDS = 90
KEY = "sk-canary-0123456789"


def ring(answer: Callable[..., Any]) -> keys.Import:
    """An import that finds a keyring that answers so, and no other store."""

    def load(name: str) -> Any:
        if name != "keyring":
            raise ImportError(name)
        return types.SimpleNamespace(get_password=answer, set_password=answer)

    return load


def raising(error: BaseException) -> Callable[..., Any]:
    def answer(*_: object) -> Any:
        raise error

    return answer


@pytest.mark.parametrize(
    "error", [RuntimeError("locked"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError(), OSError(5)]
)
def test_a_keyring_that_raises_anything_has_no_key(error: BaseException) -> None:
    assert keys.find(ring(raising(error))) is None
    with pytest.raises(ConfigurationError, match="did not take the key"):
        keys.keep_in_keyring(Secret(KEY), ring(raising(error)))


def test_a_keyring_that_cannot_be_imported_has_no_key() -> None:
    def load(name: str) -> Any:
        raise SystemExit("a backend that ends programs") if name == "keyring" else ImportError(name)

    assert keys.find(load) is None


@pytest.mark.parametrize("nonsense", [None, "", "  ", b"sk-canary", 7, object(), ["sk-canary"]])
def test_a_keyring_that_talks_nonsense_has_no_key(nonsense: object) -> None:
    assert keys.find(ring(lambda *_: nonsense)) is None


def test_a_keyring_that_waits_is_given_up_and_the_other_stores_are_asked() -> None:
    release = threading.Event()
    colab = types.SimpleNamespace(get=lambda name: KEY)
    waiting = ring(lambda *_: release.wait())
    with pytest.raises(NoAnswer, match=r"did not answer within 0.01 s; unlock it, or set DASHSCOPE_API_KEY"):
        keys.find(waiting, seconds=0.01)
    found = keys.find(lambda name: colab if name == "google.colab.userdata" else waiting(name), seconds=0.01)
    assert found == Found(Secret(KEY), "Colab secret DASHSCOPE_API_KEY")
    release.set()


def test_what_a_keyring_prints_is_no_part_of_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(*_: object) -> str:
        print("Welcome to your keyring!")
        return KEY

    assert keys.find(ring(answer)) == Found(Secret(KEY), "keyring")
    assert capsys.readouterr() == ("", "Welcome to your keyring!\n")


def silent() -> Found | None:
    raise NoAnswer("the keyring did not answer within 5 s; unlock it, or set DASHSCOPE_API_KEY")


def test_without_a_word_from_the_keyring_work_goes_on_without_a_key_and_says_why() -> None:
    settings = Settings.load({}, find_key=silent, file="/nowhere/config.toml")
    assert (plan(settings).kind, plan(settings).reason) == ("local", "the keyring did not answer within 5 s")
    with pytest.raises(ConfigurationError, match="needs a key: the keyring did not answer within 5 s; unlock it, or"):
        open_client(plan(settings, "cloud"), settings)


def test_showing_and_planning_what_needs_no_key_asks_no_store() -> None:
    def asked() -> Found | None:
        pytest.fail("the keyring was asked")

    settings = Settings.load({}, find_key=asked, file="/nowhere/config.toml", database=":memory:")
    repr(settings)
    assert [settings.source("api_key"), settings.shown("api_key")] == ["default", "(not needed)"]
    for target in ("local", "replay:file.jsonl", "http://127.0.0.1:1/api/v1"):
        plan(settings, target)
    with pytest.raises(ConfigurationError, match="Cannot connect to 'nowhere'"):
        plan(settings, "nowhere")
    open_client(plan(settings, "local"), settings).close()


# --- whole programs ------------------------------------------------------------------------------------

BLOCKING = (
    "import pathlib, time\ndef get_password(*_):\n    pathlib.Path(__file__ + '.asked').touch()\n    time.sleep(600)\n"
)


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """The environment of a program whose keyring waits for ever, and leaves a file behind when it is asked."""
    (tmp_path / "keyring.py").write_text(BLOCKING)
    unset = ("DASHSCOPE_API_KEY", "DASHNB_CONNECT", "DASHSCOPE_HTTP_BASE_URL", "DASHNB_CONFIG")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    own = {
        "PYTHONPATH": str(tmp_path),
        "DASHNB_DATA_DIR": str(tmp_path),
        "IPYTHONDIR": str(tmp_path),
        "DASHNB_PACE": "0",
    }
    return {**kept, **own, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}


def was_asked(place: dict[str, str]) -> bool:
    return Path(place["PYTHONPATH"], "keyring.py.asked").exists()


CELLS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for line in ("%load_ext dashnb", "%assistant help", "%assistant nothing such",
             "%assistant connect local --database :memory:", "%assistant status", "%assistant list",
             "%assistant history", "%%assistant\\nWhat is 2 + 3?", "%assistant connect local --engine guide"):
    shell.run_cell(line)
"""
WITHOUT_A_KEY = {
    "cells": ["-c", CELLS],
    "ask": ["-m", "dashnb.cli", "ask", "What is 2 + 3?", "--connect", "local"],
    "docs": ["-m", "dashnb.cli", "docs", "list"],
    "plugins": ["-m", "dashnb.cli", "plugins", "list"],
    "llm": ["-m", "dashnb.cli", "llm", "status"],
    "doctor": ["-m", "dashnb.cli", "doctor", "--connect", "local"],
    "version": ["-m", "dashnb.cli", "--version"],
    "connect": ["-c", "import dashnb\nwith dashnb.connect('local', database=':memory:') as c: c.threads.create()"],
    "record": ["-c", "import dashnb\ndashnb.connect('local', database=':memory:', record='c.jsonl').close()"],
    "serve": ["-c", "import dashnb\nwith dashnb.serve(database=':memory:') as s: print(s)"],
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WITHOUT_A_KEY)
def test_what_needs_no_key_does_not_ask_a_keyring(what: str, place: dict[str, str], tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, *WITHOUT_A_KEY[what]],
        env=place,
        cwd=tmp_path,
        capture_output=True,
        timeout=PROGRAM_SECONDS,
        check=False,
    )
    assert not was_asked(place)


@pytest.mark.slow
def test_where_a_key_decides_the_keyring_is_given_up_after_its_time(place: dict[str, str]) -> None:
    command = [sys.executable, "-m", "dashnb.cli", "ask", "What is 2 + 3?"]
    ran = subprocess.run(command, env=place, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    assert ("5" in ran.stdout, ran.returncode) == (True, 0), ran.stderr
    ran = subprocess.run(
        [*command, "--connect", "cloud"],
        env=place,
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=False,
    )
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    assert "the keyring did not answer within 5 s; unlock it, or set DASHSCOPE_API_KEY" in ran.stderr


@pytest.mark.slow
def test_an_interrupt_while_a_keyring_waits_ends_the_program(place: dict[str, str]) -> None:
    command = [sys.executable, "-m", "dashnb.cli", "ask", "hi", "--connect", "cloud"]
    program = subprocess.Popen(command, env=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with program:
        while not was_asked(place) and program.poll() is None:
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=PROGRAM_SECONDS)
    assert (program.returncode, said) == (130, "dashnb: stopped.\n")
