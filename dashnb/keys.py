"""Keys: an object that never shows itself, the stores of this machine that may have one, and where to keep one.

A key that no argument, variable or config file gives is looked for in the keyring, then in the secrets of
Colab and of Kaggle. `ask_and_keep` asks a person for one, and leaves it in no cell, output or history.
"""

from __future__ import annotations

import getpass as terminal
import importlib
import json
import os
import queue
import re
import secrets
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dashnb.credentials import MASK, Known
from dashnb.errors import ConfigurationError

NAME = "DASHSCOPE_API_KEY"
SERVICE = "dashnb"
PLACES = ("session", "keyring", "file")
_SHORTEST = 8
STORE_SECONDS = 5.0  # for a keyring to answer when a key is looked for
PERSON_SECONDS = 60.0  # and for a person to unlock it when one is to be kept there

# How a module is imported by its name; tests give modules of their own.
Import = Callable[[str], Any]


class Secret:
    """A text that no repr, format, pickle or JSON shows; only `reveal` gives it.

    >>> key = Secret("sk-canary")
    >>> key, f"{key}", key.reveal() == "sk-canary"
    (Secret('********'), '********', True)

    Two secrets are equal if their texts are. A copy is the secret itself; pickling it is a ``TypeError``.
    """

    __slots__ = ("_reveal",)

    def __init__(self, text: str) -> None:
        # In a closure: whatever lists the attributes of an object finds a function.
        self._reveal: Callable[[], str] = lambda: text

    def reveal(self) -> str:
        """The text itself. Never print it."""
        return self._reveal()

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return secrets.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash((Secret, self.reveal()))

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled: give the key again where it is needed")


def hidden(value: Secret | str | None) -> Secret | None:
    """A key as a secret, however it was given.

    >>> hidden("sk-canary") == hidden(Secret("sk-canary")), hidden(None)
    (True, None)
    """
    return Secret(value) if isinstance(value, str) else value


def reveal(value: Secret | str | None) -> str | None:
    """The text of a value that may be a secret.

    >>> reveal(Secret("sk-canary")) == "sk-canary", reveal("qwen-max"), reveal(None)
    (True, 'qwen-max', None)
    """
    return value.reveal() if isinstance(value, Secret) else value


@dataclass(frozen=True, slots=True)
class Found:
    """A key and where it is: ``keyring``, ``Colab secret DASHSCOPE_API_KEY``, ``config file PATH``."""

    secret: Secret
    source: str


def mask(text: str, key: str) -> str:
    """The text without the key, for what a server says back.

    >>> mask("Incorrect API key provided: sk-canary.", "sk-canary")
    'Incorrect API key provided: ********.'

    Args:
        text: Any text.
        key: The key, or the value of an ``Authorization`` header; one below 8 characters is no secret, and may
            be a part of any word, so it is left.
    """
    return known(Secret(key.rpartition(" ")[2])).without(text)


def known(secret: Secret | None) -> Known:
    r"""What finds the key in texts and in chunks of bytes, in whatever form, and puts a mask in its place.

    >>> known(Secret("sk-canary/1")).without(r'{"key": "sk-canary\/1", "id": 1}')
    '{"key": "********", "id": 1}'
    """
    return Known([secret.reveal()] if secret else [], shortest=_SHORTEST, by=MASK)


# --- the stores of this machine ------------------------------------------------------------------


def _keyring(load: Import) -> object:
    return load("keyring").get_password(SERVICE, NAME)


def _colab(load: Import) -> object:
    return load("google.colab.userdata").get(NAME)


def _kaggle(load: Import) -> object:
    return load("kaggle_secrets").UserSecretsClient().get_secret(NAME)


STORES: tuple[tuple[str, Callable[[Import], object]], ...] = (
    ("keyring", _keyring),
    (f"Colab secret {NAME}", _colab),
    (f"Kaggle secret {NAME}", _kaggle),
)


class NoAnswer(ConfigurationError):
    """A store did not answer in time; a person may have to unlock it."""


def find(load: Import = importlib.import_module, *, seconds: float = STORE_SECONDS) -> Found | None:
    """The key of the first store that is here and has one, or None.

    >>> def nothing(module): raise ImportError(module)
    >>> find(nothing) is None
    True

    A store that fails, is locked or refuses has no key: each has errors of its own, and none of them is a
    reason not to work without a key.

    Args:
        load: How to import a store's module.
        seconds: How long the keyring may take, which may be waiting for a person.

    Raises:
        NoAnswer: It took longer, and no other store has a key.
    """
    silent: NoAnswer | None = None
    for source, read in STORES:
        try:
            # The others ask in the notebook, which only this thread can do.
            text = _in_time(lambda: _keyring(load), seconds) if read is _keyring else read(load)
        except NoAnswer as error:
            silent = error
            continue
        except Exception:
            continue
        if isinstance(text, str) and text.strip():
            return Found(Secret(str(text).strip()), source)
    if silent is not None:
        raise silent
    return None


