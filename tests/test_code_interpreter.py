"""The code interpreter: what its code may do, what it may not, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import os
import resource
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dashnb.local.models.engine import CallPiece, TextPiece
from dashnb.local.models.guide import GuideEngine
from dashnb.local.plugins import PluginError, ThreadPlugin, close_plugins
from dashnb.local.plugins.builtin import builtin_plugins
from dashnb.local.plugins.code_interpreter import CodeInterpreter, read_code
from dashnb.local.plugins.kernel_child import Cut
from dashnb.local.plugins.kernel_output import MOST_PICTURES, Output, short_traceback
from dashnb.local.plugins.processes import Limits, environment
from dashnb.view.toolcalls import read_output
from scripted import BEGUN, ENDED, OPENED, STEP_DELTA, STEP_DONE, Script, names, of, path_of, serving, typed, written

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
Run = Callable[..., Any]


def png(size: int = 8) -> bytes:
    """A picture that does not compress."""
    rows = b"".join(b"\0" + os.urandom(size * 3) for _ in range(size))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@asynccontextmanager
async def interpreter(folder: Path = Path("/nowhere"), **options: Any) -> AsyncIterator[Run]:
    """Runs code: ``await run(code, thread_id)``."""
    plugin = CodeInterpreter(lambda: folder, **options)

    async def run(code: str, thread_id: str = "thread_1") -> str:
        arguments = json.dumps({"code": textwrap.dedent(code)})
        return await plugin.call(arguments, {"type": "code_interpreter"}, thread_id=thread_id)

    try:
        yield run
    finally:
        await plugin.aclose()


def processes_in(folder: str) -> list[int]:
    """The living processes whose working directory is, or was, this one."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def gone(folder: str, seconds: float = 5) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not processes_in(folder) and not Path(folder).parent.exists():
            return True
        time.sleep(0.05)
    return False


# Arguments, and what is kept of an output


@pytest.mark.parametrize(
    "arguments",
    [
        '{"code": "print(1)"}',
        '{"language": "python", "code": "print(1)"}',
        '{"code": "```python\\nprint(1)\\n```"}',
        '"print(1)"',
        "print(1)",
    ],
)
def test_code_is_taken_from_an_object_from_a_text_or_as_it_is(arguments: str) -> None:
    assert read_code(arguments) == "print(1)"


