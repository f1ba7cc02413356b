"""The architecture: which part may import which, how long a module is, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import dashnb

PACKAGE = Path(dashnb.__file__).parent
MOST_LINES = 450
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "core", "misc"}

# A part of dashnb and the parts that it may import, besides itself.
BELOW: dict[str, set[str]] = {
    "characters": set(),
    "credentials": set(),
    "files": set(),
    "foreign": set(),
    "intake": set(),
    "errors": {"characters", "credentials"},
    "forks": {"errors"},
    "streams": set(),
    "stopping": set(),
    "keys": {"credentials", "errors"},
    "bearer": {"credentials", "keys"},
    "prices": {"files", "errors"},
    "settings": {"keys", "credentials", "files", "errors"},
    "database": {"files", "errors", "forks"},
    "protocol": {"foreign", "errors"},
    "client": {
        *("protocol", "database", "intake", "files", "foreign", "keys"),
        *("bearer", "credentials", "errors", "forks", "settings"),
    },
    "local": {
        *("protocol", "database", "intake", "files", "foreign", "keys"),
        *("bearer", "credentials", "errors", "forks", "settings", "characters"),
    },
    "history": {
        *("protocol", "database", "prices", "files", "foreign"),
        *("errors", "forks", "settings", "characters", "credentials"),
    },
    "view": {"protocol", "history", "prices", "errors", "characters"},
    "showing": {"protocol", "view"},
    "session": {
        *("showing", "client", "local", "history", "protocol", "database", "prices"),
        *("foreign", "keys", "errors", "forks", "settings", "characters", "credentials"),
    },
}
BELOW["magics"] = BELOW["doctor"] = set(BELOW)
BELOW["tutorials"] = {"errors", "settings"}
BELOW["cli"] = set(BELOW)

# What the wire protocol may not touch: files, sockets, clocks, randomness.
IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "select", "selectors", "signal", "subprocess", "threading"),
    *("ftplib", "http", "httpx", "requests", "smtplib", "socket", "socketserver", "ssl", "urllib"),
    *("fcntl", "fileinput", "glob", "io", "logging", "os", "pathlib", "platformdirs", "shutil", "sqlite3", "tempfile"),
    *("calendar", "datetime", "sched", "time", "zoneinfo"),
    *("random", "secrets", "uuid"),
    *("IPython", "anywidget", "ipywidgets", "sqlalchemy", "starlette", "uvicorn"),
}
IMPURE_CALLS = {"open", "print", "input", "__import__", "exec", "eval"}


@dataclass(frozen=True)
class Import:
    """One import of a module of dashnb.

    Attributes:
        importer: The importing module, such as ``dashnb.client.stream``.
        target: What it imports, as far as it is a module: ``dashnb.protocol.sse`` or ``httpx``.
        line: Where.
        lazy: True if it is inside a function, so that it runs later.
    """

    importer: str
    target: str
    line: int
    lazy: bool

    def __str__(self) -> str:
        return f"{self.importer} (line {self.line}) imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8"), str(path)) for name, path in FILES.items()}


def nodes(tree: ast.AST, *, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes that run, each with whether it is inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from nodes(ast.Module(body=node.orelse, type_ignores=[]), lazy=lazy)
            continue
        yield node, lazy
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from nodes(node, lazy=lazy or inside)


def targets(importer: str, node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    origin = node.module or ""
    if node.level:
        package = importer.split(".")
        if FILES[importer].name != "__init__.py":
            package = package[:-1]
        origin = ".".join([*package[: len(package) - node.level + 1], *([origin] if origin else [])])
    named = [f"{origin}.{alias.name}" for alias in node.names]
    return [name if name in FILES else origin for name in named]


def imports_of(importer: str) -> list[Import]:
    return [
        Import(importer, target, node.lineno, lazy)
        for node, lazy in nodes(TREES[importer])
        if isinstance(node, ast.Import | ast.ImportFrom)
        for target in dict.fromkeys(targets(importer, node))
    ]


IMPORTS = {name: imports_of(name) for name in FILES}


def part(module: str) -> str:
    """The part of dashnb that a module belongs to, ``""`` for the package itself."""
    return module.split(".")[1] if "." in module else ""


def internal(imported: Import) -> bool:
    return imported.target == "dashnb" or imported.target.startswith("dashnb.")


# --- the layers ----------------------------------------------------------------------------------


def test_every_part_of_dashnb_has_a_row_in_the_table_of_layers() -> None:
    unknown = sorted({part(name) for name in FILES} - set(BELOW) - {"", "__main__"})
    assert unknown == [], f"Add a row to BELOW in {__file__} for: {', '.join(unknown)}"


def may_import(imported: Import) -> bool:
    importer, target = part(imported.importer), part(imported.target)
    if importer == "":
        return imported.lazy or target in ("", "errors", "characters")
    if importer == "__main__":
        return True
    if target == "":
        # The package itself stands above all parts; its version is plain text, set before any import.
        return imports_only_the_version(imported)
    return target == importer or target in BELOW.get(importer, set())


def imports_only_the_version(imported: Import) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and node.lineno == imported.line
        and [alias.name for alias in node.names] == ["__version__"]
        for node in ast.walk(TREES[imported.importer])
    )


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_its_own_layer_and_those_below_it(name: str) -> None:
    wrong = [
        f"{imported}, but {part(name) or 'dashnb'} may import only: "
        f"{', '.join(sorted(BELOW.get(part(name), ()))) or 'nothing of dashnb at its top'}. "
        "Move what is shared to a lower layer, or pass it in as an argument."
        for imported in IMPORTS[name]
        if internal(imported) and not may_import(imported)
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_the_table_of_layers_has_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(BELOW):
        ready = {name for name, below in BELOW.items() if below <= done} - done
        assert ready, f"a circle among {sorted(set(BELOW) - done)}"
        done |= ready


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        name: {imported.target for imported in found if imported.target in FILES and not imported.lazy} - {name}
        for name, found in IMPORTS.items()
    }
    circles: set[tuple[str, ...]] = set()

    def follow(name: str, trail: list[str]) -> None:
        if name in trail:
            circle = trail[trail.index(name) :]
            first = circle.index(min(circle))
            circles.add((*circle[first:], *circle[:first], circle[first]))
            return
        if name in finished:
            return
        for target in sorted(graph[name]):
            follow(target, [*trail, name])
        finished.add(name)

    finished: set[str] = set()
    for name in graph:
        follow(name, [])
    shown = "\n".join(" → ".join(circle) for circle in sorted(circles))
    assert not circles, f"\n{shown}\nMove what both sides need to a module of its own below them."


# --- the modules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_module_is_read_in_one_sitting(name: str) -> None:
    lines = len(FILES[name].read_text("utf-8").splitlines())
    assert lines <= MOST_LINES, f"{name} has {lines} lines; split it by what it is about, at most {MOST_LINES} each"


@pytest.mark.parametrize("name", FILES)
def test_a_module_is_named_after_what_it_is_about(name: str) -> None:
    vague = sorted(VAGUE_NAMES & {word.strip("_") for word in name.split(".")})
    assert vague == [], f"{name}: name the module after its content in place of {vague}"


@pytest.mark.parametrize("name", FILES)
def test_a_module_says_what_it_is(name: str) -> None:
    assert ast.get_docstring(TREES[name]) or not TREES[name].body, f"{name} has no docstring"


@pytest.mark.parametrize("name", [name for name in FILES if part(name) == "protocol"])
def test_the_protocol_is_pure(name: str) -> None:
    wrong = [str(imported) for imported in IMPORTS[name] if imported.target.partition(".")[0] in IMPURE]
    wrong += [
        f"{name} (line {node.lineno}) calls {node.func.id}"
        for node, _ in nodes(TREES[name])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    ]
    assert wrong == [], (
        "\n" + "\n".join(wrong) + "\nTake the value as an argument: the caller reads and looks at clocks."
    )


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_imported_by_star_or_by_a_path_of_dots(name: str) -> None:
    wrong = [
        f"{name} (line {node.lineno}): {ast.unparse(node)}"
        for node, _ in nodes(TREES[name])
        if isinstance(node, ast.ImportFrom) and (node.level or any(alias.name == "*" for alias in node.names))
    ]
    assert wrong == [], "\n".join(wrong) + "\nName the module in full and what is taken from it."


# What may read JSON by other means: its own files and arguments, or with a decoder of its own.
READ_THEIR_OWN = {
    *("foreign", "database.engine", "view.toolcalls", "client.cassettes.spelling", "local.ending", "local.body"),
    *("local.plugins.kernel_child", "local.plugins.kernel_keeper", "local.plugins.quark_search"),
}


@pytest.mark.parametrize("name", [name for name in FILES if name.removeprefix("dashnb.") not in READ_THEIR_OWN])
def test_json_of_others_is_read_where_it_cannot_be_nested_too_deeply(name: str) -> None:
    lines = [node.lineno for node, _ in nodes(TREES[name]) if ast.unparse(node) in ("json.load", "json.loads")]
    assert lines == [], f"{name}, lines {lines}: what others wrote is read by dashnb.foreign.read_json"


# --- the checker itself --------------------------------------------------------------------------


def test_the_checker_sees_imports_in_functions_and_not_those_for_type_checkers() -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
        "def f():\n    import c\n"
        "class K:\n    import d\n"
        "try:\n    import e\nexcept ImportError:\n    pass\n"
    )
    found = {
        alias.name: lazy
        for node, lazy in nodes(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert found == {"b": False, "c": True, "d": False, "e": False}


def test_the_checker_knows_modules_from_names() -> None:
    node = ast.parse("from dashnb.protocol import objects, requests").body[0]
    assert isinstance(node, ast.ImportFrom)
    assert targets("dashnb.protocol.operations", node) == ["dashnb.protocol.objects", "dashnb.protocol.requests"]
    node = ast.parse("from dashnb.protocol.sse import Decoder").body[0]
    assert isinstance(node, ast.ImportFrom)
    assert targets("dashnb.protocol.events", node) == ["dashnb.protocol.sse"]


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("dashnb.client.stream", "dashnb.protocol.sse", True),
        ("dashnb.client.stream", "dashnb.client.calls", True),
        ("dashnb.client.stream", "dashnb.local.app", False),
        ("dashnb.local.app", "dashnb.client.client", False),
        ("dashnb.view.html", "dashnb.history.rows", True),
        ("dashnb.view.html", "dashnb.settings", False),
        ("dashnb.session.runner", "dashnb.view.html", False),
        ("dashnb.protocol.sse", "dashnb.settings", False),
        ("dashnb.errors", "dashnb.protocol.state", False),
        ("dashnb.settings", "dashnb.errors", True),
        ("dashnb.cli", "dashnb.magics", True),
        ("dashnb", "dashnb.client.client", False),
    ],
)
def test_the_checker_knows_what_is_allowed(importer: str, target: str, allowed: bool) -> None:
    assert may_import(Import(importer, target, 1, False)) is allowed


# --- what an import costs ------------------------------------------------------------------------


def test_importing_dashnb_imports_nothing_that_was_not_asked_for() -> None:
    program = (
        "import sys\nbefore = set(sys.modules)\nimport dashnb\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))\n"
        "print(sum(name.startswith('dashnb') for name in sys.modules))\n"
        "print('IPython' in sys.modules, 'ipywidgets' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    packages, count, loaded = ran.stdout.splitlines()
    assert loaded == "False False"
    assert packages == "dashnb", "import lazily, in dashnb.__getattr__ or in the function that needs it"
    assert int(count) <= 3, "import dashnb loads too many modules of its own"
