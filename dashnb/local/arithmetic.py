"""Exact arithmetic from a string, and the sums that people write in sentences.

`evaluate` is a tokenizer and a recursive-descent parser over fractions; Python's own `eval` is never
involved. Everything is bounded (length, nesting, size of the numbers), so a hostile expression gives
a `CalculationError` and not a kernel that hangs. `find_sum` finds what to calculate in an English,
Chinese or Japanese sentence.

    expression = term (("+" | "-") term)*
    term       = sign (("*" | "/" | "%") sign)*
    sign       = ("+" | "-") sign | power
    power      = atom ("**" sign)?
    atom       = number | "(" expression ")"
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from dashnb.errors import DashnbError

LONGEST = 1_000  # characters of an expression
DEEPEST = 60  # parentheses and signs within each other; well below Python's own recursion limit
LARGEST_BITS = 4_000  # of a numerator or denominator: about 1200 digits, below Python's limit for printing
DECIMALS = 30  # a terminating decimal with more than these is rounded like any other
SIGNIFICANT = 12  # digits of a rounded result

# Full-width forms are their ASCII character plus an offset; the rest are the ways to write an operator.
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_SIGNS = {"×": "*", "✕": "*", "·": "*", "⋅": "*", "÷": "/", "∕": "/", "−": "-", "–": "-", "^": "**"}
_SIGNS |= {"x": "*", "X": "*"}

# Nothing of a number is given back: a part of it is another number.
NUMBER = r"(?:\d{1,3}(?:,\d{3})++(?!\d)|\d++)(?:\.\d++)?+|\.\d++"
_NUMBER = re.compile(NUMBER, re.ASCII)
_TOKEN = re.compile(rf"\s*(?:(?P<number>{NUMBER})|(?P<sign>\*\*|[-+*/%()^×✕·⋅÷∕−–xX]))", re.ASCII)


class CalculationError(DashnbError):
    """An expression has no result: it is malformed, divides by zero or grows too large."""


def narrow(text: str) -> str:
    """The text with full-width digits, letters and signs as ASCII.

    >>> narrow("９９９×９９８")
    '999×998'
    """
    return text.translate(_WIDE)


def evaluate(expression: str) -> Fraction:
    """The exact value of an arithmetic expression.

    >>> evaluate("12.5 / 5 + 3")
    Fraction(11, 2)
    >>> evaluate("９９９×９９８") == evaluate("999 x 998") == 997002
    True
    >>> evaluate("1/0")
    Traceback (most recent call last):
    dashnb.local.arithmetic.CalculationError: Division by zero.

    As in Python, ``-2**2`` is -4, ``2**-1`` is a half, powers bind from the right and ``%`` has the
    sign of its right side. Exponents are whole numbers.
    """
    return _Parser(_tokens(expression)).parse()


def is_exact(value: Fraction) -> bool:
    """Whether `format_number` writes this value without rounding.

    >>> is_exact(Fraction(11, 2)), is_exact(Fraction(1, 3))
    (True, False)
    """
    return _decimals(value.denominator) is not None


def format_number(value: Fraction) -> str:
    """The value as a decimal number: exact if it ends within 30 decimals, otherwise rounded.

    >>> format_number(Fraction(11, 2)), format_number(Fraction(-2, 3)), format_number(Fraction(1, 3**40))
    ('5.5', '-0.666666666667', '8.22526333997 × 10^-20')

    The caller says ``≈`` where `is_exact` is false.
    """
    places = _decimals(value.denominator)
    if places is None:
        return _rounded(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def _decimals(denominator: int) -> int | None:
    """How many decimals a fraction with this denominator needs, None if too many or without end."""
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    return places if rest == 1 and places <= DECIMALS else None


def _rounded(value: Fraction) -> str:
    with decimal.localcontext() as context:
        context.prec = SIGNIFICANT
        number = decimal.Decimal(value.numerator) / decimal.Decimal(value.denominator)
        exponent = number.adjusted()
        if -6 <= exponent < 15:
            text = f"{number:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        mantissa = f"{number.scaleb(-exponent):f}"
    return f"{mantissa.rstrip('0').rstrip('.')} × 10^{exponent}"


def _tokens(expression: str) -> list[str]:
    text = narrow(expression).strip()
    if not text:
        raise CalculationError("There is nothing to calculate.")
    if len(text) > LONGEST:
        raise CalculationError(f"The expression is longer than {LONGEST} characters.")
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CalculationError(f"{text[position:].strip()[:1]!r} is not part of an arithmetic expression.")
        tokens.append(_SIGNS.get(match[match.lastgroup or 0], match[match.lastgroup or 0]))
        position = match.end()
    return tokens


class _Parser:
    """Reads tokens from left to right; one method per rule of the grammar above."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def parse(self) -> Fraction:
        value = self._expression()
        if self._peek():
            raise CalculationError(f"Something is missing before {self._peek()!r}.")
        return value

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _expression(self) -> Fraction:
        return self._chain(("+", "-"), self._term)

    def _term(self) -> Fraction:
        return self._chain(("*", "/", "%"), self._sign)

    def _chain(self, signs: tuple[str, ...], operand: Callable[[], Fraction]) -> Fraction:
        value = operand()
        while self._peek() in signs:
            sign = self._take()
            value = _bounded(_OPERATIONS[sign](value, operand()))
        return value

    def _sign(self) -> Fraction:
        if self._peek() not in ("+", "-"):
            return self._power()
        sign = self._take()
        value = self._nested(self._sign)
        return -value if sign == "-" else value

    def _power(self) -> Fraction:
        base = self._atom()
        if self._peek() != "**":
            return base
        self._take()
        return _bounded(_power(base, self._nested(self._sign)))

    def _atom(self) -> Fraction:
        token = self._take()
        if token == "(":
            value = self._nested(self._expression)
            if self._take() != ")":
                raise CalculationError("A closing parenthesis is missing.")
            return value
        if not token:
            raise CalculationError("The expression ends where a number should follow.")
        if not token[-1].isdigit():
            raise CalculationError(f"A number is missing before {token!r}.")
        return _bounded(Fraction(token.replace(",", "")))

    def _nested(self, rule: Callable[[], Fraction]) -> Fraction:
        self._depth += 1
        if self._depth > DEEPEST:
            raise CalculationError(f"The expression is nested more than {DEEPEST} deep.")
        value = rule()
        self._depth -= 1
        return value


