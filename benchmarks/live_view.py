"""What watching an answer costs the browser, side by side: python benchmarks/live_view.py

Options: --runs N, --deltas N, --ways a,b,c (also in one's own order), --growth.

One JupyterLab on loopback, the system's Chromium, a notebook a way. Each way shows the same answer,
Markdown of 6.7 kB in 1500 deltas at 125 a second, from a cell:

    dashnb          the view that %%assistant has
    update_display  handle.update(Markdown(the text so far)) with each delta
    chatlas         the display behind chatlas's Chat.chat(); needs: pip install chatlas
    idle            nothing until the end, then the whole text: what JupyterLab takes for itself

Prints a table, medians of the runs, then what dashnb has to reach and whether it does. ``--growth``
adds the bytes for answers of 500, 2000 and 8000 deltas, and 8000 deltas as fast as they come.

No limit of the server is changed. Browser time is the CPU time of the page's main thread from the
start of the cell to a second after its end. An answer has ended when its cell has and its last words
are on the page. What is counted is counted in a second run, because counting takes the page's time.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import statistics
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from dashnb.magics.display import show
from dashnb.protocol.events import RunEvent, event_of
from dashnb.protocol.state import RunState
from dashnb.view import Heading

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))
import lab_browser  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, CDPSession, Page

DELTAS, RATE = 1500, 125.0  # the answer, and how many of its deltas come in a second
GROWTH, GROWTH_RATE = (500, 2000, 8000), 500.0
BYTES_A_DELTA = 6700 / 1500
PATIENCE = 30  # seconds after the cell's end until the last words count as lost
SETTLE = 1.0  # seconds before the cell begins and after it ended
LAST_WORDS = "Here the answer ends."

# --- the answer ----------------------------------------------------------------------------------------

BLOCKS = (
    "## $n. How a tide is foretold",
    "The sea rises and falls **twice a day**, and a little later each day, because the moon moves on while "
    "the earth turns. A table of tides is a sum of waves; the function `height` below adds up $n of them.",
    "- What has to be known\n  - the height of the *mean* level\n  - for each wave\n    - its amplitude\n"
    "    - its phase\n- What can be left out\n  - the wind of day $n",
    "```python\ndef height(hour, waves):\n    # metres above the mean level\n"
    "    return sum(a * cos(w * hour - p) for a, w, p in waves[:$n])\n```",
    "> Time and tide wait for no man.\n>\n> Whoever measures them has to wait $n hours.",
    "| wave | period in hours | share |\n|---|---:|---:|\n| M2 | 12.42 | 0.58 |\n| S2 | 12.00 | 0.27 |\n"
    "| K1 | 23.93 | 0.1$n |",
    "潮汐是海水在月球和太阳引力作用下的周期性涨落。第 $n 天的高潮比前一天大约晚五十分钟。",
    '```json\n{"harbour": "Cuxhaven", "day": $n, "high": ["03:12", "15:37"], "low": ["09:48", "22:05"]}\n```',
    "### What the harbour makes of it",
    "A narrow bay lets the water in late and holds it back for long, so the highest water comes after the "
    "moon has passed. Nobody computes that delay; it is read off the marks on a wall, $n years of them.",
    "```javascript\nconst late = (hour) => (hour + 0.84 * $n) % 24;  // fifty minutes a day\n```",
)


def answer(deltas: int) -> str:
    """The Markdown of that many deltas, always the same, with as many bytes a delta whatever its length."""
    text, number = "", 0
    while len(text.encode()) + len(LAST_WORDS) < deltas * BYTES_A_DELTA:
        part, block = divmod(number, len(BLOCKS))
        text += Template(BLOCKS[block]).substitute(n=part + 1) + "\n\n"
        number += 1
    return text + LAST_WORDS


def cut(text: str, deltas: int) -> list[str]:
    """The text in that many pieces, as equal as can be."""
    edges = [number * len(text) // deltas for number in range(deltas + 1)]
    return [text[start:end] for start, end in pairwise(edges)]


def is_whole(shown: str, text: str) -> bool:
    """True if every word of the Markdown is in the text of the page, in its order."""
    for word in re.findall(r"\w+", re.sub(r"(?m)^```\w*", "", text)):
        _, found, shown = shown.partition(word)
        if not found:
            return False
    return True


# --- what runs in the kernel ---------------------------------------------------------------------------


def stream(way: str, deltas: int, rate: float) -> None:
    """Show the answer in the cell that calls this; a rate of 0 is as fast as can be."""
    pieces = cut(answer(deltas), deltas)
    Path("started").write_text(repr(time.time()))
    WAYS[way](paced(pieces, rate))


def paced(
    pieces: list[str],
    rate: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Each piece when it is due; one that is overdue, at once."""
    start = clock()
    for number, piece in enumerate(pieces, 1):
        if rate and (early := start + number / rate - clock()) > 0:
            sleep(early)
        yield piece


