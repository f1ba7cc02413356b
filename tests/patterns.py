"""Every regular expression of the package, how it is used, and the lines on which it has most to do.

The expressions are found in two ways, so that none hides: those that lie in a module when it is imported, and
every call of `re` in the source. What a call puts together when it runs is named in `BUILT` with examples.
"""

from __future__ import annotations

import ast
import importlib
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, MappingProxyType, ModuleType
from typing import Any

import dashnb
from dashnb import credentials
from dashnb.local.arithmetic import LONGEST
from dashnb.local.models.guide import parameters, purposes
from dashnb.local.plugins import sketch

PACKAGE = Path(dashnb.__file__).parent
WAYS = ("match", "fullmatch", "search", "finditer", "findall", "sub", "subn", "split")
_AT_ONE_PLACE = ("match", "fullmatch")

# Modules and expressions that see so many characters at most: the text was cut before.
AT_MOST: Mapping[str, int] = MappingProxyType(
    {"local.arithmetic": LONGEST, "credentials:_OPEN": credentials._LONGEST_OPEN}
)

# Expressions that are put together when they run, by module and source: what they may look like. What comes
# from outside goes in escaped, but for a person's own patterns of what a cassette must not hold, and those of a
# person's schema that Rust does not know.
_N, _V = "weather", "sum|add"
BUILT: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {
        ("client.cassettes.redaction", "pattern"): (r"canary\-1|canary",),
        ("magics.checking", "expression"): (r"(?<=a)b",),
        ("credentials", "'|'.join(map(re.escape, forms))"): (r"canary\-1|canary",),
        ("credentials", "kind"): ("[a-z]", "[A-Z]", "[0-9]"),
        ("view.fair_copy", "f'{mark}+'"): ("`+", "~+"),
        ("keys", r"f'\\s*{name}\\s*='"): (r"\s*api_key\s*=",),
        ("local.models.guide.parameters", "_NEGATED + word"): (parameters._NEGATED + _N,),
        ("local.models.guide.parameters", "pattern"): (parameters._beside(5, _N),),
        ("local.models.guide.parameters", r"f'\\b{word}'"): (rf"\b{_N}",),
        ("local.models.guide.parameters", "_as_word(str(choice).lower())"): (rf"\b{_N}\b", "天气"),
        ("local.models.guide.purposes", "words"): (purposes._PICTURE, purposes._SEARCH),
        ("local.models.guide.routing", r"f'(?<![\\w]){re.escape(name)}(?![A-Za-z0-9_])'"): (
            rf"(?<![\w]){_N}(?![A-Za-z0-9_])",
        ),
        ("local.models.guide.values", r"f'\\b{name}\\s*(?:is|are|=|:|：|to|は|是|为)\\s*([^\\s,.;?!，。、；？！]+)'"): (
            rf"\b{_N}\s*(?:is|are|=|:|：|to|は|是|为)\s*([^\s,.;?!，。、；？！]+)",
        ),
        ("local.models.guide.values", r"f'\\b(?:{verbs})\\b\\s*(?:[:：]\\s*)?'"): (rf"\b(?:{_V})\b\s*(?:[:：]\s*)?",),
        ("local.models.guide.values", r"f'{before}{name}|{name}\\s*{after}'"): (
            rf"(?:\bto|\binto|到|去|至)\s*{_N}|{_N}\s*(?:まで|へ|行き)",
            rf"(?:\bfrom|从|自)\s*{_N}|{_N}\s*から",
        ),
        ("local.plugins.sketch", "words"): (
            *(words for words, _ in sketch._SUBJECTS.values()),
            *(words for words, _ in sketch._MOODS),
        ),
    }
)


@dataclass(frozen=True)
class Found:
    """One expression.

    Attributes:
        module: The module that has it.
        name: What it is called there, or its source.
        pattern: The expression.
        ways: The methods that it is used by.
    """

    module: str
    name: str
    pattern: re.Pattern[Any]
    ways: frozenset[str]

    def __str__(self) -> str:
        return f"{self.module.removeprefix('dashnb.')}:{self.name}"

    def run(self, line: str) -> None:
        """Use the expression on a line as the package does, at its beginning or all over it."""
        given: Any = line.encode("utf-8", "surrogatepass") if isinstance(self.pattern.pattern, bytes) else line
        if "match" in self.ways:
            self.pattern.match(given)
        if "fullmatch" in self.ways:
            self.pattern.fullmatch(given)
        if self.ways - {"match", "fullmatch"}:
            self.pattern.search(given)
            for _ in self.pattern.finditer(given):
                pass


