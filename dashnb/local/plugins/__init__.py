"""What the built-in tools do, in the documented shapes of arguments and output.

A plugin is called with the arguments the model wrote (JSON text) and the tool's definition, and
returns its output as text. One that keeps something for each thread is an object with a method `call`
(`ThreadPlugin`). A plugin that cannot do its work raises `PluginError`: the step fails,
and so does the run, with that code and message.

Sources: Run Steps reference and streaming events reference, payloads of the built-in tools.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from dashnb.errors import DashnbError


@runtime_checkable
class ThreadPlugin(Protocol):
    """A plugin that keeps something for each thread, such as the variables of its code.

    If it has a coroutine method ``aclose``, that is called when the embedded API is closed.
    """

    async def call(self, arguments: str, definition: dict[str, Any], *, thread_id: str) -> str:
        """The output of a call in this thread."""


Plugin = Callable[[str, dict[str, Any]], Awaitable[str]] | ThreadPlugin


async def close_plugins(plugins: Mapping[str, Plugin]) -> None:
    """Close the plugins that have something to close, on the loop that they were called on."""
    own = getattr(plugins, "aclose", None)
    closers = [own] if own else [plugin.aclose for plugin in plugins.values() if hasattr(plugin, "aclose")]
    for close in closers:
        await close()


class PluginError(DashnbError):
    """A built-in tool failed.

    Attributes:
        code: Becomes ``last_error.code``, such as ``InvokePluginFailed``.
    """

    def __init__(self, message: str, *, code: str = "InvokePluginFailed") -> None:
        super().__init__(message)
        self.code = code
