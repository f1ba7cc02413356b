"""What a word on a magic's line stands for: a variable of the notebook, an id, or a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from dashnb.magics.arguments import near
from dashnb.protocol.objects import Assistant, Run, Thread
from dashnb.protocol.state import RunState
from dashnb.session.result import RunResult
from dashnb.session.session import Session
from dashnb.session.tools import FunctionTool

if TYPE_CHECKING:
    from dashnb.client.client import Client
    from dashnb.magics.conversation import Conversation

# Models that the documentation names; others are taken as well, the service knows best.
KNOWN_MODELS = (
    "qwen-max",
    "qwen-max-latest",
    "qwen-plus",
    "qwen-plus-latest",
    "qwen-turbo",
    "qwen-turbo-latest",
    "qwen-long",
)
# The built-in tools that the documentation names; a plugin's id passes as it is when it looks like one.
BUILT_IN_TOOLS = (
    "calculator",
    "code_interpreter",
    "generate_qrcode",
    "github_search",
    "quark_search",
    "rag",
    "search",
    "text_to_image",
    "wanx",
)


def find_assistant(word: str, variables: Mapping[str, Any], client: Client) -> Assistant | str:
    """The assistant that a word names: a variable, an id, or the name of one at the service.

    Raises:
        UsageError: There is none.
    """
    value = variables.get(word)
    if isinstance(value, Session):
        return value.assistant
    if isinstance(value, Assistant) or (isinstance(value, str) and value.startswith("asst_")):
        return value
    if word.startswith("asst_"):
        return word
    names: list[str] = []
    for assistant in client.assistants.iter(limit=100):
        if assistant.name == word:
            return assistant
        names.append(assistant.name)
    raise UsageError(f"there is no assistant {word!r}: no variable, id or name.{near(word, names)}")


def find_thread(word: str, variables: Mapping[str, Any], client: Client) -> Thread:
    """The thread that a word names: a variable or an id, known to the service.

    Raises:
        UsageError: The word is neither.
        NotFoundError: The service has no such thread.
    """
    value = variables.get(word)
    if isinstance(value, Session):
        value = value.thread
    if isinstance(value, (RunResult, RunState)):
        value = value.thread_id
    named = value.id if isinstance(value, Thread) else value if isinstance(value, str) else word
    if named.startswith("thread_"):
        return client.threads.retrieve(named)
    known = [name for name, held in variables.items() if isinstance(held, (Thread, Session, RunResult))]
    raise UsageError(
        f"there is no thread {word!r}: give a thread's id or a variable that holds one.{near(word, known)}"
    )


def find_run(word: str, variables: Mapping[str, Any], thread: Thread | None, conversation: Conversation) -> Run:
    """The run that a word names, as it is now: a variable that holds one, or an id on a thread.

    The thread is the one that is given, else the one that the variable tells of, else the current one.

    Raises:
        UsageError: The word is neither, or its thread is not known.
        NotFoundError: The thread has no such run.
    """
    value = variables.get(word)
    if isinstance(value, Session) and value.runs:
        value = value.runs[-1]
    if isinstance(value, RunResult):
        value = value.state
    named = value.id if isinstance(value, (Run, RunState)) else value if isinstance(value, str) else word
    if thread is None and not isinstance(value, (Run, RunState)):
        thread = conversation.thread
    thread_id = thread.id if thread else getattr(value, "thread_id", "")
    if not named.startswith("run_"):
        known = [name for name, held in variables.items() if isinstance(held, (Run, RunState, RunResult))]
        raise UsageError(f"there is no run {word!r}: give a run's id or a variable that holds one.{near(word, known)}")
    if not thread_id:
        raise UsageError(f"--join {word} needs the run's thread: add --thread THREAD.")
    return conversation.client.runs.retrieve(named, thread_id=thread_id)


def find_tools(words: Iterable[str], variables: Mapping[str, Any]) -> list[Any]:
    """The tools that words name, several in one word with commas between: functions and built-in tools.

    Raises:
        UsageError: A word names neither.
    """
    return [_find_tool(name, variables) for word in words for name in word.split(",") if name.strip()]


def _find_tool(word: str, variables: Mapping[str, Any]) -> Any:
    name = word.strip()
    value = variables.get(name)
    if isinstance(value, (FunctionTool, dict)) or callable(value):
        return value
    if name in BUILT_IN_TOOLS:
        return name
    functions = [key for key, held in variables.items() if callable(held) and not key.startswith("_")]
    raise UsageError(
        f"there is no tool {name!r}: give a function of this notebook or a built-in tool "
        f"({', '.join(BUILT_IN_TOOLS)}).{near(name, [*BUILT_IN_TOOLS, *functions])}"
    )