def everything() -> tuple[list[Found], list[str]]:
    """All expressions, and the calls of `re` whose expression is not known."""
    found: dict[tuple[str, str], Found] = {}
    unknown: list[str] = []
    names = _Names()
    for module in names.modules.values():
        for name, pattern in _lying_in(module):
            found[module.__name__, name] = Found(module.__name__, name, pattern, names.ways(module.__name__, name))
    for name, tree in names.trees.items():
        for call, inside in _calls(tree):
            source = ast.unparse(call.args[0])
            way = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            try:
                given = eval(compile(ast.Expression(call.args[0]), name, "eval"), dict(vars(names.modules[name])))
                given = given if isinstance(given, (list, tuple)) else [given]
            except NameError:
                if way == "compile" and not inside:
                    continue  # in a comprehension of the module: what it makes lies in the module
                given = BUILT.get((name.removeprefix("dashnb."), source))
            if given is None:
                unknown.append(f"{name}: re.{way}({source}, …)")
                continue
            for pattern in given:
                if way == "compile" and not inside:
                    continue  # lies in the module
                flags = _flags(call, names.modules[name])
                ways = frozenset(("search",) if way == "compile" else (way,))
                key = name, source if len(given) == 1 else f"{source} = {pattern}"
                found[key] = Found(name, key[1], re.compile(pattern, flags), ways)
    return sorted(found.values(), key=lambda one: (one.module, one.name)), unknown


class _Names:
    """The modules, and how each name in them is used."""

    def __init__(self) -> None:
        paths = {
            ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")
        }
        paths = {name.removesuffix(".__init__"): path for name, path in paths.items() if not name.endswith("__main__")}
        self.trees = {name: ast.parse(path.read_text("utf-8")) for name, path in sorted(paths.items())}
        self.modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in self.trees}
        self._ways: dict[tuple[str, str], set[str]] = {}
        for module, tree in self.trees.items():
            held = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    place = module if node.id.startswith("_") else ""
                    self._ways.setdefault((place, node.id), set()).add(held.get(id(node), ""))

    def ways(self, module: str, name: str) -> frozenset[str]:
        bare = name.partition("[")[0]
        used = self._ways.get((module if bare.startswith("_") else "", bare), {""})
        known = used & set(WAYS)
        # One that is handed on, or lies in a table, may be used in any way.
        return frozenset(known if known and not used - set(WAYS) - {"pattern", "flags"} else {*known, "search"})


def _lying_in(module: ModuleType) -> Iterator[tuple[str, re.Pattern[Any]]]:
    seen: set[int] = set()

    def within(value: Any, name: str, depth: int) -> Iterator[tuple[str, re.Pattern[Any]]]:
        if isinstance(value, re.Pattern):
            yield name, value
        elif depth and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Mapping):
                inner: Iterable[tuple[Any, Any]] = value.items()
            elif isinstance(value, (list, tuple, set, frozenset)):
                inner = enumerate(value)
            elif getattr(type(value), "__module__", "") == module.__name__:  # an object of its own
                slots = getattr(type(value), "__slots__", ())
                inner = (
                    [*vars(value).items()]
                    if hasattr(value, "__dict__")
                    else [(s, getattr(value, s, None)) for s in slots]
                )
            elif isinstance(value, type) and value.__module__ == module.__name__:
                inner = [*vars(value).items()]
            else:
                return
            for key, entry in inner:
                yield from within(entry, f"{name}[{key}]" if len(str(key)) < 30 else f"{name}[…]", depth - 1)

    for name, value in list(vars(module).items()):
        origin = getattr(value, "__module__", module.__name__)
        is_own = origin == module.__name__ or isinstance(value, (re.Pattern, Mapping, tuple, list))
        if is_own and not name.startswith("__") and not isinstance(value, ModuleType):
            yield from within(value, name, 4)


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, bool]]:
    """The calls of `re`, each with whether it is inside a function."""
    functions = [
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    ]
    inside = {id(child) for function in functions for child in ast.walk(function)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in ("compile", *WAYS)
        ):
            yield node, id(node) in inside


