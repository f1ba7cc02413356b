"""Credentials in a text: every form in use is taken out, and nothing else is."""

from __future__ import annotations

import base64
import itertools
import json
import time
import tracemalloc
import urllib.parse

import pytest

from dashnb.client.cassettes.redaction import Redactor, Sieve
from dashnb.credentials import REDACTED, Known, open_token, redacted, spans, tokens
from dashnb.history.rows import Circumstances, rows_of
from dashnb.local.token import new_token
from view_support import call, created, folded, message, run

HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
MIXED = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA"
# What a person keeps secret -> a text with it.
FORMS: dict[str, tuple[str, str]] = {
    "DashScope": (f"sk-{HEX}", "{}"),
    "letters only": ("sk-abcdefghijklmnopqrstuvwx", "{}"),
    "OpenAI, project": (f"sk-proj-{MIXED[:9]}-{MIXED}_T3BlbkFJ-{MIXED}", "key: {}"),
    "OpenAI, service account": ("sk-svcacct-abc-123_def-456_ghi-789", "({})"),
    "OpenAI, admin": ("sk-admin-abc-123_def-456_ghi-789", "'{}'"),
    "Anthropic": (f"sk-ant-api03-{MIXED}-{HEX}_{MIXED}-AA", "{}."),
    "OpenRouter": (f"sk-or-v1-{HEX}{HEX}", "{}"),
    "workspace": (f"sk-ws-{MIXED[:12]}", "{}"),
    "workspace, signed": ("sk-ws-H.EXXLED.abCd.MEUCIQDx0123456789", "{} is the key"),
    "our own": ("sk-local-ab_c-dE1fghijk-lmnop_qrstuvwx-yz012_3-4567", "{}"),
    "bearer": (HEX, "Authorization: Bearer {}"),
    "bearer in JSON": (HEX, '{{"headers": {{"Authorization": "Bearer {}"}}}}'),
    "bearer in a log": (HEX, "headers={{'authorization': 'Bearer {}'}}"),
    "basic": (base64.b64encode(b"user:open sesame").decode(), "Basic {}"),
    "basic header": (base64.b64encode(b"user:pass").decode(), "authorization: basic {}"),
    "AWS id": ("AKIAIOSFODNN7EXAMPLE", "{}"),
    "AWS secret": ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = '{}'"),
    "Alibaba id": ("LTAI5tAbCdEfGhIjKlMnOpQr", "id {}"),
    "Alibaba secret": ("abcdEFGH0123ijklMNOP4567qrstUV", '"AccessKeySecret": "{}"'),
    "Alibaba secret in a form": ("abcdEFGH0123ijklMNOP4567qrstUV", "access_key_secret={}"),
    "Alibaba session": (f"STS.{MIXED}", "{}"),
    "GitHub": (f"ghp_{MIXED}abcd", "{}"),
    "GitHub, fine-grained": (f"github_pat_11ABCDEFG0{MIXED}_{MIXED}{MIXED}", "https://x:{}@github.com/a/b"),
    "GitLab": ("glpat-abc_DEF-0123456789xyz", "{}"),
    "Hugging Face": ("hf_abcdefghijABCDEFGHIJklmnopqrstuvwxYZ", "HF_TOKEN={}"),
    "xAI": (f"xai-{MIXED}{MIXED}", "{}"),
    "Groq": (f"gsk_{MIXED}{MIXED[:20]}", "{}"),
    "Google": ("AIzaSyA-abcdefghijklmnopqrstuvwxyz012345", "{}"),
    "JWT": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36", "{}"),
    "api_key in a URL": ("abcd1234", "https://x.example/?api_key={}&b=2"),
    "key in a URL": ("abcd1234", "https://x.example/y?a=1&key={}"),
    "access_token in a URL": ("abcd1234", "https://x.example/?access_token={}#top"),
    "signature of a link": ("ab%2Bcd%3D", "https://b.oss-cn-beijing.aliyuncs.com/x.png?Expires=1&Signature={}"),
    "signature of a link, version 4": (HEX, "https://b.example/x.png?x-oss-signature-version=OSS4&x-oss-signature={}"),
    "link in JSON": (
        HEX,
        json.dumps({"url": "https://b.example/x?a=1&Signature={}"}).replace("{", "{{", 1)[:-1] + "}}",
    ),
    "header x-api-key": ("abc123def", "x-api-key: {}"),
    "header api-key": ("abc123def", "api-key: {}"),
    "header cookie": ("a=b; c=d", "Cookie: {}"),
    "header set-cookie": ("session=abc; Path=/; HttpOnly", "set-cookie: {}"),
    "header of DashScope": ("abc123def", "X-DashScope-ApiKey: {}"),
    "field": ("abc123def", '{{"api_key": "{}"}}'),
    "field of a program": ("abc123def", "client = Client(api_key='{}')"),
    "field in escaped JSON": ("abc123def", '{{"arguments": "{{\\"api_key\\": \\"{}\\"}}"}}'),
    "token of a plugin": ("abc123def", '{{"auth": {{"type": "user_http", "user_token": "{}"}}}}'),
    "password": ("hunter22", '{{"password": "{}"}}'),
    "password of a driver": ("hunter22", "host=h password={} dbname=d"),
    "database": ("p@ss/w?rd", "postgresql+psycopg://me:{}@host:5432/db"),
    "database without a user": ("hunter22", "redis://:{}@host/0"),
    "database, in the query": ("hunter22", "postgresql://host/db?user=me&password={}"),
    "database, certificate": ("hunter22", "postgresql://host/db?sslmode=require&sslpassword={}"),
    "proxy": ("hunter22", "http://user:{}@proxy.example:3128"),
    "behind an escape": (f"sk-{HEX}", '"a\\n{}"'),
    "behind a URL's escape": (f"sk-{HEX}", "?q=a%3D{}"),
}
INNOCENT = [
    "task-force-2024-planning-document-final, desk-0123456789abcdef0123456789, risk-management-2025-0123456789abcdef",
    "sk-learn and sk-learn-contrib, sk-learn-based-classification-pipeline, import sk-image, sk-SK",
    "run_04fba6a3-3ac9-42e8-ba2b-9b5c889a8d58 of thread_7b0a2c1e-0000-4000-8000-1234567890ab",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 and d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2",
    "a basic understanding, the bearer of news, Basic authentication",
    "The password: must have 8 characters. A password is a secret. Key: C major, tokens: 1234 in, signature: valid",
    "https://example.org/a:b@c/d?x=1 http://localhost:8000/api/v1?limit=3 mailto:a@b.c git@github.com:a/b.git",
    "https://dashscope.aliyuncs.com/api/v1?order=desc&after=run_1",
    'api_key="YOUR_API_KEY", api_key=os.environ["DASHSCOPE_API_KEY"], set DASHSCOPE_API_KEY or api_key=…',
    '{"password": null, "api_key": "", "token": "hello", "key": "value", "max_tokens": 5}',
    "sk-******************** and sk-…",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA//8AAAABCAYAAAAfFcSJ",
    "postgresql://localhost/db sqlite:///data.db sqlite:// redis://host:6379/0",
]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_a_credential_is_taken_out_and_what_is_around_it_stays(name: str) -> None:
    secret, around = FORMS[name]
    text = around.format(secret)
    clean = redacted(f"{text}\nand more")
    assert secret not in clean
    assert REDACTED in clean
    assert clean.endswith("\nand more")
    before = around.format("\0").partition("\0")[0]
    assert clean.startswith(before) or before.lower().endswith(("bearer ", "basic "))