def _divide(left: Fraction, right: Fraction) -> Fraction:
    if right == 0:
        raise CalculationError("Division by zero.")
    return left / right


def _remainder(left: Fraction, right: Fraction) -> Fraction:
    if right == 0:
        raise CalculationError("Division by zero.")
    return left % right


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise CalculationError("Only whole numbers can be exponents.")
    if base == 0 and exponent < 0:
        raise CalculationError("Division by zero.")
    # The size is judged before the power is computed: 2**bits <= |base| holds for one bit less.
    bits = max(abs(base.numerator).bit_length(), base.denominator.bit_length()) - 1
    if bits * abs(exponent) > LARGEST_BITS:
        raise CalculationError("The result is too large.")
    return Fraction(base ** int(exponent))


_OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divide,
    "%": _remainder,
}


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > LARGEST_BITS:
        raise CalculationError("The result is too large.")
    return value


@dataclass(frozen=True, slots=True)
class Sum:
    """A calculation found in a sentence.

    Attributes:
        expression: The whole calculation, for `evaluate`.
        operation: ``add``, ``subtract``, ``multiply``, ``divide`` or ``power`` if it is just two
            numbers, otherwise ``""``.
        left, right: The two numbers as written; ``""`` if there are more.
    """

    expression: str
    operation: str = ""
    left: str = ""
    right: str = ""


SIGN_OF = {"add": "+", "subtract": "-", "multiply": "×", "divide": "÷", "power": "^"}