def as_dashnb(pieces: Iterator[str]) -> None:
    """A run of dashnb, shown as a magic shows it."""
    state = RunState()
    heading = Heading("Writer", model="recorded", engine="benchmark")
    show(_states(pieces, state), state, heading, mode="auto")


def _states(pieces: Iterator[str], state: RunState) -> Generator[RunState, None, None]:
    for event in _events(pieces):
        state.apply(event, at=1000 * time.monotonic())
        yield state


def _events(pieces: Iterator[str]) -> Iterator[RunEvent]:
    run = {"id": "run_1", "model": "recorded", "thread_id": "thread_1", "assistant_id": "asst_1"}
    details = {"type": "message_creation", "message_creation": {"message_id": "message_1"}}
    step = {"id": "step_1", "type": "message_creation", "step_details": details}
    message = {"id": "message_1", "role": "assistant"}
    said = []
    yield event_of("thread.run.created", {**run, "status": "queued"})
    yield event_of("thread.run.in_progress", {**run, "status": "in_progress"})
    yield event_of("thread.run.step.created", {**step, "status": "in_progress"})
    yield event_of("thread.message.created", {**message, "content": []})
    for piece in pieces:
        said.append(piece)
        yield event_of("thread.message.delta", {"id": "message_1", "delta": {"content": [_text(piece)]}})
    yield event_of("thread.message.completed", {**message, "content": [_text("".join(said))]})
    yield event_of("thread.run.step.completed", {**step, "status": "completed"})
    yield event_of("thread.run.completed", {**run, "status": "completed"})
    yield event_of("done", None)


def _text(value: str) -> dict[str, Any]:
    return {"type": "text", "index": 0, "text": {"value": value}}


def as_update_display(pieces: Iterator[str]) -> None:
    """The whole text so far with each delta, the way that IPython's documentation shows."""
    from IPython.display import Markdown, display

    text = ""
    handle = display(Markdown(text), display_id=True)
    for piece in pieces:
        text += piece
        handle.update(Markdown(text))


def as_chatlas(pieces: Iterator[str]) -> None:
    """The display that chatlas's ``Chat.chat()`` opens in a notebook and echoes each delta to."""
    from chatlas import Chat

    # No provider: where the deltas come from is not what is measured.
    with Chat(None)._markdown_display("output") as display:
        for piece in pieces:
            display.echo(piece)


def as_nothing(pieces: Iterator[str]) -> None:
    """The whole text at the end."""
    from IPython.display import Markdown, display

    display(Markdown("".join(pieces)))


WAYS: dict[str, Callable[[Iterator[str]], None]] = {
    "dashnb": as_dashnb,
    "update_display": as_update_display,
    "chatlas": as_chatlas,
    "idle": as_nothing,
}

# --- what runs in the page -----------------------------------------------------------------------------