def test_a_program_that_happens_to_be_json_is_run_as_it_is() -> None:
    assert (read_code("[1, 2]"), read_code("42")) == ("[1, 2]", "42")
    assert read_code("[" * 100_000) == "[" * 100_000


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "needs the argument 'code'"),
        ('{"code": "  "}', "needs the argument 'code'"),
        ('{"language": "javascript", "code": "1"}', "runs Python, not javascript"),
        ('{"code": "print(', "not JSON"),
    ],
)
def test_arguments_without_python_are_refused(arguments: str, complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        read_code(arguments)


@pytest.mark.parametrize("missing", ["jupyter_client", "ipykernel"])
def test_without_a_kernel_the_step_fails_with_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    engine = Script([CallPiece(0, "code_interpreter", '{"code": "1"}')])
    with serving(engine, plugins=builtin_plugins()) as api:
        (failed,) = of(api.run("code_interpreter"), "thread.run.failed")
    assert failed["last_error"]["code"] == "code_interpreter_unavailable"
    assert 'pip install "dashnb[lab]"' in failed["last_error"]["message"]


def test_a_kernel_gets_no_variable_of_the_environment_but_those_that_it_needs() -> None:
    given = {"PATH": "/bin", "DASHSCOPE_API_KEY": "sk-1", "DASHNB_API_KEY": "sk-2", "AWS_SECRET": "3", "HOME": "/root"}
    kept = environment(given, Path("/tmp/k"))
    assert kept["PATH"] == "/bin"
    assert kept["HOME"] == "/tmp/k/home"
    assert not {"DASHSCOPE_API_KEY", "DASHNB_API_KEY", "AWS_SECRET"} & kept.keys()


def test_a_kernel_tells_no_more_than_is_kept_of_one_call() -> None:
    cut = Cut(10, 100)
    texts = [cut.content("stream", {"text": "x" * 8})["text"] for _ in range(3)]
    assert [len(text) for text in texts] == [8, 3, 0]
    assert not cut.lets_pass("stream")
    cut.begin()
    assert cut.lets_pass("stream")
    shown = [cut.content("display_data", {"data": {"image/png": "x" * 200, "text/html": "<p>"}}) for _ in range(201)]
    assert shown[0]["data"] == {"image/png": ""}
    assert "Only the first 200 values" in shown[-1]["data"]["text/plain"]
    assert not cut.lets_pass("display_data")
    assert not cut.lets_pass("comm_open")


def test_a_cut_output_says_so_and_pictures_are_counted() -> None:
    output = Output(10)
    output.take("stream", {"text": "x" * 11})
    for _ in range(MOST_PICTURES + 1):
        output.take("display_data", {"data": {"image/png": base64.b64encode(png()).decode()}})
    output.take("display_data", {"data": {"image/png": "bm9uZQ=="}})
    assert output.text().splitlines()[:2] == ["x" * 10, "[The output was cut after 10 characters.]"]
    assert len(output.pictures) == MOST_PICTURES
    assert f"Only the first {MOST_PICTURES} pictures" in output.text()


def test_a_traceback_is_short_and_names_no_folder() -> None:
    lines = [f'  File "/home/me/lib/deep{number}.py", line 1, in a' for number in range(40)]
    text = short_traceback({"traceback": ["Traceback:", *lines, "\x1b[31mValueError\x1b[0m: no"]})
    assert len(text.splitlines()) <= 14
    assert "/home" not in text
    assert '  File "deep39.py", line 1, in a' in text
    assert text.endswith("ValueError: no")


def test_plugins_that_have_something_to_close_are_closed() -> None:
    class Closing:
        closed = 0

        async def call(self, arguments: str, definition: dict[str, Any], *, thread_id: str) -> str:
            return f"{thread_id}: {arguments}"

        async def aclose(self) -> None:
            self.closed += 1

    plugin = Closing()
    assert isinstance(plugin, ThreadPlugin)
    with serving(Script([CallPiece(0, "mine", "a")], [TextPiece("b")]), plugins={"mine": plugin}) as api:
        events = api.run("mine")
        completed = of(events, "thread.run.step.completed")[0]["step_details"]["tool_calls"][0]
    assert completed["plugin_name"]["output"] == "thread_1: a"
    assert plugin.closed == 1
    asyncio.run(close_plugins({"mine": plugin}))
    assert plugin.closed == 2


# What code does


@pytest.mark.slow
def test_variables_live_on_in_a_thread_and_are_not_seen_in_another() -> None:
    async def main() -> None:
        async with interpreter() as run:
            assert await run("x = 41\nprint('hello')\nx + 1") == "hello\n42"
            assert await run("x") == "41"
            assert "NameError: name 'x' is not defined" in await run("x", "thread_2")
            assert await run("y = 1") == ""

    asyncio.run(main())


@pytest.mark.slow
def test_an_exception_is_output_and_the_variables_stay() -> None:
    async def main() -> None:
        async with interpreter() as run:
            text = await run("x = 1\nimport json\njson.loads('{')")
            assert text.startswith("Traceback")
            assert "JSONDecodeError" in text
            assert "site-packages" not in text
            assert str(Path(json.__file__).parent) not in text
            assert "StdinNotImplementedError" in await run("input()")
            assert "SyntaxError" in await run("x y")
            assert await run("x") == "1"

    asyncio.run(main())


@pytest.mark.slow
def test_kernels_of_several_threads_run_at_once() -> None:
    async def main() -> None:
        async with interpreter() as run:
            code = "import time\nbegan = time.time()\ntime.sleep(1)\nprint(began, time.time())"
            texts = await asyncio.gather(*(run(code, f"thread_{number}") for number in range(3)))
            spans = [tuple(map(float, text.split())) for text in texts]
            assert max(began for began, _ in spans) < min(ended for _, ended in spans)

    asyncio.run(main())


@pytest.mark.slow
def test_the_kernel_used_longest_ago_ends_for_another_and_so_does_an_idle_one() -> None:
    async def main() -> None:
        async with interpreter(kernels=1, idle=0.5) as run:
            await run("x = 1", "a")
            await run("x = 2", "b")
            text = await run("x", "a")
            assert "NameError" in text
            assert "started anew" in text
            folder = await run("import os\nx = 3\nprint(os.getcwd())", "a")
            assert await asyncio.to_thread(gone, folder)
            assert "started anew" in await run("1", "a")

    asyncio.run(main())


@pytest.mark.slow
def test_pictures_are_shown_and_kept_in_the_folder_of_their_thread(tmp_path: Path) -> None:
    small, large = png(), png(400)

    async def main() -> None:
        async with interpreter(tmp_path) as run:
            shows = [f"display(Image(base64.b64decode({base64.b64encode(picture)!r})))" for picture in (small, large)]
            output = await run("import base64\nfrom IPython.display import Image, display\n" + "\n".join(shows))
            answer = json.loads(output)
            assert [base64.b64decode(one["url"].partition(",")[2]) for one in answer["results"]] == [small]
            assert [(tmp_path / name).read_bytes() for name in answer["files"]] == [small, large]
            assert all(name.startswith("pictures/thread_1/") for name in answer["files"])
            assert "too large to be shown here" in answer["text"]
            reading = read_output(output)
            assert (reading.kind, len(reading.pictures)) == ("pictures", 1)

    asyncio.run(main())


# Limits


@pytest.mark.slow
def test_code_without_end_is_interrupted_and_its_variables_are_kept() -> None:
    async def main() -> None:
        async with interpreter(limits=Limits(seconds=1)) as run:
            text = await run("n = 7\nwhile True: pass")
            assert "KeyboardInterrupt" in text
            assert "Stopped after 1 s" in text
            assert await run("n") == "7"

    asyncio.run(main())


@pytest.mark.slow
def test_code_that_ignores_the_interrupt_is_killed() -> None:
    code = "import signal\nprint('begun')\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"

    async def main() -> None:
        async with interpreter(limits=Limits(seconds=1)) as run:
            with pytest.raises(PluginError, match=r"more than 1 s(.|\n)*begun") as caught:
                await run(code)
            assert caught.value.code == "code_interpreter_timeout"
            assert "started anew" in await run("1")

    asyncio.run(main())


@pytest.mark.slow
@linux
def test_a_program_that_multiplies_is_killed_with_all_its_processes() -> None:
    # At most 300 processes, whatever happens, and none longer than 20 seconds.
    bomb = """
    import os, time
    for _ in range(300):
        if os.fork() == 0:
            os.setsid()
            time.sleep(20)
            os._exit(0)
    time.sleep(20)
    """

    async def main() -> None:
        async with interpreter(limits=Limits(processes=16)) as run:
            folder = await run("import os; print(os.getcwd())")
            with pytest.raises(PluginError, match="processes, more than the limit of 16") as caught:
                await run(bomb)
            assert caught.value.code == "code_interpreter_killed"
            assert await asyncio.to_thread(gone, folder, 20)

    asyncio.run(main())


@pytest.mark.slow
@linux
def test_memory_is_limited_for_one_process_and_for_all_together() -> None:
    crowd = """
    import os, time
    for _ in range(3):
        if os.fork() == 0:
            held = bytearray(os.urandom(1) * (400 << 20))
            time.sleep(10)
            os._exit(0)
    time.sleep(10)
    """

    async def main() -> None:
        async with interpreter(limits=Limits(memory=1 << 30)) as run:
            text = await run("held = bytearray(10 ** 10)")
            assert "MemoryError" in text
            assert "limit of memory is 1,024 MB" in text
            with pytest.raises(PluginError, match=r"1,024 MB of memory") as caught:
                await run(crowd)
            assert caught.value.code == "code_interpreter_memory"

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "for _ in range(100): print('x' * 1_000_000)",
        "'x' * 100_000_000",
        "import sys\nsys.stderr.write('x' * 100_000_000)\nNone",
        "import os\nfor _ in range(100): os.write(1, b'x' * 1_000_000)\nNone",
        "import os\nfor _ in range(100): os.write(2, b'x' * 1_000_000)\nNone",
        "raise ValueError('x' * 100_000_000)",
    ],
)
def test_a_hundred_megabytes_of_output_are_cut_and_do_not_reach_the_server(code: str) -> None:
    async def main() -> None:
        async with interpreter() as run:
            await run("1")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            text = await run(code)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert "cut after 64,000 characters" in text
            assert len(text) < 65_000
            assert grown < 30_000, f"{grown} kB"
            assert await run("2") == "2"

    asyncio.run(main())