@pytest.mark.parametrize("text", INNOCENT)
def test_ids_hashes_and_prose_are_left_as_they_are(text: str) -> None:
    assert redacted(text) == text


def test_every_token_of_our_own_is_taken_out() -> None:
    for _ in range(200):
        assert redacted(f"export DASHSCOPE_API_KEY={(token := new_token())}").endswith(REDACTED), token


def test_what_is_taken_out_is_not_taken_out_again() -> None:
    for secret, around in FORMS.values():
        once = redacted(around.format(secret))
        assert redacted(once) == once
        assert redacted(redacted(around.format(secret), by="********")) == redacted(
            around.format(secret), by="********"
        )


# --- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_a_cassette_has_no_form_of_a_credential_however_the_chunks_are_cut(name: str) -> None:
    secret, around = FORMS[name]
    value = around.format(secret)
    line = b"data:" + json.dumps({"id": "m", "text": value}, ensure_ascii=False).encode() + b"\n\n"
    for cut in range(1, len(line)):
        sieve = Sieve(Redactor(), by_line=True)
        chunks = [chunk for piece in (line[:cut], line[cut:]) for _, chunk in sieve.feed(0.0, piece)]
        whole = b"".join([*chunks, *(chunk for _, chunk in sieve.flush())]).decode()
        assert secret not in whole, cut
        assert json.dumps(secret)[1:-1] not in whole, cut
        json.loads(whole.removeprefix("data:"))


def test_the_ledger_keeps_no_credential_of_a_question_a_call_or_an_answer() -> None:
    for name, (secret, around) in FORMS.items():
        value = around.format(secret)
        events = [created(), *call("f", json.dumps({"x": value}), value), *message(value), run("completed")]
        about = Circumstances("run_1", value, "", "guide", "local", 0)
        kept = [str(cell) for rows in rows_of(folded(events), about).values() for row in rows for cell in row.values()]
        assert [cell for cell in kept if secret in cell] == [], name
        assert any(REDACTED in cell for cell in kept), name


