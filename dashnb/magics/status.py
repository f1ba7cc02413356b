"""Where the magics are connected, why, and who answers, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashnb.magics.display import ENGINE_LABELS

if TYPE_CHECKING:
    from dashnb.magics.conversation import Conversation
    from dashnb.settings import Settings

_PLACES = {
    "local": "the embedded Assistant API in this process",
    "cloud": "the cloud service in Beijing",
    "cloud-intl": "the cloud service in Singapore",
    "url": "a service of your own",
    "replay": "a recording",
}


def summary(conversation: Conversation) -> str:
    """One line: where, why, who answers.

    >>> from dashnb.magics.conversation import Conversation
    >>> from dashnb.settings import Settings
    >>> summary(Conversation(Settings.load({}, file=None)))
    'Connected to the embedded Assistant API in this process (no key is set); guide · rules, no language model answers.'
    """
    connection = conversation.connection
    place = connection.shown("base_url") if connection.kind == "url" else _PLACES[connection.kind]
    return f"Connected to {place} ({connection.reason}); {_who(conversation)} answers."


def status(conversation: Conversation) -> str:
    """Everything a person may want to know about the connection, a line each; keys are never shown."""
    connection, settings = conversation.connection, conversation.settings
    thread = conversation.thread
    ledger = settings.ledger_file
    rows = [
        ("connected", f"{connection.kind}: {_PLACES[connection.kind]}"),
        ("because", connection.reason),
        ("answers", _who(conversation)),
        ("model", _model(conversation)),
        ("conversation", _talk(conversation)),
        ("thread", "none yet" if thread is None else thread.id),
        ("key", _key(settings)),
        ("view", f"{settings.view} ({settings.source('view')})"),
        ("ledger", "off" if ledger is None else str(ledger)),
    ]
    if connection.kind == "local":
        rows.append(("database", connection.shown("database")))
    else:
        rows.append(("address", connection.shown("base_url")))
        rows.append(("workspace", settings.shown("workspace")))
    return "\n".join(f"{name:<14}{value}" for name, value in rows)


def _key(settings: Settings) -> str:
    shown = settings.shown("api_key")
    return {"(not set)": "none", "(not needed)": "not needed"}.get(shown, f"{shown} ({settings.source('api_key')})")


def _talk(conversation: Conversation) -> str:
    name, count = conversation.talk.name, len(conversation.names.entries())
    named = f"{count} {'has' if count == 1 else 'have'} a name here" if count else "none has a name here"
    return f"{name or 'without a name'} ({named}; %assistant list shows them)"


def _model(conversation: Conversation) -> str:
    connection, settings = conversation.connection, conversation.settings
    name, _, model = connection.engine.partition(":")
    if model and name in ENGINE_LABELS:
        return f"{model} (engine {connection.engine})"
    return f"{settings.model} ({settings.source('model')})"


def _who(conversation: Conversation) -> str:
    connection = conversation.connection
    if connection.kind == "local":
        name, _, model = connection.engine.partition(":")
        label = ENGINE_LABELS.get(name)
        return connection.engine if label is None else f"{label} ({model})" if model else label
    return "the model of each assistant"
