"""What a person sees of a run: text, Markdown, HTML, and live views of it while it goes on.

    RunState ─┬─ to_text
              ├─ to_markdown          bundle = all three + metadata
              └─ to_html
    blocks    cuts a long answer into outputs     live   shows them while events arrive

Rendering is a function of the state and a `Heading`; only ``live`` and ``modes`` touch the world.
"""

from __future__ import annotations

from dashnb.view.blocks import Block, blocks
from dashnb.view.bundle import bundle, record
from dashnb.view.heading import Heading
from dashnb.view.html import to_html
from dashnb.view.live import Display, StaticView, TextView, UpdateView, View, jupyter_display, make_view
from dashnb.view.markdown import to_html as markdown_to_html
from dashnb.view.modes import MODES, Surroundings, choose_mode, surroundings
from dashnb.view.run_markdown import to_markdown
from dashnb.view.text import to_text

__all__ = [
    "MODES",
    "Block",
    "Display",
    "Heading",
    "StaticView",
    "Surroundings",
    "TextView",
    "UpdateView",
    "View",
    "blocks",
    "bundle",
    "choose_mode",
    "jupyter_display",
    "make_view",
    "markdown_to_html",
    "record",
    "surroundings",
    "to_html",
    "to_markdown",
    "to_text",
]
