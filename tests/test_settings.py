"""Settings: which source wins, and that every value says where it came from."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from dashnb.credentials import MASK
from dashnb.errors import ConfigurationError
from dashnb.keys import Found, Secret
from dashnb.settings import SETTINGS, Settings, Value, config_file

KEY = "sk-canary-0123456789"
posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A config file, empty and for its owner only."""
    path = tmp_path / "settings.toml"
    path.touch(mode=0o600)
    return path


def load(environ: dict[str, str] | None = None, file: Path | None = None, **arguments: str | None) -> Settings:
    return Settings.load(environ or {}, file=file, **arguments)


# --- precedence ----------------------------------------------------------------------------------


def a_value(name: str, place: str) -> str:
    choices = SETTINGS[name].choices
    return choices[["argument", "environment", "file"].index(place) % len(choices)] if choices else f"1{len(place)}"


@pytest.mark.parametrize("name", SETTINGS)
def test_an_argument_outranks_the_environment_the_file_and_the_default(name: str, file: Path) -> None:
    file.write_text(f'{name} = "{a_value(name, "file")}"\n')
    variable = SETTINGS[name].variables[0]
    environ = {variable: a_value(name, "environment")}
    expected = [
        (load(environ, file, **{name: a_value(name, "argument")}), a_value(name, "argument"), "argument"),
        (load(environ, file, **{name: None}), a_value(name, "environment"), f"environment {variable}"),
        (load({}, file), a_value(name, "file"), f"config file {file}"),
        (load(), SETTINGS[name].default, "default"),
    ]
    for settings, value, source in expected:
        assert (settings.text(name), settings.source(name)) == (value, source)


def test_a_setting_from_one_source_leaves_the_others_alone(file: Path) -> None:
    file.write_text('model = "from-file"\nview = "text"\n')
    settings = load({"DASHNB_VIEW": "static"}, file, engine="replay:x.sse")
    sources = {name: settings.source(name) for name in ("model", "view", "engine", "ledger")}
    assert sources == {
        "model": f"config file {file}",
        "view": "environment DASHNB_VIEW",
        "engine": "argument",
        "ledger": "default",
    }


def test_the_first_of_two_variables_wins() -> None:
    both = {"DASHSCOPE_WORKSPACE_ID": "second", "DASHSCOPE_WORKSPACE": "first"}
    assert load(both).text("workspace") == "first"
    assert load({"DASHSCOPE_WORKSPACE_ID": "second"}).source("workspace") == "environment DASHSCOPE_WORKSPACE_ID"


def test_an_empty_variable_sets_nothing() -> None:
    settings = load({"DASHSCOPE_API_KEY": "", "DASHNB_VIEW": ""})
    assert (settings.api_key, settings.source("api_key"), settings.view) == (None, "default", "auto")


def test_the_variables_of_the_official_sdk_are_read() -> None:
    settings = load({"DASHSCOPE_API_KEY": KEY, "DASHSCOPE_HTTP_BASE_URL": "http://127.0.0.1:1/api/v1"})
    assert (settings.api_key, settings.text("base_url")) == (KEY, "http://127.0.0.1:1/api/v1")


def test_no_variable_sets_two_settings() -> None:
    variables = [variable for setting in SETTINGS.values() for variable in setting.variables]
    assert len(variables) == len(set(variables))
    assert all(variable.startswith(("DASHNB_", "DASHSCOPE_")) for variable in variables)


def test_every_setting_has_a_help_and_an_allowed_default() -> None:
    for name, setting in SETTINGS.items():
        assert setting.name == name
        assert setting.help.endswith(".")
        assert not setting.choices or setting.default in setting.choices


def test_without_a_place_named_the_environment_and_the_usual_file_are_read(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    file.write_text('model = "from-file"\n')
    monkeypatch.setenv("DASHNB_CONFIG", str(file))
    monkeypatch.setenv("DASHNB_VIEW", "text")
    settings = Settings.load()
    assert (settings.model, settings.view) == ("from-file", "text")


# --- the config file -----------------------------------------------------------------------------


def test_the_config_file_is_named_by_the_environment_or_in_the_user_folder(file: Path) -> None:
    assert config_file({"DASHNB_CONFIG": str(file)}) == file
    assert config_file({"DASHNB_CONFIG": "~/x.toml"}) == Path.home() / "x.toml"
    usual = config_file({})
    assert usual.name == "config.toml"
    assert usual.parent.name == "dashnb"


def test_a_missing_file_sets_nothing(file: Path) -> None:
    file.unlink()
    assert load({}, file).source("model") == "default"


def test_values_of_the_file_may_be_numbers_and_switches(file: Path) -> None:
    file.write_text("timeout = 12.5\nledger = false\n")
    settings = load({}, file)
    assert (settings.timeout, settings.text("ledger"), settings.ledger_file) == (12.5, "off", None)
    file.write_text("ledger = true\n")
    assert load({}, file).text("ledger") == "on"


@pytest.mark.parametrize("content", [b"model = ", b"model: x", b"{}", b"\xff\xfe", b"[["], ids=repr)
def test_a_broken_file_is_refused_and_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"settings\.toml"):
        load({}, file)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load({}, tmp_path)


