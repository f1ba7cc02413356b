"""Settings: where each value may come from, and where it did come from.

An argument outranks the environment, which outranks the config file, which outranks the default. The
config file is TOML with the names of `SETTINGS` as keys; `config_file()` says where it is. The key may also
be in a store of the machine, such as the keyring, which is asked when nothing else gives it.

Nothing is read at import: `Settings.load` reads once, and every value knows its source.
"""

from __future__ import annotations

import math
import os
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dashnb import keys
from dashnb.credentials import MASK, Address, redacted
from dashnb.errors import ConfigurationError
from dashnb.files import read_file
from dashnb.keys import Secret

_MOST_BYTES = 10_000_000  # of a config file


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table of settings.

    Attributes:
        name: Its name as an argument and in the config file.
        variables: Environment variables that set it, the first one found wins.
        default: Its value where nothing sets it; None means that dashnb decides, as ``help`` says.
        help: What it does, for a person.
        choices: The allowed values, empty if any text is allowed.
        secret: True if its value must never be shown.
    """

    name: str
    variables: tuple[str, ...]
    default: str | None
    help: str
    choices: tuple[str, ...] = ()
    secret: bool = False


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "connect",
            ("DASHNB_CONNECT",),
            None,
            "Where to connect: local, cloud, cloud-intl, replay:FILE or a URL. Without it: the URL of base_url if set, "
            "cloud if there is a key, local otherwise.",
        ),
        Setting("api_key", ("DASHSCOPE_API_KEY",), None, "The key of the cloud service.", secret=True),
        Setting(
            "base_url",
            ("DASHSCOPE_HTTP_BASE_URL",),
            None,
            "The service's base URL, ending in /api/v1, as the official SDK reads it.",
        ),
        Setting(
            "workspace",
            ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID"),
            None,
            "The workspace id, needed only for keys of a sub-workspace.",
        ),
        Setting("model", ("DASHNB_MODEL",), "qwen-max", "The model of assistants that name none."),
        Setting("timeout", ("DASHNB_TIMEOUT",), "300", "Seconds to wait for the service between two pieces of data."),
        Setting(
            "engine",
            ("DASHNB_ENGINE",),
            "guide",
            "Who answers on the embedded API: guide, smollm, replay:FILE, or a model server as PRESET or "
            "PRESET:MODEL with the presets openai, qwen, qwen-intl, ollama, vllm and llamacpp.",
        ),
        Setting(
            "llm_url",
            ("DASHNB_LLM_URL",),
            None,
            "The base URL of the model server, above /chat/completions; that of the engine's preset if unset.",
        ),
        Setting(
            "llm_key",
            ("DASHNB_LLM_KEY",),
            None,
            "The key of the model server; api_key for the engines qwen and qwen-intl if unset.",
            secret=True,
        ),
        Setting(
            "llm_model",
            ("DASHNB_LLM_MODEL",),
            None,
            "The model that the model server answers with; the model of the run if unset.",
        ),
        Setting(
            "pace", ("DASHNB_PACE",), "15", "Milliseconds between two pieces of the guide's answers, to watch them."
        ),
        Setting("database", ("DASHNB_DATABASE",), None, "The embedded API's database: a file or :memory:."),
        Setting(
            "requests",
            ("DASHNB_REQUESTS",),
            "500",
            "How many requests, streams included, dashnb serve answers at the same time.",
        ),
        Setting(
            "ledger",
            ("DASHNB_LEDGER",),
            "on",
            "Whether every run, step and message is kept for dashnb.history.",
            choices=("on", "off"),
        ),
        Setting(
            "view",
            ("DASHNB_VIEW",),
            "auto",
            "How a cell shows a run; auto decides by where it runs.",
            choices=("auto", "widget", "update", "static", "text"),
        ),
        Setting(
            "pictures",
            ("DASHNB_PICTURES",),
            "keep",
            "Whether pictures that a tool made are fetched and kept in the notebook, or linked to.",
            choices=("keep", "link"),
        ),
        Setting(
            "approval",
            ("DASHNB_APPROVAL",),
            "deny",
            "What happens to calls of tools that ask first, where nobody can be asked.",
            choices=("deny", "auto"),
        ),
        Setting(
            "language",
            ("DASHNB_LANGUAGE",),
            "auto",
            "The language of the words around an answer; auto takes that of the locale.",
            choices=("auto", "en", "zh", "ja"),
        ),
        Setting(
            "prices",
            ("DASHNB_PRICES",),
            None,
            "A TOML file of prices of your own, which outrank the built-in ones.",
        ),
        Setting("data_dir", ("DASHNB_DATA_DIR",), None, "The folder of the databases; the user data folder if unset."),
    )
}


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the config file is: ``DASHNB_CONFIG``, else ``config.toml`` in the user config folder."""
    if named := environ.get("DASHNB_CONFIG"):
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("dashnb", appauthor=False)) / "config.toml"


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value, not shown as it may be secret, and its source: ``environment DASHSCOPE_API_KEY``."""

    content: Secret | str | None = field(repr=False)
    source: str


class Settings:
    """All settings of one moment, each with its source.

    >>> settings = Settings.load({"DASHSCOPE_API_KEY": "sk-canary"}, file=None, model="qwen-plus")
    >>> settings.model, settings.source("model"), settings.source("api_key")
    ('qwen-plus', 'argument', 'environment DASHSCOPE_API_KEY')
    >>> "sk-canary" in repr(settings)
    False
    """

    def __init__(self, values: Mapping[str, Value], find_key: Callable[[], keys.Found | None] | None = None) -> None:
        self._values = dict(values)
        self._find_key = find_key
        # What to do about a key that is missing, behind what is told of a store that did not answer.
        self.key_remedy = f"set {keys.NAME}"

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        file: Path | str | None = "",
        find_key: Callable[[], keys.Found | None] | None = keys.find,
        **arguments: Secret | str | None,
    ) -> Settings:
        """Read all settings once.

        Args:
            environ: The environment variables.
            file: The config file; ``""`` for the usual one, None for neither a file nor a store of keys.
            find_key: Where a key is looked for that nothing else gives, the first time it is asked for.
            **arguments: Values that outrank all others; None means not given. A key may be a `Secret`.

        Raises:
            ConfigurationError: An unknown name, a value that is not allowed, a file that is no TOML, or one
                that holds a key and may be read by others.
        """
        given = _Given(arguments, environ)
        path = config_file(environ) if file == "" else file
        # A traceback that shows what functions were called with finds no key here.
        environ, arguments = {}, {}
        kept = _Given({} if path is None else _read_file(Path(path)))
        _check_names(given.names, "argument")
        _check_names(kept.names, f"config file {path}")
        values = {name: _first(setting, given, kept, path) for name, setting in SETTINGS.items()}
        return cls(values, None if file is None else find_key)

    def text(self, name: str) -> str | None:
        """The value of a setting as text, or None; for the key, stores of this machine may have to be asked."""
        return keys.reveal(self._value(name).content)

    def secret(self, name: str) -> Secret | None:
        """The value of a setting that is never shown, or None."""
        value = self._value(name).content
        return value if isinstance(value, Secret) else None

    def source(self, name: str) -> str:
        """Where a value came from: ``argument``, ``environment NAME``, ``config file PATH`` or ``default``.

        A key may also come from ``keyring``, ``Colab secret NAME`` or ``Kaggle secret NAME``, once it was needed.
        """
        return self._values[name].source

    def shown(self, name: str) -> str:
        """A setting's value as a person may see it, masked; ``(not needed)`` for a key not looked for so far."""
        value = self._values[name].content
        if value is None:
            return "(not needed)" if name == "api_key" and self._find_key is not None else "(not set)"
        return redacted(str(value), by=MASK)

    @property
    def secrets(self) -> list[Secret]:
        """The keys that are known by now."""
        return [value.content for value in self._values.values() if isinstance(value.content, Secret)]

    @property
    def api_key(self) -> str | None:
        """The key of the cloud service, or None. Never print it."""
        return self.text("api_key")

    @property
    def model(self) -> str:
        """The model of assistants that name none."""
        return self.text("model") or ""

    @property
    def engine(self) -> str:
        """Who answers on the embedded API."""
        return self.text("engine") or ""

    @property
    def view(self) -> str:
        """How a cell shows a run."""
        return self.text("view") or ""

    @property
    def keeps_pictures(self) -> bool:
        """Whether pictures that a tool made are fetched and kept."""
        return self.text("pictures") == "keep"

    @property
    def approval(self) -> Literal["auto", "deny"]:
        """What happens to calls of tools that ask first, where nobody can be asked."""
        return "auto" if self.text("approval") == "auto" else "deny"

    @property
    def language(self) -> str:
        """The language of the words around an answer."""
        return self.text("language") or ""

    @property
    def timeout(self) -> float:
        """Seconds to wait between two pieces of data.

        Raises:
            ConfigurationError: It is not a number above 0.
        """
        seconds = self._number("timeout")
        if not seconds > 0:
            raise ConfigurationError(
                f"timeout is {self.text('timeout')!r} ({self.source('timeout')}); it must be seconds above 0."
            )
        return seconds

    @property
    def pace(self) -> float:
        """Seconds between two pieces of the guide's answers.

        Raises:
            ConfigurationError: It is not a number of milliseconds.
        """
        return max(0.0, self._number("pace")) / 1000

    @property
    def requests(self) -> int:
        """How many requests a server answers at the same time.

        Raises:
            ConfigurationError: It is not a whole number from 1.
        """
        number = self._number("requests")
        if number < 1 or number != int(number):
            raise ConfigurationError(
                f"requests is {self.text('requests')!r} ({self.source('requests')}); it must be a whole number from 1."
            )
        return int(number)

    def _number(self, name: str) -> float:
        text = self.text(name) or ""
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ConfigurationError(f"{name} is {text!r} ({self.source(name)}); it must be a number.")
        return number

    @property
    def prices_file(self) -> Path | None:
        """The file of prices of one's own, or None."""
        named = self.text("prices")
        return Path(named).expanduser() if named else None

    @property
    def data_dir(self) -> Path:
        """The folder of the databases."""
        if named := self.text("data_dir"):
            return Path(named).expanduser()
        import platformdirs

        return Path(platformdirs.user_data_dir("dashnb", appauthor=False))

    @property
    def database(self) -> str:
        """The embedded API's database: a file's path or ``:memory:``."""
        if named := self.text("database"):
            return os.path.expanduser(named)
        return str(self.data_dir / "assistant.db")

    @property
    def ledger_file(self) -> Path | None:
        """The ledger's database, or None if the ledger is off."""
        return None if self.text("ledger") == "off" else self.data_dir / "ledger.db"

    def __repr__(self) -> str:
        chosen = (name for name, value in self._values.items() if value.source != "default")
        return f"Settings({', '.join(f'{name}={self.shown(name)}' for name in chosen)})"

    def _value(self, name: str) -> Value:
        value = self._values[name]
        if name == "api_key" and value.content is None and self._find_key is not None:
            find, self._find_key = self._find_key, None
            try:
                found = find()
            except keys.NoAnswer as error:
                found, self.key_remedy = None, str(error)
            if found is not None:
                value = self._values[name] = Value(found.secret, found.source)
        return value


