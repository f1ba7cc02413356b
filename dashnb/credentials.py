r"""Credentials in a text: where keys, tokens and passwords stand, told by their form or because they are known.

Whatever dashnb writes down or says goes through here: cassettes, the ledger, errors, a status. A form is one
that is in use, and is told from ids, hashes and prose such as ``sk-learn`` or ``task-force``.

>>> redacted("Use sk-proj-9aB3xYz0qWe7RtU2 at https://me:secret@host/?api_key=0f1e2d3c")
'Use [redacted] at https://me:[redacted]@host/?api_key=[redacted]'

Each expression is tried at places that do not overlap, so the work is linear in the text.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

MASK = "********"  # for what a person reads
REDACTED = "[redacted]"  # for what is kept
Span = tuple[int, int]

# --- by form -------------------------------------------------------------------------------------

# A token begins behind what is no letter and no digit, or behind an escape: \n, \u0022, %3D.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4})|(?<=%[0-9a-fA-F]{2}))"
# Beginning -> what follows. All of them are secret as a whole.
TOKENS: dict[str, str] = {
    "AKIA": r"[A-Z0-9]{16}(?![A-Za-z0-9])",
    "ASIA": r"[A-Z0-9]{16}(?![A-Za-z0-9])",
    "LTAI": r"[A-Za-z0-9]{12,26}(?![A-Za-z0-9])",
    "STS.": r"[A-Za-z0-9]{20,}",
    "ghp_": r"[A-Za-z0-9]{20,}",
    "gho_": r"[A-Za-z0-9]{20,}",
    "ghu_": r"[A-Za-z0-9]{20,}",
    "ghs_": r"[A-Za-z0-9]{20,}",
    "ghr_": r"[A-Za-z0-9]{20,}",
    "github_pat_": r"[A-Za-z0-9_]{20,}",
    "glpat-": r"[A-Za-z0-9_-]{20,}",
    "hf_": r"[A-Za-z0-9]{20,}",
    "xai-": r"[A-Za-z0-9]{20,}",
    "gsk_": r"[A-Za-z0-9]{20,}",
    "AIza": r"[A-Za-z0-9_-]{30,}",
    "ya29.": r"[A-Za-z0-9_-]{20,}",
    "nvapi-": r"[A-Za-z0-9_-]{20,}",
    "pplx-": r"[A-Za-z0-9]{20,}",
    "r8_": r"[A-Za-z0-9]{20,}",
    "npm_": r"[A-Za-z0-9]{20,}",
    "pypi-": r"AgE[A-Za-z0-9_-]{20,}",
    "xoxb-": r"[A-Za-z0-9-]{16,}",
    "xoxp-": r"[A-Za-z0-9-]{16,}",
    "sk_live_": r"[A-Za-z0-9]{16,}",
    "rk_live_": r"[A-Za-z0-9]{16,}",
    "sk_test_": r"[A-Za-z0-9]{16,}",
}
_TOKEN = re.compile(_START + "(?:" + "|".join(re.escape(start) + rest for start, rest in TOKENS.items()) + ")")
# Not where it goes on from a token of the same characters, so that each of them is looked at once.
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?")
_SK = re.compile(_START + r"sk-[A-Za-z0-9_.-]{12,}")
# Words behind sk- that are the names of services and kinds of keys, which no prose has.
_KINDS = re.compile(r"(?:proj|svcacct|admin|None|ant|or|ws|local|lf|sp|cp)-")
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_BEARER = re.compile(r"(?i:bearer)(?:\s+|%20|\+)([A-Za-z0-9._~+/=-]{16,})")
_BASIC = re.compile(r"(?<![A-Za-z0-9])(?i:basic)(?:\s+|%20)([A-Za-z0-9+/]{6,}={0,2})")

# Headers, whose value goes on to the end of the line or of the string.
_HEADERS = (
    r"(?:proxy-)?authorization|x-api-key|api-key|x-goog-api-key|ocp-apim-subscription-key|(?:set-)?cookie"
    r"|x-dashscope-[a-z-]{1,40}|x-acs-security-token|x-amz-security-token|x-auth-token"
)
# Fields of JSON, of programs and of forms.
_FIELDS = (
    r"[a-z_]{0,20}api_?key|api-key|x-api-key|(?:proxy-)?authorization|(?:set-)?cookie|user_?token|auth_?token"
    r"|access_?token|refresh_?token|id_?token|session_?token|security_?token|bearer_?token|client_?secret|app_?secret"
    r"|secret_?key|access_?key_?secret|access_?key_?id|(?:aws_)?secret_?access_?key|private_?key"
    r"|password|passwd|passphrase|pwd|sslpassword|pgpassword"
)
_QUERY = (
    r"(?:api[_-]?|access[_-]?|subscription[_-]?)key|key|token|(?:access|refresh|id|auth)[_-]?token|auth|sig|signature"
    r"|password|passwd|pwd|sslpassword|secret|client_secret|ossaccesskeyid|awsaccesskeyid|security-token"
    r"|x-(?:amz|oss|goog|tos|cos)-(?:signature|credential|security-token)|q-signature|q-ak"
)
_HEADER = re.compile(rf"(?i)(?<![A-Za-z0-9-])(?:{_HEADERS})\s{{0,8}}:\s{{0,8}}([^\s\"'\\][^\"'\\\r\n]*)")
_FIELD = re.compile(
    rf"(?i)(?<![A-Za-z0-9])(?:{_FIELDS})(?:\\*[\"'])?(?:\s{{0,8}}[:=]\s{{0,8}}\\*[\"']([^\"'\\\r\n]+)|=([^\s\"'\\&;,)<>]+))"
)
_PARAMETER = re.compile(rf"(?i)(?:[?&;]|\\u0026|%26|%3F)(?:{_QUERY})(?:=|%3D)([^&#;\s\"'\\<>)]+)")
_WORD = re.compile(r"(?:([a-z0-9+]{0,20}):)?//([^\s\"'<>\\]+)", re.IGNORECASE)
# What stands in the place of a secret, or names where one is.
_PLACEHOLDER = re.compile(r"[*•.…x]+|[<{\[$%].*|[A-Z][A-Z_]*|(?i:null|none|true|false|(?:os\.|your[_-]|my[_-])\S*)")


def spans(text: str) -> list[Span]:
    """Where credentials stand in a text, in order and apart from each other.

    >>> spans("key: sk-0123456789abcdef!"), spans("task-force-2024-and-sk-learn")
    ([(5, 24)], [])
    """
    return merged([*_tokens(text), *_named(text), *_in_addresses(text)])


def tokens(text: str) -> list[Span]:
    """Where tokens stand that are told without the words around them.

    >>> tokens("password=abcdefgh"), tokens("is ghp_0123456789abcdefghij0123456789abcdef")
    ([], [(3, 43)])
    """
    return merged(_tokens(text))


def redacted(text: str, *, by: str = REDACTED) -> str:
    """The text without credentials.

    >>> redacted('{"password": "hunter22", "id": "run_04fba6a3-3ac9-42e8-ba2b-9b5c889a8d58"}')
    '{"password": "[redacted]", "id": "run_04fba6a3-3ac9-42e8-ba2b-9b5c889a8d58"}'

    Args:
        text: Any text.
        by: What stands in their place.
    """
    return _without(text, spans(text), by)


class Address(str):
    """A URL that may hold a password, which a traceback with variables does not show; as a text it is whole.

    >>> address = Address("postgresql://me:secret@host/db")
    >>> address, f"{address}" == "postgresql://me:secret@host/db"
    ('postgresql://me:********@host/db', True)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(redacted(str(self), by=MASK))