@pytest.mark.slow
def test_a_kernel_that_ends_by_itself_fails_the_step() -> None:
    engine = Script([CallPiece(0, "code_interpreter", '{"code": "import os; os._exit(3)"}')])
    with serving(engine, plugins=builtin_plugins()) as api:
        events = api.run("code_interpreter")
    assert names(events)[-3:] == ["thread.run.step.failed", "thread.run.failed", "done"]
    (failed,) = of(events, "thread.run.failed")
    assert failed["last_error"]["code"] == "code_interpreter_killed"
    assert "exit code 3" in failed["last_error"]["message"]


# What is no text


REPLACED = "[Characters that are no text were replaced.]"


def test_a_kernel_tells_only_what_a_message_can_carry() -> None:
    cut = Cut(1000, 1000)
    half = "a\ud800b"
    messages: list[tuple[str, dict[str, Any]]] = [
        ("stream", {"name": "stdout", "text": half}),
        ("execute_result", {"data": {"text/plain": half, "image/png": half, "text/html": half}, "metadata": {half: 1}}),
        ("display_data", {"data": {"text/plain": 5, "image/png": b"x"}, "metadata": {}, "transient": {half: half}}),
        ("error", {"ename": half, "evalue": half, "traceback": [half]}),
        ("execute_reply", {"status": "error", "ename": half, "evalue": half, "traceback": [half]}),
    ]
    for kind, content in messages:
        sent = cut.content(kind, content)
        json.dumps(sent, ensure_ascii=False).encode()
        assert sent.get("replaced", False) == (kind != "display_data")
    whole = {"name": "stdout", "text": "百炼 😀 é \x07\n"}
    assert cut.content("stream", whole) == whole
    assert cut.content("stream", {"text": "\ud83d\ude00\0"})["text"] == "😀\ufffd"


