"""Settings: where each value may come from, and where it did come from.

An argument outranks the environment, which outranks the config file, which outranks the default. The
config file is TOML with the names of `SETTINGS` as keys; `config_file()` says where it is.

Nothing is read at import: `Settings.load` reads once, and every value knows its source.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dashnb.errors import ConfigurationError


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
            "Where to connect: local, cloud, cloud-intl or a URL. Without it: the URL of base_url if set, "
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
            "language",
            ("DASHNB_LANGUAGE",),
            "auto",
            "The language of the words around an answer; auto takes that of the locale.",
            choices=("auto", "en", "zh", "ja"),
        ),
        Setting("data_dir", ("DASHNB_DATA_DIR",), None, "The folder of the databases; the user data folder if unset."),
    )
}

MASK = "********"


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the config file is: ``DASHNB_CONFIG``, else ``config.toml`` in the user config folder."""
    if named := environ.get("DASHNB_CONFIG"):
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("dashnb", appauthor=False)) / "config.toml"


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value, not shown as it may be secret, and its source: ``environment DASHSCOPE_API_KEY``."""

    text: str | None = field(repr=False)
    source: str


class Settings:
    """All settings of one moment, each with its source.

    >>> settings = Settings.load({"DASHSCOPE_API_KEY": "sk-canary"}, file=None, model="qwen-plus")
    >>> settings.model, settings.source("model"), settings.source("api_key")
    ('qwen-plus', 'argument', 'environment DASHSCOPE_API_KEY')
    >>> "sk-canary" in repr(settings)
    False
    """

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        file: Path | str | None = "",
        **arguments: str | None,
    ) -> Settings:
        """Read all settings once.

        Args:
            environ: The environment variables.
            file: The config file; ``""`` for the usual one, None for none.
            **arguments: Values that outrank all others; None means not given.

        Raises:
            ConfigurationError: An unknown name, a value that is not allowed, or a file that is no TOML.
        """
        path = config_file(environ) if file == "" else file
        kept = _read_file(Path(path)) if path is not None else {}
        _check_names(arguments, "argument")
        _check_names(kept, f"config file {path}")
        values = {}
        for name, setting in SETTINGS.items():
            value = _first(setting, arguments, environ, kept, path)
            if setting.choices and value.text not in setting.choices:
                allowed = ", ".join(setting.choices)
                raise ConfigurationError(f"{name} is {value.text!r} ({value.source}); it must be one of: {allowed}.")
            values[name] = value
        return cls(values)

    def text(self, name: str) -> str | None:
        """The value of a setting as text, or None."""
        return self._values[name].text

    def source(self, name: str) -> str:
        """Where a value came from: ``argument``, ``environment NAME``, ``config file PATH`` or ``default``."""
        return self._values[name].source

    def shown(self, name: str) -> str:
        """A setting's value as a person may see it: secrets are masked, unset ones say so."""
        value = self._values[name].text
        if value is None:
            return "(not set)"
        return MASK if SETTINGS[name].secret else value

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


def _first(
    setting: Setting,
    arguments: Mapping[str, str | None],
    environ: Mapping[str, str],
    kept: Mapping[str, str],
    path: Path | str | None,
) -> Value:
    if (given := arguments.get(setting.name)) is not None:
        return Value(given, "argument")
    for variable in setting.variables:
        if found := environ.get(variable):
            return Value(found, f"environment {variable}")
    if setting.name in kept:
        return Value(kept[setting.name], f"config file {path}")
    return Value(setting.default, "default")


def _read_file(path: Path) -> dict[str, str]:
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The config file {path} cannot be read: {error}") from error
    try:
        values = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The config file {path} is not TOML: {error}") from error
    return {name: "on" if value is True else "off" if value is False else str(value) for name, value in values.items()}


def _check_names(values: Mapping[str, object], source: str) -> None:
    import difflib

    for name in values:
        if name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(SETTINGS)}."
            raise ConfigurationError(f"There is no setting {name!r} ({source}).{hint}")
