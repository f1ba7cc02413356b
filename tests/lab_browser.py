"""A real JupyterLab on loopback, and the system's Chromium to look at it, for tests of what a person sees."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import nbformat
from nbformat.v4 import new_code_cell, new_notebook

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page, WebSocket

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SCREENSHOTS = os.environ.get("DASHNB_SCREENSHOTS")
_TOKEN = "for-tests"
_CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
_PANEL = "[...jupyterapp.shell.widgets('main')].find(widget => widget.sessionContext)"
# No question about news over what is looked at, and nothing saved that the test did not ask for.
_QUIET = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "docmanager-extension/plugin": {"autosave": False},
}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address and the folder of its notebooks."""

    url: str
    folder: Path


@contextmanager
def running_lab(folder: Path, home: Path, **environment: str) -> Iterator[Lab]:
    """A JupyterLab on a folder, with settings of its own, stopped at the end."""
    _write_settings(home / "settings")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ip": "127.0.0.1",
        "port": port,
        "port-retries": 0,
        "IdentityProvider.token": _TOKEN,
        "ServerApp.root_dir": folder,
        "LabApp.news_url": "None",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.extension_manager": "readonly",
        "LabApp.expose_app_in_browser": "True",
        "JupyterNotebookApp.expose_app_in_browser": "True",
    }
    places = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    everything = {**os.environ, **{name: str(place) for name, place in places.items()}, **environment}
    with (home / "lab.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=everything, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(url, process, home / "lab.log")
        yield Lab(url, folder)
    finally:
        _stop(url, process)


def _write_settings(place: Path) -> None:
    for name, settings in _QUIET.items():
        file = place / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if _ask("GET", f"{url}/api/status").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
        if process.poll() is not None:
            break
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


def _stop(url: str, process: subprocess.Popen[bytes]) -> None:
    # The kernels first: they are children of the server and would outlive it.
    try:
        for kernel in _ask("GET", f"{url}/api/kernels").json():
            _ask("DELETE", f"{url}/api/kernels/{kernel['id']}")
    except httpx.TransportError:
        pass
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ask(method: str, url: str) -> httpx.Response:
    return httpx.request(method, url, headers={"Authorization": f"token {_TOKEN}"}, trust_env=False, timeout=20)


@contextmanager
def browser(*, width: int = 1200, height: int = 1000) -> Iterator[BrowserContext]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=_CHROMIUM_OPTIONS)
        context = chromium.new_context(viewport={"width": width, "height": height})
        try:
            yield context
        finally:
            context.close()
            chromium.close()


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook of code cells."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def open_notebook(context: BrowserContext, lab: Lab, name: str) -> Page:
    """The page of a notebook whose kernel is idle."""
    page = context.new_page()
    page.goto(f"{lab.url}/lab/tree/{name}?token={_TOKEN}&reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell", timeout=60_000)
    wait_until_idle(page)
    return page


