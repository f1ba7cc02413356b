"""What the built-in tools do, in the documented shapes of arguments and output.

A plugin is called with the arguments the model wrote (JSON text) and the tool's definition, and
returns its output as text. A plugin that cannot do its work raises `PluginError`: the step fails,
and so does the run, with that code and message.

Sources: Run Steps reference and streaming events reference, payloads of the built-in tools.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from dashnb.errors import DashnbError

Plugin = Callable[[str, dict[str, Any]], Awaitable[str]]


class PluginError(DashnbError):
    """A built-in tool failed.

    Attributes:
        code: Becomes ``last_error.code``, such as ``InvokePluginFailed``.
    """

    def __init__(self, message: str, *, code: str = "InvokePluginFailed") -> None:
        super().__init__(message)
        self.code = code