OBSERVE = """counting => {
    const notebook = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook');
    const output = () => notebook.querySelectorAll('.jp-Cell')[1].querySelector('.jp-Cell-outputArea');
    const size = node => 1 + [...node.childNodes].reduce((sum, child) => sum + size(child), 0);
    const read = node => node.nodeType === Node.TEXT_NODE ? node.data
        : [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(read).join('');
    const find = (root, name) => [...root.querySelectorAll('*')].flatMap(
        node => [...(node.matches(name) ? [node] : []), ...(node.shadowRoot ? find(node.shadowRoot, name) : [])]);
    const bench = window.bench = {removed: 0, longTasks: []};
    if (counting) new MutationObserver(records => {
        for (const record of records) for (const node of record.removedNodes) bench.removed += size(node);
    }).observe(notebook, {childList: true, subtree: true});
    new PerformanceObserver(list => bench.longTasks.push(...list.getEntries().map(entry => entry.duration)))
        .observe({type: 'longtask'});
    bench.text = () => output() ? read(output()) : '';
    bench.select = () => {
        const paragraphs = find(output(), 'p').filter(one => one.textContent.length > 60);
        if (paragraphs.length) getSelection().selectAllChildren(paragraphs[paragraphs.length >> 1]);
        return String(getSelection());
    };
    bench.run = (lastWords, patience) => {
        const panel = jupyterapp.shell.currentWidget;
        panel.content.activeCellIndex = 1;
        bench.end = jupyterapp.commands.execute('notebook:run-cell').then(async () => {
            const until = Date.now() + 1000 * patience;
            while (!bench.text().includes(lastWords)) {
                if (Date.now() > until) return null;
                await new Promise(resolve => setTimeout(resolve, 10));
            }
            return Date.now() / 1000;
        });
    };
}"""

# --- what looks on -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What an answer took."""

    browser: float  # seconds of the page's main thread
    megabytes: float  # received over the WebSocket
    messages: int  # received over the WebSocket
    removed: int  # DOM nodes taken out of the notebook
    long_tasks: int  # how many held the page up for more than 50 ms
    longest: float  # of them, in milliseconds; 0 if there was none
    kept: float  # 1 if a selection made at 40 % was there just before the end; NaN if nothing was to select
    kept_after: float  # 1 if it was there a second after the end, too
    late: float  # seconds from when the last delta was due to the end; infinite if it never came
    whole: bool  # every word of the answer is on the page


def measure(context: BrowserContext, lab: lab_browser.Lab, way: str, deltas: int) -> Figures:
    """Take the times of an answer, and count what comes with the next one."""
    timed = look(context, lab, way, deltas, RATE)
    counted = look(context, lab, way, deltas, RATE, counting=True)
    return replace(timed, megabytes=counted.megabytes, messages=counted.messages, removed=counted.removed)


def look(
    context: BrowserContext, lab: lab_browser.Lab, way: str, deltas: int, rate: float, *, counting: bool = False
) -> Figures:
    """Let a new page's cell show the answer, and look on; what is counted is 0 unless asked for."""
    seconds = deltas / rate if rate else 0.0
    cells = "import live_view", f"live_view.stream({way!r}, {deltas}, {rate})"
    lab_browser.write_notebook(lab.folder / f"{way}.ipynb", *cells)
    page = _ready_page(context, lab, f"{way}.ipynb")
    page.evaluate(OBSERVE, counting)
    session, sizes = context.new_cdp_session(page), list[int]()
    if counting:
        session.on("Network.webSocketFrameReceived", lambda event: sizes.append(_size(event["response"])))
        session.send("Network.enable")
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _thread_time(session)
    chosen, still, ended = _stream(page, seconds)
    page.wait_for_timeout(1000 * SETTLE)
    bench = page.evaluate("({...bench, selected: String(getSelection()), shown: bench.text()})")
    figures = Figures(
        browser=_thread_time(session) - before,
        megabytes=sum(sizes) / 1e6,
        messages=len(sizes),
        removed=bench["removed"],
        long_tasks=len(bench["longTasks"]),
        longest=max(bench["longTasks"], default=0),
        kept=float(still == chosen) if chosen else math.nan,
        kept_after=float(still == bench["selected"] == chosen) if chosen else math.nan,
        late=ended - float((lab.folder / "started").read_text()) - seconds,
        whole=is_whole(bench["shown"], answer(deltas)),
    )
    # The next look at this way begins with a kernel that knows nothing of this one.
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()
    return figures


