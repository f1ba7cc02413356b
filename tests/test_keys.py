"""Keys: where one is found, how one is kept, and that none is ever shown."""

from __future__ import annotations

import base64
import copy
import getpass
import json
import os
import pickle
import stat
import threading
import traceback
import types
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import nbclient
import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook

from dashnb import keys
from dashnb.client.client import Client
from dashnb.credentials import MASK
from dashnb.errors import AuthenticationError, ConfigurationError, DashnbError, ProtocolError
from dashnb.keys import STORES, Found, Secret
from dashnb.settings import Settings

KEY = "sk-canary-0f1e2d3c+4b5a/69788796a5b4"
URL = "https://proxy.example/api/v1"
posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


# --- the secret ----------------------------------------------------------------------------------


def test_a_secret_is_shown_by_nothing_that_shows_objects() -> None:
    secret = Secret(KEY)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        f"{secret:>20}",
        "%s %r" % (secret, secret),  # noqa: UP031
        repr([secret, {secret: secret}]),
        repr(dir(secret)),
        repr([getattr(secret, name, None) for name in dir(secret)]),
        repr(Found(secret, "keyring")),
        json.dumps({"key": secret}, default=str),
        json.dumps({"key": secret}, default=repr),
        "".join(traceback.format_exception(ValueError(secret))),
    ]
    assert [text for text in shown if "0f1e2d3c" in text] == []
    assert MASK in shown[0]
    assert secret.reveal() == KEY


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps({"key": Secret(KEY)}, protocol)


def test_a_secret_is_no_json() -> None:
    with pytest.raises(TypeError):
        json.dumps(Secret(KEY))