_N = rf"(-?(?:{NUMBER}))"
_ASKS_AND = r"\s*(?:and|with|to|,|和|与|跟|と|、)\s*"
# A sentence that spells out a sum of two numbers: pattern, operation, whether the numbers swap sides.
_SPELT: list[tuple[re.Pattern[str], str, bool]] = [
    (re.compile(pattern.replace("N", _N), re.IGNORECASE | re.ASCII), operation, swapped)
    for pattern, operation, swapped in (
        (rf"\badd(?:ing)?\s+(?:up\s+)?N{_ASKS_AND}N", "add", False),
        (rf"\b(?:sum|total) of\s+N{_ASKS_AND}N", "add", False),
        (r"\bsubtract(?:ing)?\s+N\s+from\s+N", "subtract", True),
        (rf"\bdifference (?:of|between)\s+N{_ASKS_AND}N", "subtract", False),
        (r"\bmultiply(?:ing)?\s+N\s+(?:by|with|and)\s+N", "multiply", False),
        (rf"\bproduct of\s+N{_ASKS_AND}N", "multiply", False),
        (r"\bdivid(?:e|ing)\s+N\s+by\s+N", "divide", False),
        (rf"\bquotient of\s+N{_ASKS_AND}N", "divide", False),
        (r"N\s*(?:に|と|へ)\s*N\s*を?\s*(?:足|たす|たし|加え|加算)", "add", False),
        (r"N\s*(?:に|と)\s*N\s*を?\s*(?:掛け|かけ|乗じ|乗算)", "multiply", False),
        (r"N\s*から\s*N\s*を?\s*(?:引|ひく|ひい|減算)", "subtract", False),
        (r"N\s*を\s*N\s*で\s*(?:割|わる|わっ|除)", "divide", False),
        (r"N\s*の\s*N\s*乗", "power", False),
        (r"N\s*的\s*N\s*次方", "power", False),
        (rf"N{_ASKS_AND}N\s*(?:的|の)\s*(?:和|总和|合計)", "add", False),
        (rf"N{_ASKS_AND}N\s*(?:的|の)\s*差", "subtract", False),
        (rf"N{_ASKS_AND}N\s*(?:的|の)\s*(?:乘积|积|積)", "multiply", False),
        (rf"N{_ASKS_AND}N\s*(?:的|の)\s*商", "divide", False),
        (rf"N{_ASKS_AND}N\s*相加", "add", False),
        (rf"N{_ASKS_AND}N\s*相乘", "multiply", False),
        (r"(?:把|将)\s*N\s*(?:加到|加上)\s*N", "add", False),
    )
]

# Words between two numbers that stand for a sign.
_WORDS: list[tuple[re.Pattern[str], str]] = [
    (re.compile(rf"(?<=[\d)])\s*(?:{words})\s*(?=[-(.\d])", re.IGNORECASE), f" {sign} ")
    for words, sign in (
        (r"(?:\bis )?multiplied by|\btimes\b|乘以|乘上|乘|掛ける|かける", "×"),
        (r"(?:\bis )?divided by|\bover\b|除以|割る|わる", "÷"),
        (r"\bplus\b|加上|加|足す|たす|プラス", "+"),
        (r"\bminus\b|减去|減去|减|減|引く|ひく|マイナス", "-"),
        (r"(?:\braised )?to the power of|\bto the power\b", "^"),
        (r"\bmod(?:ulo)?\b", "%"),
    )
]
_SHARE = re.compile(rf"{_N}\s*(?:%|percent)\s*of\s*{_N}", re.IGNORECASE | re.ASCII)

_FORMULA = re.compile(r"[-+(]*[.\d][-+*/×✕·⋅÷∕−–^%xX()\d.,\s]*[\d)]", re.ASCII)
_TWO = re.compile(rf"\s*{_N}\s*([-+*/×✕·⋅÷∕−–xX^]|\*\*)\s*{_N}\s*", re.ASCII)
_DATE = re.compile(r"\b\d{4}[-/]\d{1,2}[-/]\d{1,2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b", re.ASCII)
_NAME_OF = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "**": "power"}