SPELLED = [name for name, (secret, _) in FORMS.items() if tokens(secret) == [(0, len(secret))]]


@pytest.mark.parametrize("name", SPELLED)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_a_key_that_a_model_spells_out_in_pieces_is_in_no_cassette(name: str, size: int) -> None:
    text = f"It is {FORMS[name][0]} ."
    sieve = Sieve(Redactor(), by_line=True)
    written = b""
    for piece in (text[at : at + size] for at in range(0, len(text), size)):
        event = {"id": "m", "delta": {"content": [{"index": 0, "text": {"value": piece}}]}}
        written += b"".join(chunk for _, chunk in sieve.feed(0.0, f"data:{json.dumps(event)}\n\n".encode()))
    written += b"".join(chunk for _, chunk in sieve.flush())
    said = "".join(
        json.loads(line.removeprefix("data:"))["delta"]["content"][0]["text"]["value"]
        for line in written.decode().splitlines()
        if line
    )
    assert said == f"It is {REDACTED} ."


def test_most_forms_are_told_without_the_words_around_them() -> None:
    assert len(SPELLED) >= 18


@pytest.mark.parametrize("end", ["s", "sk", "sk-", "sk-proj-ab", "gh", "ghp_0123", "hf", "AIz", "eyJhbGci", "LTA"])
def test_the_beginning_of_a_token_at_the_end_may_go_on(end: str) -> None:
    assert open_token(f"so: {end}") == 4
    assert open_token(f"so: {end}!") == len(end) + 5


# --- known ones --------------------------------------------------------------------------------------

KEY = "canary/0f1e+2d3c=4b5a"


def test_a_known_secret_is_found_in_every_form_in_which_it_travels() -> None:
    known = Known([KEY])
    travelled = [
        KEY,
        json.dumps(KEY),
        KEY.replace("/", "\\/"),
        urllib.parse.quote(KEY),
        urllib.parse.quote(KEY, safe=""),
        urllib.parse.quote_plus(KEY),
        *(base64.b64encode(b"x" * before + KEY.encode() + b"yz").decode() for before in range(3)),
        *(base64.urlsafe_b64encode(b"x" * before + KEY.encode()).decode() for before in range(3)),
    ]
    for text in travelled:
        assert REDACTED in known.without(f"a {text} b"), text
        assert KEY not in known.without(f"a {text} b")


def test_a_known_secret_is_found_over_any_two_chunks_and_everything_else_comes_whole() -> None:
    text = f"before {KEY}, {KEY}; canary/0f1e is none".encode()
    for first, second in itertools.combinations(range(len(text)), 2):
        chunks = Known([KEY]).filter()
        pieces = [
            chunks.feed(text[:first]),
            chunks.feed(text[first:second]),
            chunks.feed(text[second:]),
            chunks.flush(),
        ]
        assert b"".join(pieces) == f"before {REDACTED}, {REDACTED}; canary/0f1e is none".encode()


def test_what_shows_objects_shows_no_known_secret() -> None:
    known = Known([KEY])
    shown = repr(known) + repr(vars(known)) + repr(vars(known.filter())) + repr(vars(Redactor([KEY])))
    assert "0f1e" not in shown


# --- work ----------------------------------------------------------------------------------------------

HOSTILE = [
    "sk-", "sk-a", "eyJaaaaaaaa-", "eyJaaaaaaaa.", "password", 'password="', "password=\\", "://a:", "//a:b", "?key=",
    "?key=a", "bearer ", "basic ", "basic a", "a", "\\", "api_key", "cookie:", "cookie: ", "_", "x-dashscope-", "ghp_",
    "@", "//", "%3D", "\\u0022", "authorization: ", "-", ".", "=", "&amp;key=", "s", "sk-proj-", "LTAI", "AKIA",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_work_grows_no_faster_than_the_text(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    began = time.process_time()
    spans(text)
    open_token(text)
    assert time.process_time() - began < 5.0  # hundreds of seconds, were it the square


def test_a_long_secret_costs_memory_by_its_length_and_not_by_its_square() -> None:
    secret = "".join(f"{number:x}" for number in range(2000))
    tracemalloc.start()
    known = Known([secret])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000
    assert known.without(f"a {secret} b") == "a [redacted] b"
    for size in (1, 2, 100, len(secret) - 1):
        assert known.begins("now: " + secret[:size]) == 5
    assert known.begins("now: " + secret[:100] + "!") == 106