def _ready_page(context: BrowserContext, lab: lab_browser.Lab, name: str) -> Page:
    page = lab_browser.open_notebook(context, lab, name)
    lab_browser.run_cell(page, 0)
    if said := lab_browser.outputs(page, 0):
        raise SystemExit(f"The kernel cannot import this benchmark:\n{said}")
    page.wait_for_timeout(1000 * SETTLE)
    return page


def _stream(page: Page, seconds: float) -> tuple[str, str, float]:
    """Run the cell: what was selected at 40 %, what is just before the end, and when the end was."""
    start = time.monotonic()
    page.evaluate("([words, patience]) => bench.run(words, patience)", [LAST_WORDS, PATIENCE])
    _wait_until(page, start + 0.4 * seconds)
    chosen = page.evaluate("bench.select()") if seconds else ""
    _wait_until(page, start + 0.97 * seconds)
    still = page.evaluate("String(getSelection())")
    return chosen, still, page.evaluate("bench.end") or math.inf


def _size(frame: dict[str, Any]) -> int:
    return len(b64decode(frame["payloadData"]) if frame["opcode"] == 2 else frame["payloadData"].encode())


def _wait_until(page: Page, moment: float) -> None:
    page.wait_for_timeout(1000 * max(0.0, moment - time.monotonic()))


def _thread_time(session: CDPSession) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(metric["value"]) for metric in metrics if metric["name"] == "ThreadTime")


# --- the tables ----------------------------------------------------------------------------------------


def _median(name: str) -> Callable[[list[Figures]], float]:
    return lambda runs: statistics.median(getattr(one, name) for one in runs)


def _share(name: str) -> Callable[[list[Figures]], float]:
    return lambda runs: sum(getattr(one, name) for one in runs) / len(runs)


# What it is called, its value for the runs of a way, how that is written.
ROWS: tuple[tuple[str, Callable[[list[Figures]], float], str], ...] = (
    ("browser's main thread, s of CPU", _median("browser"), ".2f"),
    ("received, MB", _median("megabytes"), ".2f"),
    ("received, messages", _median("messages"), ".0f"),
    ("DOM nodes removed", _median("removed"), ",.0f"),
    ("tasks over 50 ms", _median("long_tasks"), ".0f"),
    ("longest of them in any run, ms", lambda runs: max(one.longest for one in runs), ".0f"),
    ("selection kept while it streams", _share("kept"), ".0%"),
    ("selection kept after the end", _share("kept_after"), ".0%"),
    ("end behind time, s", _median("late"), ".2f"),
    ("every word on the page", _share("whole"), ".0%"),
)


def print_ways(results: dict[str, list[Figures]]) -> None:
    """Print a column a way."""
    print(f"\n{'':<34}" + "".join(f"{way:>16}" for way in results))
    for name, value_of, form in ROWS:
        values = [value_of(runs) for runs in results.values()]
        print(f"{name:<34}" + "".join(f"{'–' if math.isnan(value) else format(value, form):>16}" for value in values))


