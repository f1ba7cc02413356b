"""Literal inline styles that look right on a light and on a dark page.

A front end may drop style sheets, ``var()``, ids and scripts from saved HTML, so every element says
itself how it looks. Text keeps the page's own colour; lines and grounds are translucent grey, which
is darker than white and lighter than black.
"""

from __future__ import annotations

from dashnb.view.tree import Element, element, to_html, words

_LINE = "rgba(128,128,128,0.35)"
_GROUND = "rgba(128,128,128,0.1)"
_MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace"

# The answer, by tag.
TAGS: dict[str, str] = {
    "p": "margin:0 0 0.75em 0",
    "h1": "font-size:1.45em;font-weight:600;line-height:1.3;margin:1.1em 0 0.5em 0",
    "h2": "font-size:1.25em;font-weight:600;line-height:1.3;margin:1.1em 0 0.5em 0",
    "h3": "font-size:1.1em;font-weight:600;line-height:1.3;margin:1.1em 0 0.4em 0",
    "h4": "font-size:1em;font-weight:600;line-height:1.4;margin:1em 0 0.4em 0",
    "h5": "font-size:1em;font-weight:600;font-style:normal;line-height:1.4;margin:1em 0 0.4em 0",
    "h6": "font-size:1em;font-weight:600;font-style:normal;line-height:1.4;margin:1em 0 0.4em 0",
    "ul": "margin:0 0 0.75em 0;padding-left:1.7em",
    "ol": "margin:0 0 0.75em 0;padding-left:1.7em",
    "li": "margin:0.2em 0",
    "blockquote": f"margin:0 0 0.75em 0;padding:0 0 0 1em;border:0;border-left:3px solid {_LINE}",
    "hr": f"border:0;border-top:1px solid {_LINE};margin:1.2em 0",
    "table": "border-collapse:collapse;margin:0;width:auto;font-size:0.95em",
    "th": f"padding:5px 12px;border:1px solid {_LINE};background:{_GROUND};font-weight:600",
    "td": f"padding:5px 12px;border:1px solid {_LINE}",
    "img": "max-width:100%;height:auto",
    "pre": f"margin:0 0 0.9em 0;padding:10px 14px;border:0;border-radius:6px;background:{_GROUND};"
    f"overflow-x:auto;font-size:0.92em;line-height:1.5;{_MONO}",
    "pre code": f"padding:0;background:none;white-space:pre;font-size:1em;{_MONO}",
    "code": f"padding:1px 5px;border-radius:4px;background:rgba(128,128,128,0.14);font-size:0.92em;{_MONO}",
}
NESTED_LIST = "margin:0.2em 0;padding-left:1.7em"
SCROLL = "overflow-x:auto;margin:0 0 0.9em 0"

# What stands around the answer.
FRAME = "padding:4px 0;font-size:14px;line-height:1.6;max-width:860px;overflow-wrap:break-word"
HEADER = "font-size:12px;line-height:1.6;margin:0 0 8px 0"
QUIET = "opacity:0.68"
NAME = "font-weight:600"
ACTIVITY = "font-size:12px;line-height:1.6;margin:6px 0 0 0;opacity:0.68"
FOOTER = "font-size:12px;line-height:1.6;margin:10px 0 0 0;opacity:0.68"
ANSWER = "margin:0"
CALL = f"margin:0 0 8px 0;padding:1px 0 1px 12px;border-left:2px solid {_LINE}"
SUMMARY = "cursor:pointer;font-size:13px;line-height:1.6"
CALL_NAME = f"font-size:12px;font-weight:600;padding:0;background:none;{_MONO}"
CALL_LINE = f"font-size:12px;padding:0;background:none;opacity:0.68;{_MONO}"
LABEL = "font-size:11px;line-height:1.6;margin:8px 0 3px 0;opacity:0.68"
DATA = (
    f"margin:0 0 6px 0;padding:8px 12px;border:0;border-radius:6px;background:{_GROUND};max-height:320px;overflow:auto;"
    f"font-size:12px;line-height:1.5;white-space:pre-wrap;overflow-wrap:break-word;{_MONO}"
)
RESULTS = "margin:4px 0 2px 0;padding-left:1.7em;font-size:13px;line-height:1.5"
RESULT = "margin:0 0 6px 0"
NOTE = "font-size:12px;opacity:0.68"
TIMELINE = "font-size:12px;line-height:1.9;margin:0 0 8px 0"
TIMELINE_STEP = "display:inline-block;margin:0 6px 0 0;white-space:nowrap"
TIMELINE_PICTURE = "display:inline;vertical-align:-2px;margin:0"
PICTURES = "margin:0 0 8px 0"
PICTURE = "max-width:100%;max-height:420px;height:auto;border-radius:6px;margin:2px 8px 6px 0"

_BOX = "margin:8px 0;padding:7px 12px;border-radius:4px;font-size:13px;line-height:1.5"
NOTICES: dict[str, str] = {
    "error": f"{_BOX};border-left:3px solid #d9534f;background:rgba(217,83,79,0.12)",
    "wait": f"{_BOX};border-left:3px solid #d99a2b;background:rgba(217,154,43,0.13)",
    "note": f"{_BOX};border-left:3px solid rgba(128,128,128,0.6);background:{_GROUND}",
}
_STATUS_COLOURS: dict[str, str] = {
    "completed": "#3c9d63",
    "failed": "#d9534f",
    "expired": "#d9534f",
    "requires_action": "#d99a2b",
    "queued": "#4a90d9",
    "in_progress": "#4a90d9",
}


def colour(status: str) -> str:
    """The colour of a status, readable on a light and on a dark page.

    >>> colour("completed")
    '#3c9d63'
    """
    return _STATUS_COLOURS.get(status, "#8c8c8c")


def dot(status: str) -> Element:
    """A small disc in the colour of a status; a word always stands beside it."""
    return element("span", f"font-size:10px;color:{colour(status)}", "●")


def text_html(text: str) -> str:
    r"""Text as HTML, with every dollar sign and backslash apart so that a front end sees no formulas in it.

    >>> text_html(r"<b> $5 \ref{a}")
    '&lt;b&gt; <span>$</span>5 <span>\\</span>ref{a}'
    """
    return "".join(map(to_html, words(text)))


def tag(name: str, style: str, content: str) -> str:
    """An element with an inline style; ``content`` is HTML already.

    >>> tag("p", "margin:0", "a &lt; b")
    '<p style="margin:0">a &lt; b</p>'
    """
    return f'<{name} style="{style}">{content}</{name}>'