def _flags(call: ast.Call, module: ModuleType) -> int:
    given = [
        argument for argument in call.args[1:] if re.fullmatch(r"re\.[A-Z]+( \| re\.[A-Z]+)*", ast.unparse(argument))
    ]
    given += [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
    return int(eval(ast.unparse(given[0]), dict(vars(module)))) if given else 0


# --- lines ---------------------------------------------------------------------------------------

_parser = re._parser  # type: ignore[attr-defined] # as `re` reads an expression
_FEW = 3  # samples of one part
_CATEGORIES = {"DIGIT": "1", "SPACE": " \t\n", "WORD": "a1_", "NOT_DIGIT": "a ", "NOT_SPACE": "a1", "NOT_WORD": " -"}

# What a person knows to be hard for one reader or another.
CORPUS = (
    *"ax1_ \t\n\r\0-*+.,:;!?#$%&|~^=/\\'\"`@<>()[]{}éß中あ한，。「",
    *("> ", "- ", "* ", "1. ", "![", "[](", "**a ", "__a ", "~~a ", "<!--", "<![CDATA[", "<a ", "</", "&amp", "&#1"),
    *("[redacted]", "[redacted]a", "$a", "\\(", "\\[", "\\begin{", "\\color", "{{", "{a}", "| ", "|-", "``", "``` "),
    *("a@", "a.", "http://", "https://a/", "data:image/png;base64,", "![a](data:", "sk-", "run_", "%%x\n", "# ", "=\n"),
    *("1-", "1,", "1.1", "1 + ", "1/", "((", "(1+", "1 x ", "½", "1,111,", "01/01/2001 ", "\x1b[", "\x1b[1;", "\ud800"),
    *('"id": "', '"value": "', '\\"', "\\u00", "e\u0301", "a\n", "\n\n", " \n", "\r\n", "a b ", "a. ", "a, b", "*a, "),
    *("and ", "then ", "in Aa ", "Aa and ", "the ", "please ", "of ", "what is ", "tell a ", "今日は", "天气", "請"),
    *('File "', "/a", "a/", "a\\", ":param ", "a(", "```\n", "    ", "File a/b", "'a ", "“a", "‘a"),
)  # fmt: skip


def lines(pattern: re.Pattern[Any], size: int) -> Iterator[str]:
    """Lines of that size that give an expression most to do, as far as its own form tells."""
    beginnings, pumps, whole = _parts(pattern)
    ends = _left_out(pattern)
    for piece in dict.fromkeys((*pumps, *whole, *CORPUS)):
        for before in ("", *(beginnings if piece in pumps else ())):
            for after in (*ends, "\0")[: 3 if piece in pumps else 1]:
                yield before + piece * (size // len(piece)) + after
    for beginning in beginnings:  # many beginnings, each with some way to go
        for piece in pumps:
            part = beginning + piece * max(1, 100 // len(piece))
            yield part * (size // len(part))


def _parts(pattern: re.Pattern[Any]) -> tuple[list[str], list[str], list[str]]:
    """What stands before a repetition, what repeats, and what all of the expression may match."""
    source = pattern.pattern
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    tree = _parser.parse(text, pattern.flags & ~re.UNICODE & ~re.DEBUG)
    beginnings: dict[str, None] = {}
    pumps: dict[str, None] = {}
    groups: dict[int, list[str]] = {}

    def few(texts: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(texts))[:_FEW]

    def of(nodes: Any, before: list[str]) -> list[str]:
        said = [""]
        for op, arg in nodes:
            part = one(str(op), arg, few(a + b for a in before for b in said))
            said = few(a + b for a, b in _zipped(said, part))
        return said

    def one(op: str, arg: Any, before: list[str]) -> list[str]:
        match op:
            case "LITERAL":
                return [chr(arg)]
            case "NOT_LITERAL":
                return [char for char in "a \n" if ord(char) != arg][:2]
            case "ANY":
                return ["a", " ", "."]
            case "IN":
                return _samples(arg)
            case "BRANCH":
                branches = [of(branch, before) for branch in arg[1]]
                return [branch[0] for branch in branches][: 4 * _FEW]
            case "SUBPATTERN":
                said = of(arg[3], before)
                groups[arg[0]] = said
                return said
            case "ATOMIC_GROUP":
                return of(arg, before)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, body = arg
                said = of(body, before)
                if most == _parser.MAXREPEAT or most > 8:
                    for text in before:
                        beginnings[text] = None
                    for text in said:
                        if text:
                            pumps[text] = None
                    if len(said) > 1:
                        pumps["".join(said)] = None
                return [text * max(int(least), 1) for text in said] if least else [*said, ""]
            case "GROUPREF":
                return groups.get(arg, [""])
            case "ASSERT":
                of(arg[1], before)  # may hold repetitions; takes nothing
                return [""]
            case "ASSERT_NOT":
                of(arg[1], before)
                return [""]
            case _:  # AT and the like
                return [""]

    whole = [text for text in of(tree, [""]) if text]
    return list(beginnings)[:5], list(pumps)[:10], few([*whole, *(text[:-1] for text in whole if len(text) > 1)])


def _left_out(pattern: re.Pattern[Any]) -> list[str]:
    """Ends at which a repetition stops for good: what a set of the expression leaves out, and then some."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    inside = "".join(re.findall(r"\[\^((?:[^\]\\]|\\.)+)\]", text)).replace("\\n", "\n")
    found = [char for char in "\n]\"')/" if char in inside]
    return [f"{char}\0" for char in found[:2]] or ["\n\0"]


def _zipped(said: list[str], part: list[str]) -> Iterator[tuple[str, str]]:
    """Each of the longer list at least once."""
    for number in range(max(len(said), len(part))):
        yield said[number % len(said)], part[number % len(part)]


def _samples(items: Any) -> list[str]:
    kinds = [(str(op), arg) for op, arg in items]
    if kinds and kinds[0][0] == "NEGATE":
        inside = "".join(_samples(items[1:]))
        return [char for char in 'a1 .-\t"中' if char not in inside][:_FEW]
    said: list[str] = []
    for op, arg in kinds:
        if op == "LITERAL":
            said.append(chr(arg))
        elif op == "RANGE":
            said.append(chr(arg[0]))
        elif op == "CATEGORY":
            said += _CATEGORIES.get(str(arg).removeprefix("CATEGORY_"), "a")
    return said[:6]


# --- work ----------------------------------------------------------------------------------------


class TooLong(Exception):
    """An expression was still busy when its time was over."""


def seconds(action: Callable[[], object], at_most: float) -> float:
    """The processor's time of an action, which is stopped when it takes longer.

    `re` looks for signals while it works, so even what would take years is stopped; in the main thread only.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, at_most)
    began = time.thread_time()
    try:
        action()
        return time.thread_time() - began
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass(slots=True)
class Worst:
    """The line on which an expression had most to do."""

    line: str = ""
    seconds: float = 0.0
    is_over: bool = False
    lines: int = field(default=0)

    def __str__(self) -> str:
        shown = self.line if len(self.line) <= 40 else f"{self.line[:28]}…{self.line[-8:]}"
        return f"{shown!r}: {'more than ' * self.is_over}{1000 * self.seconds:,.1f} ms"


def worst(found: Found, size: int, at_most: float) -> Worst:
    """What the expression does on its worst line of that size; it ends at the first that takes too long."""
    module = found.module.removeprefix("dashnb.")
    size = min(size, AT_MOST.get(module, size), AT_MOST.get(str(found), size))
    result = Worst()
    for line in lines(found.pattern, size):
        result.lines += 1
        try:
            took = seconds(lambda line=line: found.run(line), at_most)  # type: ignore[misc]
        except TooLong:
            return Worst(line, at_most, is_over=True, lines=result.lines)
        if took > result.seconds:
            result.line, result.seconds = line, took
    return result