class _Given:
    """Texts by name that are not shown; the first mapping has settings, the second environment variables."""

    def __init__(self, texts: Mapping[str, Secret | str | None], environ: Mapping[str, str] | None = None) -> None:
        self.names = tuple(texts)
        self.get = texts.get
        self.variable = (environ or {}).get

    def __repr__(self) -> str:
        return "_Given(…)"


def _first(setting: Setting, given: _Given, kept: _Given, path: Path | str | None) -> Value:
    value = _found(setting, given, kept, path)
    if setting.choices and value.content not in setting.choices:
        raise ConfigurationError(
            f"{setting.name} is {value.content!r} ({value.source}); it must be one of: {', '.join(setting.choices)}."
        )
    return value


def _found(setting: Setting, given: _Given, kept: _Given, path: Path | str | None) -> Value:
    if (content := _content(setting, given.get(setting.name))) is not None:
        return Value(content, "argument")
    for variable in setting.variables:
        if content := _content(setting, given.variable(variable)):
            return Value(content, f"environment {variable}")
    if (content := _content(setting, kept.get(setting.name))) is not None:
        return Value(content, f"config file {path}")
    return Value(setting.default, "default")


def _content(setting: Setting, text: Secret | str | None) -> Secret | str | None:
    if setting.secret:
        return keys.hidden(text)
    return Address(text) if isinstance(text, str) and "://" in text else text


def _read_file(path: Path) -> dict[str, str]:
    try:
        content = read_file(path, _MOST_BYTES).decode("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        # Without its cause, whose frames and attributes hold what the file holds.
        raise ConfigurationError(f"The config file {path} cannot be read: {_reason(error)}") from None
    try:
        values = tomllib.loads(content)
        texts = {name: _spelled(value) for name, value in values.items()}
    except (ValueError, RecursionError) as error:  # beyond TOML's own: numbers of thousands of digits, deep arrays
        raise ConfigurationError(f"The config file {path} is not TOML: {error}") from None
    if any(setting.secret and name in values for name, setting in SETTINGS.items()) and not keys.private(path):
        raise ConfigurationError(
            f"The config file {path} holds a key, and others may read it.\nRun: chmod 600 {shlex.quote(str(path))}"
        )
    return texts


def _spelled(value: object) -> str:
    return "on" if value is True else "off" if value is False else str(value)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return str(error) if isinstance(error, OSError) else f"it is not {error.encoding} from byte {error.start} on"


def _check_names(names: tuple[str, ...], source: str) -> None:
    import difflib

    for name in names:
        if name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(SETTINGS)}."
            raise ConfigurationError(f"There is no setting {name!r} ({source}).{hint}")