def test_what_was_replaced_is_said_once() -> None:
    output = Output(100)
    for _ in range(3):
        output.take("stream", {"text": "\ufffd", "replaced": True})
    assert output.text() == f"\ufffd\ufffd\ufffd\n{REPLACED}"


@pytest.mark.slow
def test_whatever_code_prints_the_rest_of_its_output_is_kept() -> None:
    told = {
        "print('a\\ud800b')\nprint('after')": f"a\ufffdb\nafter\n{REPLACED}",
        "print('a\\0b')": f"a\ufffdb\n{REPLACED}",
        "print('\\ud83d\\ude00')": f"😀\n{REPLACED}",
        "import sys\nfor part in (b'\\xff caf\\xc3', b'\\xa9'): sys.stdout.buffer.write(part)": "\ufffd café",
        "import os\nos.write(1, b'\\xff one\\n')\nNone": "\ufffd one",
        "import subprocess\nsubprocess.run(['printf', '\\\\377'])\nNone": "\ufffd",
        "display({'text/plain': 5}, raw=True)": "5",
        "import sys\nprint('one')\nsys.stdout = sys.stderr = None": "one",
        "print('two')": "two",
        "import os\nprint('three')\nos.close(1), os.close(2), os.close(0)\nNone": "three",
        "print('four')": "four",
        "exit()": "",
        "quit()": "",
        "x = 7": "",
        "import time; time.sleep(0.5); print(x)": "7",
    }
    endings = {
        "raise ValueError('\\ud800')": f"ValueError: \ufffd\n{REPLACED}",
        "import sys\nprint('five')\nsys.exit(3)": "SystemExit: 3",
        "raise KeyboardInterrupt": "KeyboardInterrupt",
        "raise BaseException('six')": "BaseException: six",
        "class R:\n    def __repr__(self): raise RuntimeError('seven')\nR()": "RuntimeError: seven",
        "class E(Exception):\n    def __str__(self): raise RuntimeError('eight')\nraise E()": "RuntimeError: eight",
        "def f(): f()\nf()": "RecursionError: maximum recursion depth exceeded",
        "print(x)": "7",
    }

    async def main() -> None:
        async with interpreter() as run:
            for code, output in told.items():
                assert await run(code) == output, code
            for code, ending in endings.items():
                assert (await run(code)).endswith(ending), code

    asyncio.run(main())


