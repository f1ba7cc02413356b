"""What a notebook shows of objects that hold a model's words: the same bundle as under the cell that asked.

A result of a run shows itself. States and messages, which know nothing of views, are shown so by a shell that
has loaded the extension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from dashnb.protocol.objects import Message
    from dashnb.protocol.state import RunState
    from dashnb.view.heading import Heading


def shown_run(state: RunState, heading: Heading | None = None, *, goes_on: bool = False) -> dict[str, Any]:
    """The run as HTML, Markdown and text.

    >>> from dashnb.protocol.state import RunState
    >>> list(shown_run(RunState()))
    ['text/html', 'text/markdown', 'text/plain']

    Args:
        state: The run.
        heading: What stands above it; the run itself says what it can if None.
        goes_on: True if it is still read: what it does now is shown, and not how it ended.
    """
    from dashnb.view.bundle import bundle
    from dashnb.view.heading import ENGLISH

    data, _ = bundle(state, heading or ENGLISH, live=goes_on)
    return data


def shown_message(message: Message) -> dict[str, Any]:
    """The message as HTML, Markdown and text.

    >>> from dashnb.protocol.objects import Message
    >>> list(shown_message(Message.model_validate({"id": "message_1"})))
    ['text/html', 'text/markdown', 'text/plain']
    """
    from dashnb.view.bundle import message_bundle

    return message_bundle(message)


# What shows the objects of a class, by its module and name: nothing is loaded for what nobody shows.
SHOWN = {
    ("dashnb.protocol.state", "RunState"): shown_run,
    ("dashnb.protocol.objects", "Message"): shown_message,
}


def add_to(shell: InteractiveShell) -> None:
    """Have a shell show these objects so."""
    for (module, name), show in SHOWN.items():
        _formatter(shell).for_type_by_name(module, name, show)


def take_from(shell: InteractiveShell) -> None:
    """Have a shell show them as it did before."""
    for module, name in SHOWN:
        _formatter(shell).pop(f"{module}.{name}", None)


def _formatter(shell: InteractiveShell) -> Any:
    formatter = shell.display_formatter
    assert formatter is not None, "every shell makes one when it starts"
    return formatter.mimebundle_formatter