def print_targets(results: dict[str, list[Figures]]) -> None:
    """Print what dashnb has to reach, and whether it does in every run (browser time: in the middle one)."""
    runs, middle = results["dashnb"], _median("browser")
    print(f"\n{'target':<44}{'measured':>12}")
    if "chatlas" in results:
        share = middle(results["chatlas"]) / middle(runs)
        _print_target("chatlas takes at least 12 times the CPU", share, ".1f", share >= 12)
    megabytes, messages = (max(getattr(one, name) for one in runs) for name in ("megabytes", "messages"))
    _print_target("at most 0.3 MB", megabytes, ".2f", megabytes <= 0.3)
    _print_target("at most 500 messages", messages, ".0f", messages <= 500)
    longest, late = (max(getattr(one, name) for one in runs) for name in ("longest", "late"))
    _print_target("no task over 100 ms", longest, ".0f", longest <= 100)
    kept = _share("kept_after")(runs)
    _print_target("the selection is kept", kept, ".0%", kept == 1)
    _print_target("ends at most 0.5 s behind time", late, ".2f", late <= 0.5)


def _print_target(name: str, value: float, form: str, met: bool) -> None:
    print(f"{name:<44}{value:>12{form}}  {'met' if met else 'MISSED'}")


def print_growth(context: BrowserContext, lab: lab_browser.Lab) -> None:
    """Measure and print how the bytes grow with the answer, and an answer at full speed."""
    print(f"\n{'dashnb':<34}{'MB':>8}{'messages':>10}{'whole':>7}{'s behind time':>15}")
    sizes = {}
    for deltas in GROWTH:
        one = look(context, lab, "dashnb", deltas, GROWTH_RATE, counting=True)
        _print_length(f"{deltas} deltas, {GROWTH_RATE:.0f} a second", one)
        sizes[deltas] = one.megabytes
    fast = look(context, lab, "dashnb", GROWTH[-1], 0, counting=True)
    _print_length(f"{GROWTH[-1]} deltas, at full speed", fast)
    ratio = sizes[GROWTH[-1]] / sizes[GROWTH[0]]
    print()
    _print_target(f"bytes of {GROWTH[-1]} : {GROWTH[0]} deltas at most 18", ratio, ".1f", ratio <= 18)
    _print_target("full speed: whole text, cell finished", fast.late, ".2f", fast.whole and fast.late < math.inf)


def _print_length(name: str, one: Figures) -> None:
    print(f"{name:<34}{one.megabytes:>8.2f}{one.messages:>10}{'yes' if one.whole else 'NO':>7}{one.late:>15.2f}")


def available(ways: list[str]) -> list[str]:
    """The ways that can be measured here; says what is missing."""
    try:
        print(f"chatlas {version('chatlas')}" if "chatlas" in ways else "without chatlas")
    except PackageNotFoundError:
        print("chatlas is not installed and left out; to compare: pip install chatlas")
        return [way for way in ways if way != "chatlas"]
    return ways


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="What watching an answer costs the browser.")
    parser.add_argument("--runs", type=int, default=3, help="of each way; the table has their medians")
    parser.add_argument("--deltas", type=int, default=DELTAS, help=f"of the answer, {RATE:.0f} a second")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"which, of {', '.join(WAYS)}; none: ''")
    parser.add_argument("--growth", action="store_true", help="measure longer answers, too")
    options = parser.parse_args()
    ways = [way for way in options.ways.split(",") if way]
    if unknown := set(ways) - set(WAYS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(WAYS)}")
    if lab_browser.CHROMIUM is None:
        parser.error("Chromium is not installed: apt-get install chromium")
    ways = available(ways)
    results: dict[str, list[Figures]] = {way: [] for way in ways}
    beside = os.pathsep.join((str(HERE), str(HERE.parent)))  # the dashnb that this file lies beside
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        running = lab_browser.running_lab(Path(folder), Path(home), PYTHONPATH=beside)
        with running as lab, lab_browser.browser() as context:
            # In turn, so that whatever else the machine does meets all of them.
            for way in ways * options.runs:
                results[way].append(measure(context, lab, way, options.deltas))
            if ways:
                print_ways(results)
            if "dashnb" in ways:
                print_targets(results)
            if options.growth:
                print_growth(context, lab)


if __name__ == "__main__":
    main()