@pytest.mark.slow
def test_a_value_whose_repr_does_not_end_is_interrupted() -> None:
    code = "import time\nclass R:\n    def __repr__(self): time.sleep(60)\nprint('begun')\nR()"

    async def main() -> None:
        async with interpreter(limits=Limits(seconds=1)) as run:
            text = await run(code)
            assert text.startswith("begun")
            assert "Stopped after 1 s" in text
            assert await run("print('on')") == "on"

    asyncio.run(main())


# What code sees


@pytest.mark.slow
def test_code_sees_no_key_and_an_empty_folder_that_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-canary")
    monkeypatch.setenv("SOMETHING", "sk-canary")

    async def main() -> str:
        async with interpreter() as run:
            assert "sk-canary" not in await run("import os\nprint(dict(os.environ))\n!env")
            folder, inside = (await run("print(os.getcwd())\nprint(os.listdir())")).splitlines()
            assert inside == "[]"
            assert await run("open('a.txt', 'w').write('1')\nos.listdir()") == "['a.txt']"
            return str(folder)

    assert not Path(asyncio.run(main())).parent.exists()


@pytest.mark.slow
@linux
def test_code_cannot_read_the_environment_that_the_server_was_started_with() -> None:
    async def main() -> None:
        async with interpreter() as run:
            if await run("import os\nos.readlink('/proc/self/ns/user')") == repr(os.readlink("/proc/self/ns/user")):
                pytest.skip("the system allows no user namespaces")
            assert "PermissionError" in await run("open(f'/proc/{os.getppid()}/environ').read()")

    asyncio.run(main())


# Inside a run


@pytest.mark.slow
def test_a_call_is_told_in_the_documented_order() -> None:
    code = '{"code": "6 * 7"}'
    pieces = [CallPiece(0, "code_interpreter", code[:5]), CallPiece(0, "code_interpreter", code[5:])]
    with serving(Script(pieces, [TextPiece("42")]), plugins=builtin_plugins()) as api:
        events = api.run("code_interpreter")
    # The arguments: an empty piece, two with text, two empty ones; then the output and two empty ones.
    assert names(events) == [*BEGUN, *OPENED, *STEP_DELTA * 8, *STEP_DONE, *written(1), *ENDED]
    calls = [delta["delta"]["step_details"]["tool_calls"][0] for delta in of(events, "thread.run.step.delta")]
    told = [call.get("code_interpreter") or call["plugin_name"] for call in calls]
    assert "".join(part.get("arguments", "") for part in told) == code
    assert "".join(part.get("output", "") for part in told) == "42"


@pytest.mark.slow
def test_the_guide_runs_the_code_of_a_message_and_goes_on_where_it_was() -> None:
    with serving(GuideEngine(), plugins=builtin_plugins()) as api:
        assistant = api.assistant(tools=typed("code_interpreter"))
        thread = api.thread("Run this Python code: `n = 6`")
        outputs = []
        for text in (None, "Run this Python code: `n * 7`"):
            if text:
                api.post(f"/threads/{thread}/messages", role="user", content=text)
            with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as events:
                (step, *_) = of(list(events), "thread.run.step.completed")
            outputs.append(step["step_details"]["tool_calls"][0]["plugin_name"]["output"])
    assert outputs == ["", "42"]