def test_a_copy_of_a_secret_is_the_secret() -> None:
    secret = Secret(KEY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_secrets_are_equal_by_their_text_and_to_no_text() -> None:
    assert Secret(KEY) == Secret(KEY)
    assert len({Secret(KEY), Secret(KEY), Secret("sk-x")}) == 2
    assert Secret(KEY) != KEY
    assert (bool(Secret("")), bool(Secret(KEY))) == (False, True)


def test_masking_takes_out_the_key_and_leaves_everything_else() -> None:
    assert keys.mask(f"Bearer {KEY}, {KEY}!", f"Bearer {KEY}") == f"Bearer {MASK}, {MASK}!"
    assert keys.mask("no key here", "") == "no key here"
    assert keys.mask("no key here", "Bearer ") == "no key here"
    assert keys.mask('{"id": "thread_1"}', "Bearer thread") == '{"id": "thread_1"}'


# --- the stores ----------------------------------------------------------------------------------


class Kaggle:
    def get_secret(self, name: str) -> str:
        return f"sk-kaggle-{name}"


RING = types.SimpleNamespace(get_password=lambda service, user: f"sk-ring-{service}-{user}")
COLAB = types.SimpleNamespace(get=lambda name: f"sk-colab-{name}")
HERE = {
    "keyring": RING,
    "google.colab.userdata": COLAB,
    "kaggle_secrets": types.SimpleNamespace(UserSecretsClient=Kaggle),
}


def only(**modules: Any) -> keys.Import:
    """An import that finds these modules, with ``_`` for a dot, and no other."""

    def load(name: str) -> Any:
        try:
            return modules[name.replace(".", "_")]
        except KeyError:
            raise ModuleNotFoundError(name) from None

    return load


@pytest.mark.parametrize(("module", "source", "key"), [
    ("keyring", "keyring", "sk-ring-dashnb-DASHSCOPE_API_KEY"),
    ("google.colab.userdata", "Colab secret DASHSCOPE_API_KEY", "sk-colab-DASHSCOPE_API_KEY"),
    ("kaggle_secrets", "Kaggle secret DASHSCOPE_API_KEY", "sk-kaggle-DASHSCOPE_API_KEY"),
])  # fmt: skip
def test_each_store_gives_its_key_and_is_named(module: str, source: str, key: str) -> None:
    found = keys.find(only(**{module.replace(".", "_"): HERE[module]}))
    assert found == Found(Secret(key), source)


def test_the_keyring_is_asked_before_colab_and_colab_before_kaggle() -> None:
    asked: list[str] = []
    assert keys.find(lambda name: asked.append(name)) is None
    assert asked == list(HERE)
    assert len(STORES) == len(HERE)


def test_where_no_store_is_installed_there_is_no_key() -> None:
    assert keys.find(only()) is None


@pytest.mark.parametrize("failure", [RuntimeError("locked"), OSError(), KeyError("x"), TimeoutError(), ImportError()])
def test_a_store_that_fails_has_no_key_and_the_next_one_is_asked(failure: Exception) -> None:
    def fail(*_: str) -> str:
        raise failure

    broken = types.SimpleNamespace(get_password=fail)
    assert keys.find(only(keyring=broken)) is None
    found = keys.find(only(keyring=broken, google_colab_userdata=COLAB))
    assert found is not None
    assert found.source.startswith("Colab")


@pytest.mark.parametrize("value", [None, "", "  \n", 5, b"sk-x"])
def test_a_store_without_a_key_has_none(value: object) -> None:
    assert keys.find(only(keyring=types.SimpleNamespace(get_password=lambda *_: value))) is None


def test_a_key_of_a_store_loses_the_line_break_that_came_with_it() -> None:
    found = keys.find(only(keyring=types.SimpleNamespace(get_password=lambda *_: f"{KEY}\n")))
    assert found is not None
    assert found.secret.reveal() == KEY


# --- asking a person -----------------------------------------------------------------------------


def test_what_a_person_types_is_the_key_without_blanks_around_it() -> None:
    prompts: list[str] = []

    def typed(prompt: str) -> str:
        prompts.append(prompt)
        return f" {KEY}\n"

    assert keys.ask(typed).reveal() == KEY
    assert prompts == ["API key (it is not shown): "]


@pytest.mark.parametrize("text", ["", "   ", "sk a b", "sk-é", "sk-\x07"])
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no key") as caught:
        keys.ask(lambda prompt: text)
    assert not text.strip() or text not in str(caught.value)


@pytest.mark.parametrize("failure", [EOFError(), OSError("no tty"), NotImplementedError("no stdin")])
def test_where_nobody_can_be_asked_the_error_says_what_to_do(failure: Exception) -> None:
    def nobody(prompt: str) -> str:
        raise failure

    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        keys.ask(nobody)


def test_a_key_that_would_be_seen_is_not_asked_for() -> None:
    def seen(prompt: str) -> str:
        warnings.warn("may be echoed", getpass.GetPassWarning, stacklevel=1)
        raise AssertionError("asked all the same")

    with pytest.raises(ConfigurationError, match="cannot be asked for here, unseen"):
        keys.ask(seen)


# --- keeping -------------------------------------------------------------------------------------


def kept(old: str, file: Path, key: str = KEY) -> str:
    """What the config file holds after a key was kept in it."""
    file.write_text(old, encoding="utf-8")
    keys.keep_in_file(Secret(key), file)
    return file.read_text(encoding="utf-8")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.mark.parametrize(("old", "new"), [
    ("", "{}\n"),
    ("model = 'x'\n", "model = 'x'\n{}\n"),
    ("# mine\nmodel = 'x'  # good\n\n# end", "# mine\nmodel = 'x'  # good\n\n# end\n{}\n"),
    ("a = 1\napi_key = 'old'\nb = 2\n", "a = 1\n{}\nb = 2\n"),
    ("  api_key='old' # secret\n", "{}\n"),
    ("# api_key = 'no'\n", "# api_key = 'no'\n{}\n"),
    ("a = 1\n[table]\napi_key = 'other'\n", "a = 1\n{}\n[table]\napi_key = 'other'\n"),
    ("api_keys = 'x'\n", "api_keys = 'x'\n{}\n"),
    ("a = 1\r\n", "a = 1\n{}\n"),
])  # fmt: skip
def test_a_key_is_one_line_of_the_config_file_and_all_others_stay(old: str, new: str, file: Path) -> None:
    assert kept(old, file) == new.format(f'api_key = "{KEY}"')


def test_a_key_with_quotes_and_backslashes_comes_back_as_it_was(file: Path) -> None:
    odd = "sk-\"\\'#[=]"
    kept("", file, odd)
    assert Settings.load({}, file=file).api_key == odd


@pytest.mark.parametrize(
    "old", ['model = """\napi_key = 1\n"""\n', 'model = """\n[x]\n"""\n', "api_key = [\n1]\n", "x ="]
)
def test_a_file_that_cannot_be_changed_by_line_is_left_as_it_was(old: str, file: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be changed by line") as caught:
        kept(old, file)
    assert KEY not in str(caught.value)
    assert file.read_text(encoding="utf-8") == old
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@posix
def test_the_file_and_a_folder_made_for_it_are_for_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    keys.keep_in_file(Secret(KEY), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.chmod(0o644)
    keys.keep_in_file(Secret(KEY), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


@posix
def test_a_link_to_the_config_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("model = 'x'\n")
    link = tmp_path / "config.toml"
    link.symlink_to("real.toml")
    keys.keep_in_file(Secret(KEY), link)
    assert link.is_symlink()
    assert KEY in (tmp_path / "real.toml").read_text()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ConfigurationError, match="cannot be kept in"):
        kept("model = 'x'\n", file)
    assert file.read_text() == "model = 'x'\n"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_key_kept_in_the_file_is_found_there(file: Path) -> None:
    found = keys.ask_and_keep("file", file=file, getpass=lambda prompt: KEY)
    settings = Settings.load({}, file=file)
    assert (settings.api_key, settings.source("api_key")) == (KEY, found.source)
    assert found.source == f"config file {file}"


def test_a_key_kept_in_the_keyring_is_found_there() -> None:
    ring: dict[tuple[str, str], str] = {}
    module = types.SimpleNamespace(
        set_password=lambda service, user, text: ring.update({(service, user): text}),
        get_password=lambda service, user: ring.get((service, user)),
    )
    found = keys.ask_and_keep("keyring", getpass=lambda prompt: KEY, load=only(keyring=module))
    assert found == keys.find(only(keyring=module)) == Found(Secret(KEY), "keyring")


def test_a_key_for_the_session_is_kept_nowhere(tmp_path: Path) -> None:
    found = keys.ask_and_keep("session", getpass=lambda prompt: KEY, load=only())
    assert (found.secret.reveal(), found.source) == (KEY, "session")
    assert list(tmp_path.iterdir()) == []


def test_without_a_keyring_the_error_says_how_to_install_one() -> None:
    with pytest.raises(ConfigurationError, match=r'pip install "dashnb\[keys\]"'):
        keys.keep_in_keyring(Secret(KEY), only())


def test_a_keyring_that_refuses_is_told_without_the_key() -> None:
    def refuse(service: str, user: str, text: str) -> None:
        raise RuntimeError(f"cannot store {text}")

    with pytest.raises(ConfigurationError, match=r"did not take the key \(RuntimeError\)") as caught:
        keys.keep_in_keyring(Secret(KEY), only(keyring=types.SimpleNamespace(set_password=refuse)))
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("where", ["", "cell", "file"])
def test_an_unknown_place_is_refused_before_anybody_is_asked(where: str) -> None:
    with pytest.raises(ConfigurationError, match="session, keyring, file"):
        keys.ask_and_keep(where, getpass=lambda prompt: pytest.fail("asked"))


# --- a server that repeats the key ---------------------------------------------------------------


def refused(answer: Callable[[httpx.Request], httpx.Response]) -> DashnbError:
    with (
        Client(URL, api_key=KEY, transport=httpx.MockTransport(answer)) as client,
        pytest.raises(DashnbError) as caught,
    ):
        client.threads.create()
    return caught.value


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (200, ProtocolError)])
def test_a_key_that_a_server_repeats_is_masked(status: int, kind: type[DashnbError]) -> None:
    error = refused(lambda request: httpx.Response(status, text=f"<b>bad: {request.headers['authorization']}</b>"))
    assert isinstance(error, kind)
    assert MASK in str(error)
    assert "canary" not in str(error) + repr(vars(error)) + repr(error.args)


def test_a_key_in_every_field_of_an_error_is_masked() -> None:
    body = {"code": f"bad_{KEY}", "message": f"{'x' * 380}{KEY}", "request_id": KEY}
    error = refused(lambda request: httpx.Response(401, json=body))
    assert "sk-canary" not in str(error) + repr(vars(error))


# --- the canary ----------------------------------------------------------------------------------

# Every way in which a key may be given, and where its value is before dashnb gets it.
WAYS = ("environment", "file", "keyring", "colab", "kaggle", "argument", "prompt")

STORE_MODULES = {
    "keyring": ("keyring.py", "def get_password(service, user): return open({!r}).read()\n"),
    "colab": ("google/colab/userdata.py", "def get(name): return open({!r}).read()\n"),
    "kaggle": (
        "kaggle_secrets.py",
        "class UserSecretsClient:\n    def get_secret(self, name): return open({!r}).read()\n",
    ),
}

BEGIN = """
import json, logging, os, pathlib, pickle
import dashnb
from dashnb import keys
from dashnb.settings import Settings, config_file
logging.basicConfig(filename="debug.log", level=logging.DEBUG)
def given(prompt=""):
    return pathlib.Path(os.environ["CANARY_FILE"]).read_text()
%load_ext dashnb
"""
PROMPT = """
keys.ask_and_keep("file", file=config_file(), getpass=given)
"""
CLIENT = "client = dashnb.connect()\nclient"
ARGUMENT = 'client = dashnb.connect(os.environ["DASHSCOPE_HTTP_BASE_URL"], api_key=given())\nclient'

TRIES = [
    "settings = Settings.load()\nprint(settings, vars(settings), settings.source('api_key'))\nsettings",
    "from dashnb.session.connection import plan\nprint(plan(settings))\n[settings, client, plan(settings)]",
    "%assistant status",
    "%xmode Verbose",
    "with dashnb.Client('http://127.0.0.1:9/api/v1', api_key=given()) as nowhere:\n    try:\n"
    "        nowhere.threads.create()\n    except Exception as error:\n        raise OSError('mine') from error",
    "%xmode Context",
    "%%assistant -o run\nWhat is 2 + 3?",
    "%tb",
    "%xmode Verbose",
    "%tb",
    "%%assistant\nAgain?",
    "%%assistant --debug\nOnce more?",
    "import httpx\nhttp = client._pool.http\n"
    "print(http, vars(client), vars(client._pool), vars(http), http.headers, http.auth)\n"
    "request = http.build_request('GET', client.base_url)\n"
    "request = next(http.auth.auth_flow(request))\n"
    "print(request, request.headers, request.headers.raw, vars(request))\n"
    "raise httpx.ConnectError('mine', request=request)",
    "client.runs.join('run_1', thread_id='thread_1')\nlist(client.runs.join('run_1', thread_id='thread_1'))",
    "client.threads.create()",
    "try:\n    client.threads.create()\nexcept dashnb.DashnbError as error:\n"
    "    print(error, repr(error), error.args, vars(error))\n    raise RuntimeError('mine') from error",
    "%tb",
    "client.assistants.list()",
    "client.threads.retrieve('thread_html')",
    "client.threads.retrieve('thread_echo')",
    "list(client.runs.stream('thread_1', assistant_id='asst_1'))",
    "try:\n    Settings.load(modle='x')\nexcept dashnb.DashnbError as error:\n    raise OSError('mine') from error",
    "try:\n    Settings.load(view='x')\nexcept dashnb.DashnbError as error:\n    raise RuntimeError('mine') from error",
    "try:\n    Settings.load(view='x', api_key=given())\n"
    "except Exception as error:\n    raise OSError('mine') from error",
    "try:\n    Settings.load(dict(DASHSCOPE_API_KEY=given(), DASHNB_VIEW='x'))\n"
    "except Exception as error:\n    raise OSError('mine') from error",
    'pathlib.Path(\'odd.toml\').write_text(\'api_key = "old"\\nx = """\\napi_key = 1\\n[y]"""\')\n'
    "try:\n    keys.keep_in_file(keys.Secret(given()), pathlib.Path('odd.toml'), 'x')\n"
    "except Exception as error:\n    raise OSError('mine') from error",
    "dashnb.connect(given())",
    "try:\n    dashnb.connect(given())\nexcept dashnb.DashnbError as error:\n    print(error)",
    "for number, thing in enumerate([settings, client, dashnb.errors, error if 'error' in dir() else 0]):\n"
    "    try:\n        pathlib.Path(f'{number}.pickle').write_bytes(pickle.dumps(thing))\n"
    "    except Exception as refused:\n        print(type(refused).__name__, refused)",
    "def broken(left: int, right: int) -> int:\n    '''Add two integers.\n\n    Args:\n        left: One.\n"
    "        right: Another.\n    '''\n    raise ValueError('broken')\n"
    "local = dashnb.connect('local')\n"
    "with local, dashnb.Session(client=local, tools=[broken]) as session:\n"
    "    print(session, session.ask('Add 87787 to 788988737').text)\n"
    "    raise RuntimeError('mine')",
    "%tb",
    "print(dashnb.history.runs(), dashnb.history.steps(), dashnb.history.messages(), dashnb.history.tool_calls())\n"
    "print(dashnb.history.runs().to_dicts())",
    "%assistant history",
    "%history",
    "print({name: value for name, value in globals().items()})",
    "%whos",
    "client.close()",
]


class Echo(BaseHTTPRequestHandler):
    """Answers everything with the key that it got: as an error, as HTML, as a thread, or as a stream."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        authorization = self.headers.get("Authorization", "")
        self.seen.append(authorization)
        status, kind, body = (
            401,
            "application/json",
            json.dumps(
                {"code": "InvalidApiKey", "message": f"Wrong header: {authorization}", "request_id": authorization}
            ),
        )
        if self.path.endswith("thread_html"):
            status, kind, body = 200, "text/html", f"<html>{authorization}</html>"
        if self.path.endswith("thread_echo"):
            thread = {"id": "thread_1", "object": "thread", "created_at": 1, "metadata": {"sent": authorization}}
            status, body = 200, json.dumps(thread)
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[tuple[str, list[str]]]:
    """The base URL of a server that repeats keys, and the headers it got."""
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Echo,), {"seen": seen}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def forms(key: str) -> dict[str, bytes]:
    """The key, and what it becomes on the ways on which texts travel."""
    plain = key.encode()
    middle = len(plain) // 2
    found = {
        "plain": plain,
        "first half": plain[:middle],
        "second half": plain[middle:],
        "reversed": plain[::-1],
        "reversed half": plain[middle:][::-1],
        "URL": urllib.parse.quote(key, safe="").encode(),
        "hexadecimal": plain.hex().encode(),
        "UTF-16": key.encode("utf-16-le"),
        "JSON": key.replace("/", r"\/").encode(),
    }
    for shift in range(3):
        # Base64 of the key behind 0, 1 or 2 other bytes, without the characters that these have a part in.
        found[f"base64 {shift}"] = base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4]
    return found


def leaks(folder: Path) -> list[str]:
    """Which files of a folder hold a form of the key, and around what."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for form, needle in forms(KEY).items():
            if (at := content.find(needle)) >= 0:
                found.append(f"{path.relative_to(folder)}: {form}: {content[max(0, at - 200) : at + 60]!r}")
    return found


def give(way: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the key where the way begins, in a folder that is not searched."""
    folder.mkdir()
    (folder / "key").write_text(KEY)
    config = folder / "config.toml"
    monkeypatch.setenv("CANARY_FILE", str(folder / "key"))
    monkeypatch.setenv("DASHNB_CONFIG", str(config))
    if way == "environment":
        monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    if way == "file":
        config.touch(mode=0o600)
        config.write_text(f'api_key = "{KEY}"\n')
    if way in STORE_MODULES:
        name, program = STORE_MODULES[way]
        path = folder / "modules" / name
        path.parent.mkdir(parents=True)
        path.write_text(program.format(str(folder / "key")))
        monkeypatch.setenv("PYTHONPATH", str(folder / "modules"))


def test_the_search_for_the_key_finds_every_form_of_it(tmp_path: Path) -> None:
    for number, needle in enumerate(forms(KEY).values()):
        (tmp_path / f"{number}.bin").write_bytes(b"\xff before " + needle + b" behind")
    assert len({leak.partition(":")[0] for leak in leaks(tmp_path)}) == len(forms(KEY))
    for shift in range(3):
        coded = base64.b64encode(b"x" * (3 + shift) + KEY.encode() + b"yz")
        assert forms(KEY)[f"base64 {shift}"] in coded


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_no_byte_that_a_notebook_leaves_behind_holds_the_key(
    way: str,
    echo: tuple[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url, seen = echo
    left = tmp_path / "left"
    left.mkdir()
    give(way, tmp_path / "given", monkeypatch)
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", url)
    monkeypatch.setenv("DASHNB_DATA_DIR", str(left / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(left / "ipython"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    begin = [BEGIN, *([PROMPT] if way == "prompt" else []), ARGUMENT if way == "argument" else CLIENT]
    notebook = new_notebook(cells=[new_code_cell(source.strip("\n")) for source in [*begin, *TRIES]])
    nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=60, allow_errors=True, resources={"metadata": {"path": str(left)}}
    ).execute()
    nbformat.write(notebook, left / "notebook.ipynb")
    (left / "notebook.html").write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    printed = capfd.readouterr()
    (left / "printed.txt").write_text(printed.out + printed.err, encoding="utf-8")
    assert leaks(left) == []
    # And the key was there all the time: it was sent, refused, masked and logged about.
    assert seen.count(f"Bearer {KEY}") > 5
    text = (left / "notebook.ipynb").read_text(encoding="utf-8")
    assert text.count(MASK) > 10
    assert "RuntimeError" in text
    assert (left / "data" / "ledger.db").exists()
    assert b"httpcore" in (left / "debug.log").read_bytes()