def _in_time(use: Callable[[], object], seconds: float) -> object:
    """What the keyring answers. It is used on a thread of its own, so that nothing that it does holds us up.

    Raises:
        NoAnswer: It does not answer; nobody waits for it any more.
        Exception: It failed.
    """
    answers: queue.SimpleQueue[tuple[object, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((use(), None))
        except BaseException as error:
            answers.put((None, error))

    try:
        with redirect_stdout(sys.stderr):  # what it prints is no part of what we print
            threading.Thread(target=work, name="dashnb-keyring", daemon=True).start()
            answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise NoAnswer(f"the keyring did not answer within {seconds:g} s; unlock it, or set {NAME}") from None
    if isinstance(error, Exception):
        raise error
    if error is not None:  # a thread's SystemExit is not ours
        raise RuntimeError(type(error).__name__)
    return answer


# --- asking a person, and keeping ----------------------------------------------------------------


def ask(getpass: Callable[[str], str] = terminal.getpass) -> Secret:
    """The key that a person types, unseen.

    >>> ask(lambda prompt: " sk-canary ")
    Secret('********')

    Args:
        getpass: How to ask; the kernel's own in a notebook, which keeps nothing of the answer.

    Raises:
        ConfigurationError: Nobody can be asked, what is typed would be seen, or it is no key.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", terminal.GetPassWarning)
            secret = Secret(getpass("API key (it is not shown): ").strip())
    except (EOFError, OSError, NotImplementedError, terminal.GetPassWarning) as error:
        raise ConfigurationError(
            f"A key cannot be asked for here, unseen ({type(error).__name__}).\nSet {NAME}, or keep it in the keyring."
        ) from None
    if not re.fullmatch(r"[!-~]+", secret.reveal()):
        raise ConfigurationError("That is no key: it is empty, or has blanks or characters that no key has.")
    return secret


def ask_and_keep(
    where: str,
    *,
    file: Path | None = None,
    getpass: Callable[[str], str] = terminal.getpass,
    load: Import = importlib.import_module,
) -> Found:
    """Ask a person for the key, keep it, and return it with where it is.

    >>> ask_and_keep("session", getpass=lambda prompt: "sk-canary").source
    'session'

    Args:
        where: ``session`` keeps it nowhere else, ``keyring`` in the keyring of the system, ``file`` in the
            config file.
        file: The config file; needed for ``file``.
        getpass: How to ask.
        load: How to import the keyring.

    Raises:
        ConfigurationError: An unknown place, no key was given, or the place refuses it.
    """
    if where not in PLACES or (where == "file" and file is None):
        raise ConfigurationError(f"A key cannot be kept in {where!r}; say one of: {', '.join(PLACES)}.")
    secret = ask(getpass)
    if where == "keyring":
        keep_in_keyring(secret, load)
        return Found(secret, "keyring")
    if where == "file" and file is not None:
        keep_in_file(secret, file)
        return Found(secret, f"config file {file}")
    return Found(secret, "session")


def keep_in_keyring(secret: Secret, load: Import = importlib.import_module) -> None:
    """Keep the key in the keyring of the system, for service ``dashnb`` and user ``DASHSCOPE_API_KEY``.

    >>> class Ring:
    ...     def set_password(self, *entry): self.kept = entry[:2]
    >>> ring = Ring()
    >>> keep_in_keyring(Secret("sk-canary"), load=lambda name: ring)
    >>> ring.kept
    ('dashnb', 'DASHSCOPE_API_KEY')

    Raises:
        ConfigurationError: There is no keyring here, or it is locked or refuses.
    """
    try:
        _in_time(lambda: load("keyring").set_password(SERVICE, NAME, secret.reveal()), PERSON_SECONDS)
    except NoAnswer as error:
        raise ConfigurationError(f"The key is not kept: {error}.") from None
    except ImportError:
        raise ConfigurationError('The keyring needs a package: pip install "dashnb[keys]".') from None
    except Exception as error:
        # Its message, and the frames below it, may repeat the key.
        raise ConfigurationError(
            f"The keyring did not take the key ({type(error).__name__}).\nKeep it in the config file, or set {NAME}."
        ) from None


def keep_in_file(secret: Secret, file: Path, name: str = "api_key") -> None:
    """Keep the key in the config file: for its owner only, at one stroke, with all other lines as they were.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "config.toml"
    >>> _ = file.write_text("# mine\\nmodel = 'qwen-plus'\\n", encoding="utf-8")
    >>> keep_in_file(Secret("sk-canary"), file)
    >>> file.read_text(encoding="utf-8").splitlines()
    ['# mine', "model = 'qwen-plus'", 'api_key = "sk-canary"']

    Args:
        secret: The key.
        file: The config file; made with its folder if it is missing. A link stays a link.
        name: The setting.

    Raises:
        ConfigurationError: The file cannot be read, written, or changed in one line.
    """
    target = Path(os.path.realpath(file))
    try:
        new = _with_line(target.read_text(encoding="utf-8") if target.exists() else "", name, secret)
        if new is not None:
            _write(target, new)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The key cannot be kept in {file}: {type(error).__name__}.") from None
    if new is None:
        raise ConfigurationError(f"The config file {file} cannot be changed by line; write {name} = … in it yourself.")


def private(path: Path) -> bool:
    """Whether only its owner may read a file; always True where files have no such permissions."""
    return os.name != "posix" or not path.stat().st_mode & 0o077


def _with_line(old: str, name: str, secret: Secret) -> str | None:
    """The content with the line of the key, or None if that would change anything else."""
    new = _changed(old, name, f"{name} = {json.dumps(secret.reveal())}")
    # A text of several lines may look like a setting or a table: what would be kept is read and compared.
    before = _values(old)
    return new if before is not None and _values(new) == {**before, name: secret.reveal()} else None


def _changed(old: str, name: str, line: str) -> str:
    lines = old.splitlines()
    top = next((at for at, text in enumerate(lines) if text.lstrip().startswith("[")), len(lines))
    at = next((at for at in range(top) if re.match(rf"\s*{name}\s*=", lines[at])), None)
    lines[top if at is None else at : top if at is None else at + 1] = [line]
    return "\n".join(lines) + "\n"


def _values(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _write(target: Path, content: str) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
            opened.write(content.encode())
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)
