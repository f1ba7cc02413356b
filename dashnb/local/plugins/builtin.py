"""The built-in tools that answer without any service, by the type that a tool definition names."""

from __future__ import annotations

from dashnb.local.plugins import Plugin
from dashnb.local.plugins.calculator import calculator
from dashnb.local.plugins.quark_search import quark_search
from dashnb.local.plugins.text_to_image import text_to_image

PLUGINS: dict[str, Plugin] = {
    "quark_search": quark_search,
    "search": quark_search,
    "text_to_image": text_to_image,
    "wanx": text_to_image,
    "calculator": calculator,
}