def notebook_page(context: BrowserContext, lab: Lab, name: str) -> Page:
    """The page of a notebook in Notebook 7, whose kernel is idle."""
    page = context.new_page()
    page.goto(f"{lab.url}/notebooks/{name}?token={_TOKEN}", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    status = f"() => window.jupyterapp && ({_PANEL})?.sessionContext.session?.kernel?.status === 'idle'"
    page.wait_for_function(status, timeout=60_000)
    return page


def start(page: Page, source: str) -> Locator:
    """Add a cell at the end and run it, without waiting for its end; what it shows."""
    number = page.evaluate(
        f"""async source => {{
            const panel = {_PANEL};
            await panel.context.ready; await panel.sessionContext.ready;
            const notebook = panel.content;
            const index = notebook.model.cells.length;
            notebook.model.sharedModel.insertCell(index, {{cell_type: 'code', source}});
            notebook.activeCellIndex = index;
            await notebook.scrollToItem(index);
            notebook.widgets[index].node.dataset.number = index;
            window.ended = undefined;
            window.running = jupyterapp.commands.execute('notebook:run-cell');
            window.running.then(() => (window.ended = performance.now()));
            return index;
        }}""",
        source,
    )
    return page.locator(f"[data-number='{number}'] .jp-Cell-outputWrapper")


def finish(page: Page) -> None:
    """Wait for the end of the cell that was started last."""
    page.wait_for_function("() => window.ended !== undefined", timeout=20_000)


def run(page: Page, source: str) -> Locator:
    """Add a cell at the end and run it to its end; what it shows."""
    shown = start(page, source)
    finish(page)
    return shown


def wait_for_text(shown: Locator, words: str) -> None:
    """Wait until the words are shown."""
    shown.get_by_text(words).first.wait_for(timeout=15_000)


def press_stop(page: Page, shown: Locator) -> float:
    """Press the Stop button of an answer; the seconds from there to the end of the cell."""
    page.evaluate("addEventListener('click', () => (window.pressed = performance.now()), {capture: true, once: true})")
    shown.locator(".dashnb-stop").click()
    finish(page)
    return float(page.evaluate("(window.ended - window.pressed) / 1000"))


def stop_all(page: Page) -> None:
    """Interrupt what still runs, if anything does."""
    page.evaluate(
        f"""async () => {{
            if (window.ended === undefined) await ({_PANEL}).sessionContext.session?.kernel?.interrupt();
        }}"""
    )
    finish(page)


def photograph(page: Page, name: str, shown: Locator | None = None) -> None:
    """Write a picture of the page to the folder that DASHNB_SCREENSHOTS names, if it names one.

    Args:
        page: The page.
        name: The name of the picture.
        shown: What has to be in sight, from its beginning on.
    """
    if SCREENSHOTS:
        if shown:
            shown.evaluate("shown => shown.closest('.jp-Cell').scrollIntoView({block: 'start'})")
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(SCREENSHOTS, f"{name}.png"))


@dataclass
class Traffic:
    """What the kernel sends to a page: how many messages, and how many bytes."""

    messages: int = 0
    received: int = 0
    sockets: list[WebSocket] = field(default_factory=list)

    def follow(self, socket: WebSocket) -> None:
        """Count what a websocket of a kernel receives."""
        if "/channels" in socket.url:
            self.sockets.append(socket)
            socket.on("framereceived", self._count)

    def _count(self, payload: str | bytes) -> None:
        self.messages += 1
        self.received += len(payload)


def wait_until_idle(page: Page, seconds: float = 60) -> None:
    """Wait until the kernel has nothing to do."""
    idle = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook-ExecutionIndicator[data-status='idle']"
    page.wait_for_selector(idle, timeout=1000 * seconds)


def run_cell(page: Page, index: int, *, wait: bool = True) -> None:
    """Run a cell through JupyterLab's own commands; keystrokes get lost."""
    page.evaluate(
        """async ([index, wait]) => {
            const panel = jupyterapp.shell.currentWidget;
            await panel.context.ready; await panel.sessionContext.ready;
            panel.content.activeCellIndex = index;
            const done = jupyterapp.commands.execute('notebook:run-cell');
            if (wait) await done;
        }""",
        [index, wait],
    )


def interrupt(page: Page) -> None:
    """Interrupt the kernel, as the stop button of the toolbar does."""
    page.evaluate("async () => { await jupyterapp.commands.execute('notebook:interrupt-kernel'); }")


def save(page: Page) -> None:
    """Save the notebook."""
    page.evaluate("async () => { await jupyterapp.commands.execute('docmanager:save'); }")


def use_theme(page: Page, name: str) -> None:
    """Change JupyterLab's theme, such as ``JupyterLab Dark``."""
    page.evaluate("async name => { await jupyterapp.commands.execute('apputils:change-theme', {theme: name}); }", name)
    page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")


def outputs(page: Page, index: int) -> Any:
    """The text of a cell's outputs as the page has it, once the page has the cell."""
    page.wait_for_function("index => document.querySelectorAll('.jp-Notebook .jp-Cell').length > index", arg=index)
    return page.evaluate(
        "index => document.querySelectorAll('.jp-Notebook .jp-Cell')[index]"
        ".querySelector('.jp-Cell-outputArea')?.textContent ?? ''",
        index,
    )
