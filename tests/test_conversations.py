"""Conversations that last: named, forked, rewound, asked again, and resumed after the kernel restarted."""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

import dashnb
from dashnb.errors import BadRequestError, ConflictError, DashnbError, NotFoundError, RunError
from dashnb.local.models.engine import TextPiece
from dashnb.local.server import Server
from dashnb.magics.commands import COMMANDS
from dashnb.magics.conversation import Conversation
from dashnb.magics.conversations import Entry, Names
from dashnb.magics.magics import AssistantMagics
from dashnb.magics.resuming import notebook_file
from dashnb.protocol.state import ABANDONED, RunState
from scripted import Gate, Script

TRANSCRIPTS = Path(__file__).parent / "transcripts"


class Kernel:
    """A shell with the magics, as a notebook's kernel has it."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.cells: list[Any] = []
        shell.run_line_magic("load_ext", "dashnb")

    @property
    def conversation(self) -> Conversation:
        magics = self.shell.magics_manager.registry["AssistantMagics"]
        assert isinstance(magics, AssistantMagics)
        return magics.conversation

    @property
    def thread(self) -> str:
        thread = self.conversation.thread
        return thread.id if thread else ""

    def run(self, cell: str) -> Any:
        """What a cell returns; what it printed if that is nothing; a cell that fails raises."""
        with capture_output() as captured:
            result = self.shell.run_cell(cell)
        outputs = [
            nbformat.v4.new_output("display_data", data=output.data, metadata=output.metadata)
            for output in captured.outputs
        ]
        self.cells.append(nbformat.v4.new_code_cell(cell, outputs=outputs))
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            raise error
        shown = captured.stdout + "".join(output.data["text/plain"] for output in captured.outputs)
        return shown if result.result is None else result.result

    def ask(self, *questions: str) -> Kernel:
        for question in questions:
            self.run(f"%%assistant --view static\n{question}")
        return self

    def said(self) -> list[tuple[str, str]]:
        """The messages of the current thread: who said what."""
        return [(message.role, message.text) for message in self.conversation.messages()]

    def asked(self) -> list[str]:
        return [text for role, text in self.said() if role == "user"]

    def save(self, file: Path) -> Path:
        nbformat.write(nbformat.v4.new_notebook(cells=self.cells), file)
        return file

    def stop(self) -> None:
        self.shell.run_line_magic("unload_ext", "dashnb")
        atexit.unregister(self.shell.atexit_operations)
        self.shell.atexit_operations()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], Kernel]]:
    """Starts a kernel; the one before is gone, as after a restart."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("DASHNB_PACE", "0")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    running: list[Kernel] = []

    def begin() -> Kernel:
        while running:
            running.pop().stop()
        config = Config()
        config.HistoryManager.enabled = False
        shell = InteractiveShell(config=config)
        monkeypatch.setattr(InteractiveShell, "_instance", shell)
        running.append(Kernel(shell))
        return running[0]

    yield begin
    while running:
        running.pop().stop()


@pytest.fixture
def kernel(start: Callable[[], Kernel]) -> Kernel:
    return start()


