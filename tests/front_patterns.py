"""The regular expressions of the browser's side of the live view, and what each does on its hardest line, in Node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import dashnb
import patterns

NODE = shutil.which("node")
SOURCES = Path(dashnb.__file__).parent / "view" / "front" / "src"
BUNDLE = SOURCES.parent / "dist" / "run_view.js"
SIZE = 30_000
AT_MOST = 0.5  # seconds; what is linear takes less than a millisecond, the square of the size about a second
# Where JavaScript has an expression and no division.
_LITERAL = re.compile(r"(?:[=(,:?&|!]|return)\s*(/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*)")
# What stands before what repeats, so that an expression with a beginning comes so far.
_BEFORE = (
    "",
    "http://",
    "https://",
    "data:image/png;base64,",
    "[",
    "[x] ",
    "&a",
    "; _xsrf=",
    "a:",
    "rgb(",
    "$",
    "\\[",
    "%",
)
_AFTER = ("", "\0", "\n\0")

# An expression that is busy is stopped: Node looks for the end of its time while it goes back.
_PROGRAM = """
const vm = require("vm");
const {expressions, befores, pumps, afters, size, atMost} = JSON.parse(require("fs").readFileSync(0));
const worst = expressions.map(source => {
    const context = vm.createContext({line: ""});
    const run = new vm.Script(`line.search(${source}); line.replace(${source}, "")`);
    const found = {seconds: 0, line: "", isOver: false};
    for (const before of befores) for (const pump of pumps) for (const after of afters) {
        if (found.isOver) break;
        context.line = before + pump.repeat(size / pump.length) + after;
        const began = process.hrtime.bigint();
        try { run.runInContext(context, {timeout: 1000 * atMost}); }
        catch (error) { if (error.code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error; found.isOver = true; }
        const seconds = Number(process.hrtime.bigint() - began) / 1e9;
        if (found.isOver || seconds > found.seconds) {
            found.seconds = seconds;
            found.line = context.line.slice(0, 24) + "…" + context.line.slice(-4);
        }
    }
    return found;
});
console.log(JSON.stringify(worst));
"""


# What the bundle puts together when it is loaded.
_LOADED = """
const built = [];
globalThis.RegExp = new Proxy(RegExp, {construct(kind, given) {
    const made = new kind(...given);
    built.push(String(made));
    return made;
}});
const code = require("fs").readFileSync(0).toString("base64");
import("data:text/javascript;base64," + code).then(() => console.log(JSON.stringify(built)));
"""


class Worst(NamedTuple):
    """What an expression did on its worst line; it ended there if that took too long."""

    seconds: float
    line: str
    is_over: bool


def expressions() -> dict[str, str]:
    """Each expression with the files that have it."""
    found: dict[str, str] = {}
    for path in sorted(SOURCES.glob("*.js")):
        for line in path.read_text("utf-8").splitlines():
            code = line if not line.lstrip().startswith(("//", "*")) else ""
            for source in _LITERAL.findall(code) + re.findall(r"^\s*(/\^.*/[a-z]*);?$", code):
                found[source] = ", ".join(dict.fromkeys([*filter(None, [found.get(source)]), path.name]))
    return found


def built() -> list[str]:
    """The expressions that are put together when the bundle is loaded."""
    ran = subprocess.run(
        [str(NODE), "-e", _LOADED], input=BUNDLE.read_bytes(), capture_output=True, timeout=60, check=True
    )
    return list(dict.fromkeys(json.loads(ran.stdout)))


def worst(sources: list[str], size: int = SIZE) -> list[Worst]:
    """What each expression does on the hardest line of that size."""
    pumps = list(dict.fromkeys([*patterns.CORPUS, "rgb(1)", "%41", "é", "1,1 ", "a:a", "/a@", "&a;"]))
    given = {
        "expressions": sources,
        "befores": _BEFORE,
        "pumps": pumps,
        "afters": _AFTER,
        "size": size,
        "atMost": AT_MOST,
    }
    ran = subprocess.run(
        [str(NODE), "-e", _PROGRAM], input=json.dumps(given), capture_output=True, text=True, timeout=600, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return [Worst(one["seconds"], one["line"], one["isOver"]) for one in json.loads(ran.stdout)]