# What makes a formula inside a sentence a question: an ask right before it, or right after it.
_ASK_BEFORE = re.compile(
    r"(?:what(?:['’]?s| is| are| does| do you get (?:for|from))|how much (?:is|are)|calculate|compute|evaluate|solve"
    r"|work out|figure out|result of|value of|tell me(?: what)?|計算(?:する|して)?|计算(?:一下)?|算(?:一下|一算|出)?"
    r"|请问|求|次の式[はを]?|答えは)\s*[:：,]?\s*(?:the result of\s*)?$",
    re.IGNORECASE,
)
_ASK_AFTER = re.compile(
    r"^\s*(?:=\s*[?？]?|equals?\b|is what|is how much|等于|等於|是多少|得多少|得几|是几|多少"
    r"|はいくつ|はいくら|は何|を計算|の答え|の計算|は\s*[?？]?\s*$)",
    re.IGNORECASE,
)


def find_sum(text: str) -> Sum | None:
    """The calculation that a message asks for, or None.

    >>> find_sum("What is 999 × 998?")
    Sum(expression='999 × 998', operation='multiply', left='999', right='998')
    >>> find_sum("subtract 3 from 10").expression
    '10 - 3'
    >>> find_sum("999 に 998 を掛けると?").expression, find_sum("999乘以998等于多少").expression
    ('999 × 998', '999 × 998')
    >>> find_sum("What happened in 1999-2001?") is None
    True

    A formula counts if it stands alone, is asked for ("what is …", "… 等于多少", "… はいくつ") or is
    spelt out in words. Dates and ranges inside a sentence are no sums, and a page of text is none either.
    """
    if len(text) > LONGEST:
        return None
    plain = narrow(text).strip()
    return _find_spelt(plain) or _find_with_words(plain)


def _find_spelt(text: str) -> Sum | None:
    if len(_NUMBER.findall(text)) != 2:
        return None  # "add 1, 2 and 3" is more than the patterns say: no answer beats half an answer
    for pattern, operation, swapped in _SPELT:
        if match := pattern.search(text):
            left, right = (match[2], match[1]) if swapped else (match[1], match[2])
            return Sum(f"{left} {SIGN_OF[operation]} {_closed(right)}", operation, left, right)
    return None


def _find_with_words(plain: str) -> Sum | None:
    spelt = _SHARE.sub(r"\1 / 100 × \2", plain)
    for words, sign in _WORDS:
        spelt = words.sub(sign, spelt)
    return _find_formula(spelt, in_words=spelt != plain)


def _closed(number: str) -> str:
    return f"({number})" if number.startswith("-") else number


def _find_formula(text: str, *, in_words: bool) -> Sum | None:
    for match in _FORMULA.finditer(text):
        formula = match[0].strip(" ,")
        alone = not re.search(r"\w", text[: match.start()] + text[match.end() :])
        asked = in_words or _ASK_BEFORE.search(text[: match.start()]) or _ASK_AFTER.search(text[match.end() :])
        if (alone or asked) and not _DATE.search(formula) and _is_calculation(formula):
            return _as_sum(formula)
    return None


def _is_calculation(formula: str) -> bool:
    """Whether this is more than a number, and well formed; what fails only when computed is a sum too."""
    if not re.search(r"[\d)]\s*[-+*/×✕·⋅÷∕−–^%xX]", formula):
        return False
    try:
        evaluate(formula)
    except CalculationError as error:
        return str(error).startswith(("Division", "The result"))
    return True


def _as_sum(formula: str) -> Sum:
    match = _TWO.fullmatch(formula)
    if match is None:
        return Sum(formula)
    left, sign, right = match.groups()
    operation = _NAME_OF[_SIGNS.get(sign, sign)]
    return Sum(f"{left} {SIGN_OF[operation]} {_closed(right)}", operation, left, right)