@pytest.fixture(params=["in process", "over HTTP"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the embedded API is."""
    if request.param == "in process":
        yield request.param
        return
    with dashnb.serve(engine="guide", database=":memory:") as server:
        monkeypatch.setenv("DASHNB_CONNECT", server.base_url)
        monkeypatch.setenv("DASHSCOPE_API_KEY", server.api_key)
        yield request.param


ONE, TWO, THREE = "What is 2 + 3?", "What is 999 × 998?", "What is 3 + 4?"


# --- names -----------------------------------------------------------------------------------------


def test_named_conversations_are_gone_back_to_by_name(place: str, kernel: Kernel) -> None:
    said = kernel.run("%assistant new trip")
    kernel.ask(ONE)
    trip = kernel.thread
    assert "new thread" in said
    assert "'trip'" in said
    kernel.run("%assistant new")
    kernel.ask(TWO)
    assert kernel.thread != trip
    assert "'trip'" in kernel.run("%assistant use trip")
    assert (kernel.thread, kernel.asked()) == (trip, [ONE])


def test_a_name_outlasts_the_kernel_with_its_assistant_and_what_to_do_when_busy(
    place: str, start: Callable[[], Kernel]
) -> None:
    first = start()
    first.run("%assistant new trip")
    first.ask(ONE)
    first.run("%assistant busy wait")
    thread, assistant = first.thread, first.conversation.assistant
    again = start()
    assert ONE in again.run("%assistant use trip")
    again.ask(TWO)
    assert (again.thread, again.asked()) == (thread, [ONE, TWO])
    assert isinstance(assistant, type(again.conversation.assistant))
    assert again.conversation.assistant.id == assistant.id  # type: ignore[union-attr]
    assert "waited for" in again.run("%assistant busy")


def test_a_conversation_keeps_its_own_assistant_and_busy_way(kernel: Kernel) -> None:
    kernel.run("%assistant new one")
    kernel.run("%assistant busy cancel")
    kernel.run("%assistant new two")
    assert "refused" in kernel.run("%assistant busy")
    kernel.run("%assistant use one")
    assert "cancelled" in kernel.run("%assistant busy")


def test_an_assistant_that_is_gone_is_replaced_when_the_conversation_goes_on(start: Callable[[], Kernel]) -> None:
    first = start()
    first.run("%assistant new trip")
    first.ask(ONE)
    gone = first.conversation.assistant
    first.conversation.client.assistants.delete(gone.id)  # type: ignore[union-attr]
    again = start()
    again.run("%assistant use trip")
    again.ask(TWO)
    assert again.asked() == [ONE, TWO]


@pytest.mark.parametrize("damage", ["{", "[]", '{"name": 5}', "", '{"name": "trip", "thread_id": "x", "busy": "y"}'])
def test_a_name_whose_file_is_damaged_or_lost_is_found_in_the_metadata_of_its_thread(
    start: Callable[[], Kernel], tmp_path: Path, damage: str
) -> None:
    first = start()
    first.run("%assistant new trip")
    first.ask(ONE)
    thread = first.thread
    (file,) = (tmp_path / "data" / "conversations").iterdir()
    file.write_text(damage)
    again = start()
    again.run("%assistant use trip")
    assert again.thread == thread
    assert again.conversation.talk.name == "trip"
    assert json.loads(file.read_text())["thread_id"] == thread


def test_without_a_writable_folder_names_and_questions_work_as_long_as_the_kernel(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DASHNB_DATA_DIR", str(tmp_path / "file" / "data"))
    kernel.run("%assistant connect local --database :memory:")
    assert "as long as this kernel" in kernel.run("%assistant new trip")
    with pytest.warns(RuntimeWarning, match="Runs are not recorded"):
        kernel.ask(ONE)
    trip = kernel.thread
    kernel.run("%assistant new")
    kernel.ask(TWO)
    kernel.run("%assistant use trip")
    assert kernel.thread == trip
    kernel.run("%assistant rewind")
    assert kernel.asked() == []
    assert kernel.run("%assistant list")["name"] == ["trip~1", "", "trip"]


def test_names_of_one_service_are_not_those_of_another(tmp_path: Path) -> None:
    here, there = Names(tmp_path, "one"), Names(tmp_path, "two")
    here.keep(Entry("trip", "thread_1"))
    assert (list(here.entries()), list(there.entries())) == (["trip"], [])
    assert here.lasts("trip")


def test_a_name_may_be_any_text_and_is_no_path(kernel: Kernel, tmp_path: Path) -> None:
    for name in ("../../x", "旅行 🚆", "CON", "trip", "Trip"):
        kernel.run(f'%assistant new "{name}"')
        kernel.ask(ONE)
        thread = kernel.thread
        kernel.run("%assistant new")
        kernel.run(f'%assistant use "{name}"')
        assert kernel.thread == thread
    assert len(list((tmp_path / "data" / "conversations").iterdir())) == 5


# --- use and list ----------------------------------------------------------------------------------


def test_a_thread_is_used_by_its_id_by_the_beginning_of_it_and_by_variable(place: str, kernel: Kernel) -> None:
    kernel.ask(ONE)
    thread = kernel.thread
    kernel.shell.user_ns["mine"] = kernel.conversation.thread
    for word in (thread, thread[:20], f"{thread[:20]}…", "mine"):
        kernel.run("%assistant new")
        assert kernel.thread == ""
        kernel.run(f"%assistant use {word}")
        assert kernel.thread == thread


def test_the_list_shows_name_runs_and_last_question_and_marks_the_current_one(place: str, kernel: Kernel) -> None:
    kernel.ask(ONE)
    kernel.run("%assistant new trip")
    kernel.ask(TWO, THREE)
    kernel.run("%assistant new later")
    table = kernel.run("%assistant list")
    assert table.name == "conversations"
    assert table["name"] == ["", "trip", "later"]
    assert table["runs"] == [1, 2, 0]
    assert table["question"] == [ONE, THREE, None]
    assert table["current"] == ["", "", "▸"]
    assert len(kernel.run("%assistant list --limit 2")) == 2


def test_a_conversation_without_a_question_stands_where_it_began(kernel: Kernel) -> None:
    for name in ("one", "two", "three"):
        kernel.run(f"%assistant new {name}")
    kernel.run("%assistant use one")
    kernel.ask(ONE)
    assert kernel.run("%assistant list")["name"] == ["two", "three", "one"]


def test_the_list_leaves_out_threads_of_other_databases(kernel: Kernel) -> None:
    kernel.run("%assistant connect local --database :memory:")
    kernel.ask(ONE)
    kernel.run("%assistant connect local")
    kernel.ask(TWO)
    assert kernel.run("%assistant list")["question"] == [TWO]


def test_status_says_which_conversation_it_is_and_how_many_have_a_name(kernel: Kernel) -> None:
    assert "without a name (none has a name here" in kernel.run("%assistant status")
    kernel.run("%assistant new trip")
    kernel.run("%assistant new")
    kernel.run("%assistant new home")
    assert "home (2 have a name here" in kernel.run("%assistant status")


# --- fork, rewind, regenerate ----------------------------------------------------------------------


def test_a_fork_has_the_messages_up_to_a_question_and_leaves_the_earlier_thread_alone(
    place: str, kernel: Kernel
) -> None:
    kernel.run("%assistant new trip")
    kernel.ask(ONE, TWO, THREE)
    whole, earlier = kernel.said(), kernel.thread
    said = kernel.run("%assistant fork side --at 2")
    assert kernel.said() == whole[:4]
    assert [role for role, _ in whole[:4]] == ["user", "assistant"] * 2
    assert "2 questions" in said
    assert "%assistant use trip" in said
    kernel.ask("And 5 + 5?")
    kernel.run("%assistant use trip")
    assert (kernel.thread, kernel.said()) == (earlier, whole)
    kernel.run("%assistant fork")
    assert kernel.said() == whole
    assert kernel.thread != earlier


def test_rewind_forgets_questions_and_the_name_goes_on_with_the_rest(place: str, kernel: Kernel) -> None:
    kernel.run("%assistant new trip")
    kernel.ask(ONE, TWO, THREE)
    whole = kernel.said()
    said = kernel.run("%assistant rewind 2")
    assert kernel.said() == whole[:2]
    assert kernel.conversation.talk.name == "trip"
    assert "Forgot 2 questions; 1 left" in said
    assert "%assistant use trip~1" in said
    kernel.run("%assistant rewind")
    assert kernel.said() == []
    kernel.run("%assistant use trip~1")
    assert kernel.said() == whole


def test_a_rewound_conversation_is_the_rewound_one_after_a_restart_as_well(start: Callable[[], Kernel]) -> None:
    first = start()
    first.run("%assistant new trip")
    first.ask(ONE, TWO)
    first.run("%assistant rewind")
    again = start()
    again.run("%assistant use trip")
    assert again.asked() == [ONE]
    again.run("%assistant use trip~1")
    assert again.asked() == [ONE, TWO]
    assert again.conversation.thread.metadata["dashnb_name"] == "trip~1"  # type: ignore[union-attr]


def test_a_thread_of_more_than_one_page_is_forked_whole(kernel: Kernel) -> None:
    messages = [{"role": role, "content": f"{n} {role}"} for n in range(120) for role in ("user", "assistant")]
    thread = kernel.conversation.client.threads.create(messages=messages)
    kernel.run(f"%assistant use {thread.id}")
    kernel.run("%assistant fork --at 111")
    assert kernel.asked() == [f"{n} user" for n in range(111)]
    assert len(kernel.said()) == 222


def test_regenerate_asks_again_and_both_answers_stay(place: str, kernel: Kernel) -> None:
    kernel.run("%assistant new trip")
    kernel.ask(ONE, TWO)
    whole = kernel.said()
    shown = kernel.run('%assistant regenerate -m qwen-plus -i "Be brief" -o answer')
    answer = kernel.shell.user_ns["answer"]
    assert "997002" in shown
    assert (answer.run.model, answer.run.instructions) == ("qwen-plus", "Be brief")
    assert kernel.asked() == [ONE, TWO]
    assert (kernel.thread, kernel.conversation.talk.name) == (answer.thread_id, "trip")
    kernel.run("%assistant use trip~1")
    assert kernel.said() == whole


def test_regenerate_asks_as_it_was_asked_unless_told_otherwise(kernel: Kernel) -> None:
    kernel.run('def add(left: int, right: int) -> int:\n    "Add two integers."\n    return left + right')
    client = kernel.conversation.client
    painter = client.assistants.create(model="qwen-max", name="Art Maestro")
    kernel.run(f'%%assistant -a {painter.id} -m qwen-plus -i "Be brief" -t add\nAdd 87787 to 788988737')
    kernel.run("%assistant regenerate -o same")
    same = kernel.shell.user_ns["same"]
    assert (same.assistant_id, same.run.model, same.run.instructions) == (painter.id, "qwen-plus", "Be brief")
    assert [call.output for call in same.tool_calls] == ["789076524"]
    kernel.run("%assistant regenerate -m qwen-turbo -o other")
    other = kernel.shell.user_ns["other"]
    assert (other.run.model, other.run.instructions) == ("qwen-turbo", "Be brief")


def test_regenerate_that_cannot_be_asked_changes_nothing(kernel: Kernel) -> None:
    kernel.run("%assistant new trip")
    kernel.ask(ONE)
    thread = kernel.thread
    with pytest.raises(UsageError, match="quark_search"):
        kernel.run("%assistant regenerate -t quark_serach")
    assert (kernel.thread, kernel.conversation.talk.name) == (thread, "trip")
    assert kernel.run("%assistant list")["name"] == ["trip"]


def test_regenerate_that_fails_keeps_both_and_the_conversation_takes_the_next_question(kernel: Kernel) -> None:
    kernel.run(f"%assistant connect local --engine replay:{TRANSCRIPTS / 'submit-tool-outputs.sse'}")
    kernel.run("%assistant new weather")
    for line in ("%%assistant\nWhat is the weather in Xi'an?", "%assistant regenerate"):
        with pytest.raises(RunError, match="get_current_weather"):
            kernel.run(line)
    assert kernel.run("%assistant list")["name"] == ["weather~1", "weather"]
    assert kernel.conversation.talk.name == "weather"
    kernel.run("%assistant connect local")
    kernel.run("%assistant use weather")
    kernel.ask(ONE)
    assert kernel.asked() == ["What is the weather in Xi'an?", ONE]


# --- runs that are in the way ----------------------------------------------------------------------


def test_a_run_that_an_earlier_kernel_left_waiting_makes_room(start: Callable[[], Kernel], tmp_path: Path) -> None:
    connect = f"%assistant connect local --engine replay:{TRANSCRIPTS / 'submit-tool-outputs.sse'}"
    first = start()
    first.run(connect)
    first.run("%assistant new weather")
    with pytest.raises(RunError, match="get_current_weather"):
        first.ask("What is the weather in Xi'an?")
    again = start()
    again.run("%assistant use weather")
    again.ask(ONE)
    statuses = {row["prompt"]: row["status"] for row in dashnb.history.runs().to_dicts()}
    assert statuses[ONE] == "completed"


@pytest.mark.parametrize("word", ["use", "resume"])
def test_a_run_that_waits_and_is_not_known_here_makes_room_only_when_it_is_resumed(
    start: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    # A kernel that is killed while it calls a function has recorded nothing; another one may be at work as well.
    connect = f"%assistant connect local --engine replay:{TRANSCRIPTS / 'submit-tool-outputs.sse'}"
    first = start()
    monkeypatch.setenv("DASHNB_LEDGER", "off")
    first.run(connect)
    with pytest.raises(RunError, match="get_current_weather"):
        first.ask("What is the weather in Xi'an?")
    thread = first.thread
    again = start()
    again.run(f"%assistant {word} {thread}")
    if word == "use":
        with pytest.raises((BadRequestError, ConflictError), match="requires_action"):
            again.ask(ONE)
    else:
        again.ask(ONE)
        assert again.asked()[-1] == ONE


@pytest.mark.parametrize("way", ["raise", "wait", "cancel"])
def test_busy_decides_about_a_run_of_somebody_else(
    start: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    gate = Gate()
    script = Script([TextPiece("one "), gate, TextPiece("two")], [TextPiece("three")])
    with Server(":memory:", script) as server, dashnb.connect(server.base_url, api_key=server.api_key) as client:
        monkeypatch.setenv("DASHNB_CONNECT", server.base_url)
        monkeypatch.setenv("DASHSCOPE_API_KEY", server.api_key)
        thread = client.threads.create(messages=[{"role": "user", "content": "Hello"}])
        assistant = client.assistants.create(model="qwen-max")
        other = client.runs.create(thread.id, assistant_id=assistant.id)
        assert gate.reached.wait(5)
        kernel = start()
        kernel.run(f"%assistant use {thread.id}")
        kernel.run(f"%assistant busy {way}")
        opener = threading.Timer(0.3, gate.open)
        opener.start()
        if way == "raise":
            with pytest.raises((BadRequestError, ConflictError), match=other.id):
                kernel.ask("Next")
        else:
            kernel.ask("Next")
            assert kernel.said()[-1] == ("assistant", "three")
        opener.join()
        status = client.runs.wait(other.id, thread_id=thread.id).status
        assert status == {"raise": "completed", "wait": "completed", "cancel": "cancelled"}[way]


def test_a_run_that_was_abandoned_makes_room_after_a_restart(
    start: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    script = Script([TextPiece("one "), gate], [TextPiece("two")])
    with Server(":memory:", script) as server, dashnb.connect(server.base_url, api_key=server.api_key) as client:
        monkeypatch.setenv("DASHNB_CONNECT", server.base_url)
        monkeypatch.setenv("DASHSCOPE_API_KEY", server.api_key)
        thread = client.threads.create(messages=[{"role": "user", "content": "Hello"}])
        run = client.runs.create(thread.id, assistant_id=client.assistants.create(model="qwen-max").id)
        assert gate.reached.wait(5)
        state = RunState()
        state.merge(run)
        state.end(ABANDONED)
        kernel = start()
        assert kernel.conversation.ledger is not None
        kernel.conversation.ledger.record(state, prompt="Hello", recorded_at=1, connection=server.base_url)
        kernel.run(f"%assistant use {thread.id}")
        kernel.ask("Next")
        assert kernel.said()[-1] == ("assistant", "two")
        assert client.runs.retrieve(run.id, thread_id=thread.id).status == "cancelled"


# --- resume ----------------------------------------------------------------------------------------


def test_resume_goes_on_where_the_notebook_was_and_shows_its_last_answer(
    place: str, start: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = start()
    first.ask(ONE, TWO)
    file, thread = first.save(tmp_path / "mine.ipynb"), first.thread
    first.run("%assistant new")
    first.ask("Not in the file")
    monkeypatch.setenv("JPY_SESSION_NAME", str(file))
    again = start()
    shown = again.run("%assistant resume --view static -o answer")
    assert "997002" in shown
    assert again.thread == thread
    assert again.shell.user_ns["answer"].status == "completed"
    again.ask(THREE)
    assert again.asked() == [ONE, TWO, THREE]


def test_resume_takes_a_file_a_name_a_thread_or_the_ledgers_last(start: Callable[[], Kernel], tmp_path: Path) -> None:
    first = start()
    first.run("%assistant new trip")
    first.ask(TWO)
    trip, file = first.thread, first.save(tmp_path / "my notes.ipynb")
    first.run("%assistant new")
    first.ask(ONE)
    last = first.thread
    for word, thread in ((f'"{file}"', trip), ("trip", trip), (trip, trip), ("", last)):
        again = start()
        shown = again.run(f"%assistant resume {word}")
        assert again.thread == thread
        assert ("997002" if thread == trip else "5") in shown


def test_resume_finds_the_file_that_vs_code_names(start: Callable[[], Kernel], tmp_path: Path) -> None:
    first = start()
    first.ask(ONE)
    file, thread = first.save(tmp_path / "mine.ipynb"), first.thread
    first.run("%assistant new")
    first.ask(TWO)
    again = start()
    again.shell.user_ns["__vsc_ipynb_file__"] = str(file)
    again.run("%assistant resume")
    assert again.thread == thread


@pytest.mark.parametrize("said", ["", "gone.ipynb", "mine.txt", 5, None])
def test_what_a_front_end_says_counts_only_if_there_is_such_a_notebook(tmp_path: Path, said: Any) -> None:
    (tmp_path / "mine.txt").write_text("")
    value = str(tmp_path / said) if isinstance(said, str) else said
    assert notebook_file({"__vsc_ipynb_file__": value}, {}) is None


def test_a_notebook_that_cannot_be_read_leaves_it_to_the_ledger(
    start: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = start()
    first.ask(ONE)
    thread = first.thread
    (tmp_path / "mine.ipynb").write_text("{")
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "mine.ipynb"))
    again = start()
    again.run("%assistant resume")
    assert again.thread == thread


def test_resume_fetches_the_runs_that_the_ledger_does_not_have(start: Callable[[], Kernel]) -> None:
    first = start()
    first.ask(ONE, TWO)
    thread = first.thread
    before = dashnb.history.runs()
    again = start()
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (again.conversation.settings.data_dir / name).unlink(missing_ok=True)
    assert "2 of its runs" in again.run(f"%assistant resume {thread}")
    after = dashnb.history.runs()
    assert [after[name] for name in ("id", "prompt", "text")] == [before[name] for name in ("id", "prompt", "text")]


def test_resume_joins_a_run_that_still_goes_on(start: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    with (
        Server(":memory:", Script([TextPiece("one "), gate, TextPiece("two")])) as server,
        dashnb.connect(server.base_url, api_key=server.api_key) as client,
    ):
        monkeypatch.setenv("DASHNB_CONNECT", server.base_url)
        monkeypatch.setenv("DASHSCOPE_API_KEY", server.api_key)
        thread = client.threads.create(messages=[{"role": "user", "content": "Hello"}])
        run = client.runs.create(thread.id, assistant_id=client.assistants.create(model="qwen-max").id)
        assert gate.reached.wait(5)
        opener = threading.Timer(0.3, gate.open)
        opener.start()
        kernel = start()
        shown = kernel.run(f"%assistant resume {thread.id} -o answer")
        opener.join()
        answer = kernel.shell.user_ns["answer"]
        assert (answer.id, answer.status, answer.text) == (run.id, "completed", "one two")
        assert "one two" in shown


def test_resume_shows_a_run_that_failed_and_goes_on_all_the_same(start: Callable[[], Kernel]) -> None:
    connect = f"%assistant connect local --engine replay:{TRANSCRIPTS / 'submit-tool-outputs.sse'}"
    first = start()
    first.run(connect)
    with pytest.raises(RunError, match="get_current_weather"):
        first.ask("What is the weather in Xi'an?")
    again = start()
    assert "get_current_weather" in again.run("%assistant resume")
    again.run("%assistant busy raise")
    again.ask(ONE)
    assert again.asked()[-1] == ONE


def test_resume_hands_functions_to_a_run_that_waits_for_them(start: Callable[[], Kernel]) -> None:
    connect = f"%assistant connect local --engine replay:{TRANSCRIPTS / 'submit-tool-outputs.sse'}"
    first = start()
    first.run(connect)
    with pytest.raises(RunError, match="get_current_weather"):
        first.ask("What is the weather in Xi'an?")
    again = start()
    again.run(connect)
    again.run('def get_current_weather(location: str) -> str:\n    "The weather."\n    return "rain"')
    again.run("%assistant resume -t get_current_weather -o answer")
    assert again.shell.user_ns["answer"].status == "completed"


def test_a_thread_that_the_service_lost_is_made_again_from_the_notebook(
    place: str, start: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = start()
    first.run("%assistant new trip")
    first.ask(ONE, TWO)
    whole, lost = first.said(), first.thread
    file = first.save(tmp_path / "mine.ipynb")
    first.conversation.client.threads.delete(lost)
    monkeypatch.setenv("JPY_SESSION_NAME", str(file))
    again = start()
    with pytest.raises(NotFoundError, match=f'%assistant resume --from-notebook "{file}"') as caught:
        again.run("%assistant resume")
    assert len(str(caught.value).splitlines()) <= 3
    assert again.thread == ""
    with pytest.raises(NotFoundError, match="--from-notebook"):
        again.run("%assistant use trip")
    assert "4 messages of mine.ipynb" in again.run("%assistant resume --from-notebook")
    assert again.said() == whole
    assert again.thread != lost
    again.ask(THREE)
    assert again.asked() == [ONE, TWO, THREE]
    restored = again.thread
    again.run(f'%assistant resume --from-notebook "{file}"')
    assert again.said() == whole
    again.run("%assistant use trip")
    assert again.thread == restored


def test_of_a_notebook_with_several_threads_any_one_is_made_again(start: Callable[[], Kernel], tmp_path: Path) -> None:
    first = start()
    first.ask(ONE)
    one = first.thread
    first.run("%assistant new")
    first.ask(TWO)
    first.run("%run_stream --view static")
    file = first.save(tmp_path / "mine.ipynb")
    again = start()
    said = again.run(f"%assistant resume --from-notebook {file}")
    assert "does not keep the questions of 1 of its runs" in said
    assert [role for role, _ in again.said()] == ["user", "assistant", "assistant"]
    again.run(f"%assistant resume {one} --from-notebook {file}")
    assert again.asked() == [ONE]
    with pytest.raises(UsageError, match="keeps no message of the thread thread_2"):
        again.run(f"%assistant resume thread_2 --from-notebook {file}")


def test_a_notebook_of_another_service_says_where_its_thread_is(
    start: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with dashnb.serve(engine="guide", database=":memory:") as server:
        first = start()
        monkeypatch.setenv("DASHSCOPE_API_KEY", server.api_key)
        first.run(f"%assistant connect {server.base_url}")
        first.ask(ONE)
        file = first.save(tmp_path / "mine.ipynb")
    again = start()
    again.run("%assistant connect local")
    with pytest.raises(NotFoundError, match=f"%assistant connect {server.base_url}"):
        again.run(f"%assistant resume {file}")


def test_a_name_whose_thread_is_gone_says_what_to_do(kernel: Kernel) -> None:
    kernel.run("%assistant new trip")
    kernel.ask(ONE)
    kernel.conversation.client.threads.delete(kernel.thread)
    kernel.run("%assistant new")
    with pytest.raises(NotFoundError, match="--from-notebook"):
        kernel.run("%assistant use trip")


# --- what is said ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("use", "required: NAME"),
        ("use tirp", "Did you mean trip?"),
        ("use thread", "no conversation 'thread'"),
        ("new trip", "already"),
        ("new thread_1", "stands for something else"),
        ("new notes.ipynb", "stands for something else"),
        ('new " "', "characters that can be seen"),
        (f"new {'x' * 65}", "1 to 64 characters"),
        ("new a b", "unrecognized arguments: b"),
        ("fork trip", "already"),
        ("fork --at 2", "from 1 to 1"),
        ("fork --at 0", "from 1 to 1"),
        ("fork --at one", "invalid int value"),
        ("rewind 2", "1 question, not 2"),
        ("rewind 0", "at least 1"),
        ("rewind -1", "at least 1"),
        ("regenerate --new", "neither --new nor --thread"),
        ("busy wiat", "Did you mean wait?"),
        ("list --limit 0", "at least 1"),
        ("resume nowhere", "no conversation 'nowhere'"),
        ("resume --from-notebook", "name its file"),
        ("rewnid", "Did you mean rewind?"),
        ("help rewnid", "Did you mean rewind?"),
    ],
)
def test_a_line_that_cannot_be_carried_out_says_why_and_changes_nothing(kernel: Kernel, line: str, said: str) -> None:
    kernel.run("%assistant new trip")
    kernel.ask(ONE)
    thread = kernel.thread
    with pytest.raises(UsageError) as caught:
        kernel.run(f"%assistant {line}")
    assert said in str(caught.value)
    assert kernel.thread == thread


@pytest.mark.parametrize("line", ["fork", "rewind", "regenerate"])
def test_a_conversation_whose_thread_is_gone_says_what_to_do(kernel: Kernel, line: str) -> None:
    kernel.ask(ONE)
    kernel.conversation.client.threads.delete(kernel.thread)
    with pytest.raises(NotFoundError, match="--from-notebook"):
        kernel.run(f"%assistant {line}")


def test_a_variable_outranks_the_beginning_of_an_id(kernel: Kernel) -> None:
    kernel.ask(ONE)
    kernel.shell.user_ns["thread_1"] = kernel.conversation.thread
    thread = kernel.thread
    kernel.run("%assistant new")
    kernel.run("%assistant use thread_1")
    assert kernel.thread == thread
    kernel.conversation.client.threads.delete(thread)
    with pytest.raises(NotFoundError, match="--from-notebook"):
        kernel.run("%assistant use thread_1")


@pytest.mark.parametrize("line", ["fork", "rewind", "regenerate"])
def test_a_conversation_without_a_question_cannot_be_changed(kernel: Kernel, line: str) -> None:
    with pytest.raises(UsageError, match="no question yet"):
        kernel.run(f"%assistant {line}")


def test_resume_without_anything_to_resume_says_so(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no earlier conversation"):
        kernel.run("%assistant resume")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    with pytest.raises(UsageError, match="keeps no run"):
        kernel.run(f"%assistant resume {tmp_path / 'empty.ipynb'}")
    with pytest.raises(DashnbError):
        kernel.run(f"%assistant resume {tmp_path / 'missing.ipynb'}")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(kernel: Kernel, name: str) -> None:
    shown = kernel.run(f"%assistant help {name}")
    assert shown.startswith(f"%assistant {name}")
    assert kernel.run(f"%assistant {name} --help") == shown