def test_a_table_in_the_file_is_an_unknown_name(file: Path) -> None:
    file.write_text('[dashnb]\nmodel = "x"\n')
    with pytest.raises(ConfigurationError, match="no setting 'dashnb'"):
        load({}, file)


# --- wrong names and values ----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "meant"), [("modle", "model"), ("api-key", "api_key"), ("data_dirs", "data_dir")])
def test_an_unknown_name_is_refused_with_the_one_that_was_meant(name: str, meant: str, file: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"'{name}' \(argument\)\. Did you mean {meant}\?"):
        load(**{name: "x"})
    file.write_text(f'{name} = "x"\n')
    with pytest.raises(ConfigurationError, match=rf"{file.name}\)\. Did you mean {meant}\?"):
        load({}, file)


def test_an_unknown_name_like_no_other_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(ConfigurationError, match="Known: connect, api_key") as caught:
        load(zzzz="x")
    assert all(name in str(caught.value) for name in SETTINGS)


def test_an_unknown_name_is_refused_without_its_value(file: Path) -> None:
    file.write_text(f'apikey = "{KEY}"\n')
    with pytest.raises(ConfigurationError, match="Did you mean api_key") as caught:
        load({}, file)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("place", ["argument", "environment DASHNB_VIEW", "config file"])
def test_a_value_that_is_not_allowed_is_refused_with_its_source(place: str, file: Path) -> None:
    if place == "config file":
        file.write_text('view = "blue"\n')
    environ = {"DASHNB_VIEW": "blue"} if "environment" in place else {}
    arguments = {"view": "blue"} if place == "argument" else {}
    with pytest.raises(ConfigurationError, match=rf"view is 'blue' \({place}.*must be one of: auto, widget, update"):
        load(environ, file, **arguments)


@pytest.mark.parametrize("text", ["soon", "", "0", "-1", "nan", "inf", "-inf", "1 s"])
def test_a_timeout_is_a_number_of_seconds_above_zero(text: str) -> None:
    settings = load(timeout=text)
    with pytest.raises(ConfigurationError, match=r"timeout is .* \(argument\); it must be"):
        _ = settings.timeout
    assert load(timeout="0.5").timeout == 0.5


@pytest.mark.parametrize("text", ["fast", "nan", "inf"])
def test_a_pace_is_a_number_of_milliseconds(text: str) -> None:
    settings = load(pace=text)
    with pytest.raises(ConfigurationError, match="pace is"):
        _ = settings.pace
    assert (load(pace="20").pace, load(pace="-5").pace) == (0.02, 0.0)


# --- keys ----------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620])
def test_a_file_with_a_key_that_others_may_open_is_refused_with_what_to_run(file: Path, mode: int) -> None:
    file.write_text(f'api_key = "{KEY}"\n')
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"holds a key.*\nRun: chmod 600 {file}") as caught:
        load({}, file, api_key="sk-other")
    assert KEY not in str(caught.value)


@posix
def test_a_file_without_a_key_may_be_read_by_others(file: Path) -> None:
    file.write_text('model = "qwen-plus"\n')
    file.chmod(0o644)
    assert load({}, file).model == "qwen-plus"


@posix
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_with_a_key_for_its_owner_only_is_read(file: Path, mode: int) -> None:
    file.write_text(f'llm_key = "{KEY}"\n')
    file.chmod(mode)
    assert load({}, file).text("llm_key") == KEY


def finds(source: str = "keyring") -> tuple[list[str], Any]:
    """A store that has a key, and the list of how often it was asked."""
    asked: list[str] = []

    def find() -> Found:
        asked.append(source)
        return Found(Secret(KEY), source)

    return asked, find


def test_a_store_is_asked_once_and_only_when_the_key_is_wanted(file: Path) -> None:
    asked, find = finds()
    settings = Settings.load({}, file=file, find_key=find)
    assert (settings.model, asked) == ("qwen-max", [])
    assert (settings.api_key, settings.source("api_key"), settings.shown("api_key")) == (KEY, "keyring", MASK)
    assert (settings.api_key, asked) == (KEY, ["keyring"])