@pytest.mark.slow
@linux
def test_the_server_answers_while_code_runs_and_a_cancel_stops_the_code(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    code = f"import time\nn = 5\nwhile True:\n    open({str(beat)!r}, 'a').write('.')\n    sum(range(10**5))"
    call = [CallPiece(0, "code_interpreter", json.dumps({"code": code}))]
    again = [CallPiece(0, "code_interpreter", '{"code": "n"}')]
    with serving(Script(call, again, [TextPiece("done")]), plugins=builtin_plugins()) as api:
        path = api.begin("code_interpreter")
        api.wait(path, "in_progress")
        until = time.monotonic() + 10
        while not beat.exists():
            assert time.monotonic() < until
            began = time.monotonic()
            api.get(path)
            assert time.monotonic() - began < 0.5
            time.sleep(0.02)
        api.post(f"{path}/cancel")
        api.wait(path, "cancelled")
        thread = path.split("/")[2]
        run = api.get(path)
        with api.stream(f"/threads/{thread}/runs", assistant_id=run["assistant_id"]) as events:
            step = of(list(events), "thread.run.step.completed")[0]
        size = beat.stat().st_size
        assert step["step_details"]["tool_calls"][0]["plugin_name"]["output"] == "5"
        time.sleep(0.3)
        assert beat.stat().st_size == size


@pytest.mark.slow
@linux
@pytest.mark.parametrize("code", ["pass", "import time\ntime.sleep(20)"], ids=["idle", "running"])
def test_closing_the_service_leaves_no_process_and_no_folder(code: str, tmp_path: Path) -> None:
    told = tmp_path / "told"
    whole = f"""
import os, subprocess
subprocess.Popen(["sleep", "20"], start_new_session=True)
open({str(told)!r}, "w").write(os.getcwd())
{code}
"""
    engine = Script([CallPiece(0, "code_interpreter", json.dumps({"code": whole}))], [TextPiece("done")])
    with serving(engine, plugins=builtin_plugins()) as api:
        path = api.begin("code_interpreter")
        until = time.monotonic() + 10
        while not (told.exists() and (folder := told.read_text())):
            assert time.monotonic() < until
            time.sleep(0.02)
        if code == "pass":
            api.wait(path, "completed")
        assert len(processes_in(folder)) == 2
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert processes_in(folder) == []
    assert not Path(folder).parent.exists()


@pytest.mark.slow
@linux
@pytest.mark.parametrize("ending", ["", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], ids=["end", "kill"])
def test_a_program_that_ends_without_closing_leaves_no_process_and_no_folder(ending: str, tmp_path: Path) -> None:
    program = f"""
import httpx
from dashnb.local.models.guide import GuideEngine
from dashnb.local.service import BASE_URL, LocalService
service = LocalService(":memory:", GuideEngine())
client = httpx.Client(transport=service.transport(), base_url=BASE_URL)
assistant = client.post("/assistants", json={{"model": "m", "tools": [{{"type": "code_interpreter"}}]}}).json()["id"]
body = {{"assistant_id": assistant, "stream": True, "thread": {{"messages": [
    {{"role": "user", "content": "Run this Python code: `import os; print(os.getcwd())`"}}]}}}}
text = client.post("/threads/runs", json=body).text
print(text[text.index('"output":"/') + 10:].partition('"')[0], flush=True)
{ending}
"""
    environ = {**os.environ, "DASHNB_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False, env=environ
    )
    folder = done.stdout.strip()
    assert folder.startswith("/"), done.stderr
    assert Path(folder).parent.name.startswith("dashnb-")
    if ending:
        assert gone(folder)
    else:
        assert done.stderr == ""
        assert gone(folder, 0.1)


@pytest.mark.slow
def test_a_failing_call_leaves_a_thread_that_can_be_used_again() -> None:
    engine = Script(
        [CallPiece(0, "code_interpreter", '{"code": "import os; os.kill(os.getpid(), 9)"}')],
        [CallPiece(0, "code_interpreter", '{"code": "1 + 1"}')],
        [TextPiece("done")],
    )
    with serving(engine, plugins=builtin_plugins()) as api:
        first = api.run("code_interpreter")
        assert "signal 9" in of(first, "thread.run.failed")[0]["last_error"]["message"]
        thread = path_of(first).split("/")[2]
        run = api.get(path_of(first))
        with api.stream(f"/threads/{thread}/runs", assistant_id=run["assistant_id"]) as events:
            output = of(list(events), "thread.run.step.completed")[0]["step_details"]["tool_calls"][0]
    assert output["plugin_name"]["output"].startswith("2\n[The kernel was started anew")
