"""Documented tools that need what the embedded API does not have: they fail, and say so."""

from __future__ import annotations

from typing import Any

from dashnb.local.plugins import PluginError


async def github_search(arguments: str, tool: dict[str, Any]) -> str:
    """Never an output.

    Raises:
        PluginError: Always.
    """
    raise PluginError(
        "github_search needs the network, which the embedded API does without. Connect to the cloud, or use "
        "quark_search on documents of your own: dashnb docs add FOLDER"
    )
