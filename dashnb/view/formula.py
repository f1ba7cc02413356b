"""Which formulas are nothing but mathematics, and no deeper than a front end can set.

Formulas reach the front end as a model wrote them, and MathJax and KaTeX know more than mathematics:
what makes addresses, styles, names and attributes of its argument, shows something else than it says, or
gives a command another meaning for the whole page is refused, and stays words. A list of what is allowed
would have to name more than a thousand symbols; this one was made by going through all commands of
MathJax, and addresses are refused besides.

The browser's side of the live view has the same rule, and gets the two lists from here.
"""

from __future__ import annotations

import re

NESTING_AT_MOST = 25
GROUPS_AT_MOST = 400

# Regular expressions that mean the same here and in JavaScript.
COMMANDS = (
    r"unicode|char|U|mmlToken|href|url|html\w*|style|class|cssId|data|includegraphics|img|require|input|enclose"
    r"|toggle|mathtip|texttip|tooltip|label|\w*ref|csname|\w*def|\w*let|\w*newcommand|\w*newenvironment|newcolumntype"
    r"|providecommand|Declare\w*|Newextarrow|\w*newtagform|usetagform|mathtoolsset|definecolor|fcolorbox"
)
ENVIRONMENTS = (
    r"[bBpvV]?(?:small)?matrix|[dr]{0,2}cases|align(?:at|ed|edat)?|x{0,2}alignat|flalign|array|subarray|split"
    r"|[lr]?gather(?:ed)?|multlined?|multline|equation|eqnarray|CD"
)
_REFUSED = re.compile(
    rf"""//|\burl\b|\\(?:
        (?:{COMMANDS})(?![A-Za-z])
        |[A-Za-z]*color(?:box)?(?![A-Za-z])(?!\s*(?:\[\w+\]\s*)?\{{[\w\s\#.,%-]*\}})
        |bbox(?!\s*(?:\[[\w\s\#.,%-]*\]\s*)?\{{)
        |[bx]?cancel\s*\[
        |(?:begin|end)(?![A-Za-z])(?!\s*\{{(?:{ENVIRONMENTS})\*?\}})
    )""",
    re.VERBOSE | re.ASCII,
)
_GROUPS = re.compile(r"\\(left|right|begin|end)(?![A-Za-z])|\\.|([{}])", re.DOTALL)
_OPENED_BY = {"}": "{", "right": "left", "end": "begin"}


def is_harmless(formula: str) -> bool:
    r"""True if it is nothing but mathematics, and no deeper than a front end can set.

    >>> is_harmless(r"\frac{1}{2}"), is_harmless(r"\href{javascript:alert(1)}{x}")
    (True, False)
    """
    if _REFUSED.search(formula):
        return False
    groups, deepest = 0, 0
    depths = {"{": 0, "left": 0, "begin": 0}  # apart, so that too many ends of one kind hide no other
    for match in _GROUPS.finditer(formula):
        mark = match[1] or match[2]
        if mark in depths:
            groups += 1
            depths[mark] += 1
            deepest = max(deepest, sum(depths.values()))
        elif mark:
            opened = _OPENED_BY[mark]
            depths[opened] = max(0, depths[opened] - 1)
    return deepest <= NESTING_AT_MOST and groups <= GROUPS_AT_MOST