def test_everything_else_outranks_a_store(file: Path) -> None:
    asked, find = finds()
    given = [
        Settings.load({}, file=file, find_key=find, api_key="sk-other"),
        Settings.load({"DASHSCOPE_API_KEY": "sk-other"}, file=file, find_key=find),
    ]
    file.write_text('api_key = "sk-other"\n')
    given.append(Settings.load({}, file=file, find_key=find))
    assert [settings.api_key for settings in given] == ["sk-other"] * 3
    assert asked == []


def test_without_a_file_no_store_is_asked() -> None:
    asked, find = finds()
    assert (Settings.load({}, file=None, find_key=find).api_key, asked) == (None, [])


def test_a_store_that_has_no_key_is_asked_once(file: Path) -> None:
    asked: list[str] = []
    settings = Settings.load({}, file=file, find_key=lambda: asked.append("keyring"))
    assert (settings.api_key, settings.api_key, settings.source("api_key")) == (None, None, "default")
    assert asked == ["keyring"]


def test_a_key_may_be_given_as_a_secret() -> None:
    settings = Settings.load({}, file=None, api_key=Secret(KEY))
    assert (settings.api_key, settings.source("api_key"), settings.shown("api_key")) == (KEY, "argument", MASK)


def test_settings_with_a_key_are_not_pickled() -> None:
    with pytest.raises(TypeError, match="a secret is not pickled"):
        pickle.dumps(load(api_key=KEY))
    assert copy.deepcopy(load(api_key=KEY)).api_key == KEY


# --- what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["argument", "environment", "file"])
def test_a_secret_is_never_shown(place: str, file: Path) -> None:
    file.write_text(f'api_key = "{KEY}"\n' if place == "file" else "")
    environ = {"DASHSCOPE_API_KEY": KEY} if place == "environment" else {}
    settings = load(environ, file, api_key=KEY if place == "argument" else None)
    assert settings.api_key == KEY
    assert settings.shown("api_key") == MASK
    assert f"api_key={MASK}" in repr(settings)
    said = [
        repr(settings),
        str(settings),
        repr(vars(settings)),
        repr(Value(KEY, "argument")),
        settings.source("api_key"),
    ]
    assert [text for text in said if KEY in text or "canary" in text] == []


def test_settings_print_what_was_chosen_and_not_the_defaults() -> None:
    assert repr(load(model="qwen-plus")) == "Settings(model=qwen-plus)"
    assert repr(load()) == "Settings()"


def test_what_is_not_set_is_shown_so() -> None:
    settings = load()
    assert (settings.shown("api_key"), settings.shown("base_url")) == ("(not set)", "(not set)")
    assert settings.shown("model") == "qwen-max"


# --- places --------------------------------------------------------------------------------------


def test_the_databases_are_in_the_data_folder(tmp_path: Path) -> None:
    settings = load(data_dir=str(tmp_path))
    assert settings.data_dir == tmp_path
    assert settings.database == str(tmp_path / "assistant.db")
    assert settings.ledger_file == tmp_path / "ledger.db"


@pytest.mark.parametrize("named", [":memory:", "/data/x.db", "postgresql+psycopg://host//db", "sqlite:////data/x.db"])
def test_a_named_database_is_taken_as_it_is(named: str) -> None:
    assert load(database=named).database == named


def test_prices_are_the_built_in_ones_unless_a_file_is_named() -> None:
    assert load().prices_file is None
    assert load(prices="~/prices.toml").prices_file == Path.home() / "prices.toml"


def test_a_tilde_is_the_home_folder() -> None:
    assert load(data_dir="~/data").data_dir == Path.home() / "data"
    assert load(database="~/x.db").database == str(Path.home() / "x.db")


def test_without_a_data_folder_it_is_the_user_data_folder_of_dashnb() -> None:
    assert "dashnb" in str(load().data_dir)


def test_reading_settings_makes_no_files(tmp_path: Path) -> None:
    settings = load(data_dir=str(tmp_path / "new"), file=tmp_path / "none.toml")
    assert (settings.database, settings.ledger_file) is not None
    assert list(tmp_path.iterdir()) == []


def test_settings_keep_the_moment_at_which_they_were_loaded() -> None:
    environ: dict[str, Any] = {"DASHNB_MODEL": "one"}
    settings = load(environ)
    environ["DASHNB_MODEL"] = "two"
    assert settings.model == "one"