def open_token(text: str) -> int:
    """Where at the end of a text a token begins that may go on; the text's length if none does.

    >>> open_token("so: sk-01"), open_token("so: g"), open_token("so.")
    (4, 4, 3)
    """
    start = max(0, len(text) - _LONGEST_OPEN)
    found = _OPEN.search(text, start)
    return found.start() if found else len(text)


_LONGEST_OPEN = 800  # characters
_PREFIXES = ("sk-", "eyJ", *TOKENS)
_PARTS = sorted({prefix[:size] for prefix in _PREFIXES for size in range(1, len(prefix))}, key=len, reverse=True)
_OPEN = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:{'|'.join(map(re.escape, _PREFIXES))})[A-Za-z0-9_.-]*"
    rf"|{'|'.join(map(re.escape, _PARTS))})\Z"
)


def _tokens(text: str) -> Iterator[Span]:
    for expression in (_TOKEN, _JWT):
        yield from (match.span() for match in expression.finditer(text))
    for match in _SK.finditer(text):
        if size := _key_size(match[0]):
            yield match.start(), match.start() + size
    yield from (match.span() for match in _BEARER.finditer(text))
    yield from (match.span(1) for match in _BASIC.finditer(text) if _is_basic(match[1]))


def _key_size(word: str) -> int:
    """How much of a word that begins with sk- is a key; 0 for prose."""
    body = word[3:]
    if kind := _KINDS.match(body):
        rest = body[kind.end() :].rstrip("._-")
        return 3 + kind.end() + len(rest) if len(rest) >= 10 and _is_mixed(rest) else 0
    body = body.partition(".")[0].rstrip("_-")
    runs = [run for run in _RUN.finditer(body) if run.start() == 0 or _is_mixed(run[0])]
    has_all = len(body) >= 20 and all(re.search(kind, body) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return 3 + len(body) if runs or has_all else 0


def _is_mixed(text: str) -> bool:
    return bool(re.search("[0-9]", text)) or (text.lower() != text and text.upper() != text)


def _is_basic(text: str) -> bool:
    """Whether a text is a name, a colon and a password in base64."""
    try:
        said = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except ValueError:
        return False
    return b":" in said and said.isascii() and said.decode().isprintable()


def _named(text: str) -> Iterator[Span]:
    for match in (*_HEADER.finditer(text), *_FIELD.finditer(text)):
        number = match.lastindex or 1
        value = match[number]
        if not _PLACEHOLDER.fullmatch(value.strip()):
            yield match.start(number), match.start(number) + len(value.rstrip())


def _in_addresses(text: str) -> Iterator[Span]:
    for match in _PARAMETER.finditer(text):
        if not _PLACEHOLDER.fullmatch(match[1]):
            yield match.span(1)
    for match in _WORD.finditer(text):
        if span := _password(match[2], is_web=(match[1] or "").lower() in ("http", "https", "ws", "wss", "")):
            yield match.start(2) + span[0], match.start(2) + span[1]


def _password(address: str, *, is_web: bool) -> Span | None:
    """The password in what stands behind ``//``; databases take an unescaped @ or / in it, the web does not."""
    place = re.split(r"[/?#]", address, maxsplit=1)[0] if is_web else address
    user, _, _ = place.rpartition("@")
    name, colon, password = user.partition(":")
    if not colon or not password or "/" in name or _PLACEHOLDER.fullmatch(password):
        return None
    return len(name) + 1, len(user)


# --- known ones ----------------------------------------------------------------------------------


class Known:
    """Secrets that are known, found in whatever form they come; what shows objects shows none of them.

    >>> known = Known(["open sesame"])
    >>> known.without("say open%20sesame, or open sesame!"), known.begins("now: open se")
    ('say [redacted], or [redacted]!', 5)

    Args:
        secrets: The secrets.
        shortest: Shorter ones cannot be told from ordinary text, and are left.
        by: What stands in their place.

    Attributes:
        spans: Where they stand in a text.
        begins: Where at the end of a text something begins that may become one; the text's length if nothing does.
        cut_off: The beginning of one that the end of a text cuts off, of at least so many characters, or None.
    """

    def __init__(self, secrets: Iterable[str], *, shortest: int = 4, by: str = REDACTED) -> None:
        forms = sorted({form for one in secrets if len(one) >= shortest for form in _forms(one)}, key=len, reverse=True)
        longest = len(forms[0]) - 1 if forms else 0
        initials = frozenset(form[0] for form in forms)
        pattern = re.compile("|".join(map(re.escape, forms))) if forms else None

        def found(text: str) -> list[Span]:
            return [match.span() for match in pattern.finditer(text)] if pattern else []

        def begins(text: str) -> int:
            places = range(max(0, len(text) - longest), len(text))
            return next((place for place in places if text[place] in initials and is_begun(text[place:])), len(text))

        def is_begun(tail: str) -> bool:
            return any(len(tail) < len(form) and form.startswith(tail) for form in forms)

        def cut_off(text: str, least: int) -> Span | None:
            size = len(text) - begins(text)
            return (len(text) - size, len(text)) if size >= least else None

        # In closures: whatever lists or evaluates the attributes of an object finds functions.
        self.spans: Callable[[str], list[Span]] = found
        self.begins: Callable[[str], int] = begins
        self.cut_off: Callable[[str, int], Span | None] = cut_off
        self._by = by

    def without(self, text: str) -> str:
        """The text without them."""
        return _without(text, self.spans(text), self._by)

    def filter(self) -> Filter:
        """What takes them out of bytes that come in chunks."""
        return Filter(self)


class Filter:
    """Chunks without known secrets, those that are cut over two chunks included.

    >>> chunks = Known(["canary-1"]).filter()
    >>> chunks.feed(b"a can"), chunks.feed(b"ary-1!"), chunks.flush()
    (b'a ', b'[redacted]!', b'')
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._kept = ""

    def feed(self, chunk: bytes) -> bytes:
        """What is decided now; what may become a secret is kept back."""
        # Secrets that a header can carry are ASCII; every byte is one character here.
        text = self._known.without(self._kept + chunk.decode("latin-1"))
        place = self._known.begins(text)
        self._kept = text[place:]
        return text[:place].encode("latin-1")

    def flush(self) -> bytes:
        """What was kept back, as nothing follows."""
        kept, self._kept = self._kept, ""
        return kept.encode("latin-1")


def _forms(secret: str) -> set[str]:
    """A secret as it may stand in a text: as it is, as JSON, in a URL, in base64 at any place of it."""
    escaped = json.dumps(secret)[1:-1]
    forms = {secret, escaped, json.dumps(secret, ensure_ascii=False)[1:-1], escaped.replace("/", "\\/")}
    forms |= {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    content = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        # The first and last characters also depend on the neighbours, and are left out.
        encoded = base64.b64encode(bytes(before) + content).decode()
        first, behind = (0, 2, 3)[before], (before + len(content)) * 8 // 6
        middle = encoded[first:behind]
        if len(middle) >= _SHORTEST_ENCODED:
            forms |= {middle, middle.replace("+", "-").replace("/", "_")}
    return forms


_SHORTEST_ENCODED = 8


# --- spans ---------------------------------------------------------------------------------------


def merged(found: Iterable[Span]) -> list[Span]:
    """Places in order, those that overlap as one, empty ones left out.

    >>> merged([(5, 9), (1, 2), (6, 12), (3, 3)])
    [(1, 2), (5, 12)]
    """
    apart: list[Span] = []
    for begin, end in sorted(found):
        if apart and begin < apart[-1][1]:
            apart[-1] = apart[-1][0], max(end, apart[-1][1])
        elif begin < end:
            apart.append((begin, end))
    return apart


def touching(places: Iterable[Span], found: Sequence[Span]) -> Iterator[tuple[Span, list[Span]]]:
    """Each place with what touches it; both in order and apart from each other, so that one walk will do.

    >>> list(touching([(0, 4), (4, 6), (8, 9)], [(1, 2), (3, 5)]))
    [((0, 4), [(1, 2), (3, 5)]), ((4, 6), [(3, 5)]), ((8, 9), [])]
    """
    first = 0
    for begin, end in places:
        while first < len(found) and found[first][1] <= begin:
            first += 1
        last = first
        while last < len(found) and found[last][0] < end:
            last += 1
        yield (begin, end), list(found[first:last])


def _without(text: str, found: Iterable[Span], by: str) -> str:
    parts, start = [], 0
    for begin, end in found:
        parts += [text[start:begin], by]
        start = end
    return "".join([*parts, text[start:]])
