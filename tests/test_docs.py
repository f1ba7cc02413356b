"""The README, the changelog and the docstrings say what the code does."""

from __future__ import annotations

import argparse
import doctest
import importlib
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import dashnb
from dashnb import cli, errors
from dashnb.magics.arguments import cell_parser, run_parser
from dashnb.magics.commands import COMMANDS
from dashnb.settings import SETTINGS
from dashnb.view import MODES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted(module.name for module in pkgutil.walk_packages(dashnb.__path__, "dashnb."))


def section(title: str) -> str:
    """The text of a section of the README."""
    _, _, rest = README.partition(f"\n## {title}\n")
    assert rest, f"the README has no section {title!r}"
    return rest.partition("\n## ")[0]


def table(title: str, number: int = 0) -> list[list[str]]:
    """The rows of a table of a section, without its heading."""
    blocks = re.findall(r"(?:^\|.*\n)+", section(title) + "\n", re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in blocks[number].splitlines()[2:]]


def names(cell: str) -> list[str]:
    """The words of a cell that are set as code."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_the_python_of_the_readme_runs(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_PACE", "0")
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_the_commands_of_the_readme_say_what_it_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DASHNB_PACE", "0")
    for console in re.findall(r"```console\n\$ dashnb (\w+) \"(.*?)\"\n(.*?)\n```", README, re.DOTALL):
        command, argument, shown = console
        assert cli.main([command, argument]) == 0
        assert capsys.readouterr().out.startswith(shown)


def test_the_table_of_magics_is_that_of_the_code() -> None:
    shown = {name for row in table("Magics") for name in names(row[0])}
    commands = {f"%assistant {name}" for name in COMMANDS}
    assert shown == commands | {"%%assistant", "%run_stream", "%%run_stream"}


def test_the_table_of_options_is_that_of_the_code() -> None:
    shown = {names(row[0])[-1]: row[2] for row in table("Magics", 1)}
    options = {
        magic: {action.option_strings[-1] for action in parser._actions if action.option_strings}
        for magic, parser in (("`%%assistant`", cell_parser()), ("`%run_stream`", run_parser()))
    }
    expected = {
        option: "both" if all(option in known for known in options.values()) else magic
        for magic, known in options.items()
        for option in known
    }
    assert shown == expected


def test_the_table_of_views_is_that_of_the_code() -> None:
    assert [names(row[0])[0] for row in table("What a cell shows")] == [mode for mode in MODES if mode != "auto"]


def test_the_table_of_settings_is_that_of_the_code() -> None:
    shown = {names(row[0])[0]: (names(row[1]), names(row[2])) for row in table("Settings")}
    assert list(shown) == list(SETTINGS)
    for name, (variables, default) in shown.items():
        assert variables == list(SETTINGS[name].variables)
        if SETTINGS[name].default is not None:
            assert default == [SETTINGS[name].default]


def test_the_table_of_errors_is_that_of_the_code() -> None:
    shown = [name for row in table("Errors") for name in names(row[0])]
    known = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DashnbError) and value.__module__ == errors.__name__
    ]
    assert sorted(shown) == sorted(set(known) - {"DashnbError"})


def test_the_table_of_commands_is_that_of_the_code() -> None:
    (subparsers,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert [names(row[0])[0] for row in table("Command line")] == [f"dashnb {name}" for name in subparsers.choices]


def test_the_table_of_tutorials_is_the_folder() -> None:
    shown = [names(row[0])[0] for row in table("Tutorials")]
    assert shown == [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


def test_the_extras_of_the_readme_exist() -> None:
    extras = set(re.findall(r"dashnb\[(\w+)\]", README))
    assert extras <= set(PROJECT["project"]["optional-dependencies"])


def test_version_and_changelog_agree() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == dashnb.__version__ == PROJECT["project"]["version"]


def test_the_public_names_are_these() -> None:
    assert dashnb.__all__ == [
        "AsyncClient",
        "Client",
        "DashnbError",
        "RunState",
        "Session",
        "connect",
        "history",
        "serve",
        "tool",
    ]
    for name in dashnb.__all__:
        assert getattr(dashnb, name) is not None
    assert set(dashnb.__all__) <= set(dir(dashnb))
    with pytest.raises(AttributeError, match="nothing_such"):
        dashnb.nothing_such  # noqa: B018 # looking it up is the test


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_docstrings_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_PACE", "0")
    flags = doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=flags, raise_on_error=False)
    assert failed == 0


def test_the_map_of_the_code_names_every_layer() -> None:
    shown = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for part in sorted((ROOT / "dashnb").iterdir()):
        if part.suffix == ".py" and part.stem != "__init__":
            assert part.name in shown
        elif part.is_dir() and (part / "__init__.py").exists():
            assert f"{part.name}/" in shown
