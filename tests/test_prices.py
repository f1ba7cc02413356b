"""What a run costs: list prices that say where they come from, and nothing where none is known."""

from __future__ import annotations

import datetime
import json
import sqlite3
import tomllib
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from dashnb import prices
from dashnb.errors import ConfigurationError
from dashnb.history.ledger import SCHEMA_VERSION, Ledger
from dashnb.history.rows import Circumstances, rows_of
from dashnb.history.schema import TABLES
from dashnb.protocol.events import event_of
from dashnb.protocol.objects import Usage
from dashnb.protocol.state import RunState
from dashnb.view import Heading
from dashnb.view.bundle import bundle
from dashnb.view.languages import LANGUAGES
from dashnb.view.wording import accounts

FILE = Path(prices.__file__).with_name("prices.toml")
ASKED_AT = 1795156863000
OWN = """
[cloud.qwen-max]
currency = "CNY"
tiers = [{ input = 1, output = 1.5 }]
[ollama."qwen3:0.6b"]
currency = "EUR"
tiers = [{ input = "0.01", output = "0.02" }]
[url.mine]
currency = "XTS"
tiers = [{ input = "1000000", output = "0" }]
"""


def spent(input_tokens: int = 1865, output_tokens: int = 139, model: str = "qwen-max") -> RunState:
    """A run of a model that used so many tokens."""
    data = {"id": "run_1", "thread_id": "thread_1", "status": "completed", "model": model}
    state = RunState(requested_at=0)
    state.apply(event_of("thread.run.created", {**data, "status": "queued"}), at=10)
    state.apply(event_of("thread.run.completed", data), at=500)
    state.usage = Usage(
        input_tokens=input_tokens, output_tokens=output_tokens, total_tokens=input_tokens + output_tokens
    )
    return state


def about(connection: str = "cloud", engine: str = "") -> Circumstances:
    return Circumstances("run_1", "", "", engine, connection, ASKED_AT)


@pytest.fixture
def own(tmp_path: Path) -> prices.Prices:
    file = tmp_path / "prices.toml"
    file.write_text(OWN)
    return prices.load(file)


# --- the file ------------------------------------------------------------------------------------


def test_every_price_says_its_currency_date_and_source() -> None:
    for (place, model), price in prices.built_in().table.items():
        assert price.currency == {"cloud": "CNY", "cloud-intl": "USD"}[place], model
        assert datetime.date(2025, 1, 1) < datetime.date.fromisoformat(price.date)
        assert "Alibaba Cloud Model Studio, " in price.source


def test_tiers_go_up_in_length_and_in_price() -> None:
    for price in prices.built_in().table.values():
        lengths = [tier.up_to for tier in price.tiers]
        assert None not in lengths[:-1]
        assert [tier.input for tier in price.tiers] == sorted(tier.input for tier in price.tiers)
        assert all(0 < tier.input < tier.output for tier in price.tiers)


def test_prices_are_written_as_text_so_that_none_is_rounded() -> None:
    for models in tomllib.loads(FILE.read_text(encoding="utf-8")).values():
        for entry in models.values():
            assert all(isinstance(tier[name], str) for tier in entry["tiers"] for name in ("input", "output"))


# --- the cost ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "tokens", "amount", "currency"), [
    ("cloud", (1_000_000, 0), "0", ""),
    ("cloud", (128_000, 0), "0.1024", "CNY"),
    ("cloud", (128_001, 0), "0.3072024", "CNY"),
    ("cloud", (100, 100), "0.00028", "CNY"),
    ("cloud-intl", (100, 100), "0.00016", "USD"),
])  # fmt: skip
def test_the_input_of_the_run_chooses_the_tier(place: str, tokens: tuple[int, int], amount: str, currency: str) -> None:
    found = prices.cost("qwen-plus", *tokens, place)
    if not currency:
        amount, currency = "4.8", "CNY"
    assert found is not None
    assert (found.amount, found.currency) == (Decimal(amount), currency)


@pytest.mark.parametrize(("model", "tokens", "place"), [
    ("qwen-max-2025-01-25", (10, 10), "cloud"),
    ("qwen-max-latest", (10, 10), "cloud"),
    ("QWEN-MAX", (10, 10), "cloud"),
    ("", (10, 10), "cloud"),
    ("qwen-max", (10, 10), "guide"),
    ("qwen-max", (10, 10), "url"),
    ("qwen-max", (10, 10), ""),
    ("qwen-long", (10, 10), "cloud-intl"),
    ("qwen-max", (0, 0), "cloud"),
    ("qwen-max", (-1, 10), "cloud"),
    ("qwen-plus", (1_000_001, 10), "cloud"),
    ("qwen-plus", (128_001, 10), "cloud-intl"),
])  # fmt: skip
def test_what_is_not_known_for_sure_has_no_cost(model: str, tokens: tuple[int, int], place: str) -> None:
    assert prices.cost(model, *tokens, place) is None


def test_a_model_that_thought_aloud_has_prices_that_are_not_known() -> None:
    assert prices.built_in().cost("qwen-plus", 10, 10, "cloud", thought=True) is None


@pytest.mark.parametrize(("amount", "shown"), [
    ("0.0123456", "0.0123 CNY"), ("0.000012", "0.0000120 CNY"), ("0.1", "0.100 CNY"), ("0.99999", "1.000 CNY"),
    ("1", "1.00 CNY"), ("1234.567", "1,234.57 CNY"), ("1E-9", "0.00000000100 CNY"), ("0", "0.00 CNY"),
])  # fmt: skip
def test_an_amount_shows_three_digits_that_count_and_never_a_power_of_ten(amount: str, shown: str) -> None:
    assert str(prices.Cost(Decimal(amount), "CNY", prices.Price("CNY", ()))) == shown


@pytest.mark.parametrize(("connection", "engine", "place"), [
    ("cloud", "", "cloud"), ("cloud-intl", "", "cloud-intl"), ("https://x/api/v1", "guide", "url"),
    ("local", "guide", "guide"), ("local", "replay:x.sse", "replay"), ("local", "qwen:qwen-plus", "qwen"),
    ("local", "", ""),
])  # fmt: skip
def test_a_place_is_a_cloud_an_engine_or_a_service_of_ones_own(connection: str, engine: str, place: str) -> None:
    assert prices.place_of(connection, engine) == place


# --- a file of one's own -------------------------------------------------------------------------


def test_a_file_of_ones_own_outranks_the_built_in_prices_and_leaves_the_others(own: prices.Prices) -> None:
    assert str(own.cost("qwen-max", 1_000_000, 1_000_000, "cloud")) == "2.50 CNY"
    assert str(own.cost("qwen3:0.6b", 1_000_000, 0, "ollama")) == "0.0100 EUR"
    assert own.cost("qwen-plus", 10, 10, "cloud") == prices.cost("qwen-plus", 10, 10, "cloud")


def test_loading_a_file_leaves_the_built_in_prices_alone(own: prices.Prices) -> None:
    assert own != prices.built_in() == prices.load()


def test_tiers_may_be_written_in_any_order(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        '[a.b]\ncurrency = "X"\ntiers = [{ input = 9, output = 0 }, { up_to = 5, input = 1, output = 0 }]\n'
    )
    assert [tier.up_to for tier in prices.load(file).table["a", "b"].tiers] == [5, None]


@pytest.mark.parametrize("content", [
    "[cloud.x]", '[cloud.x]\ncurrency = "CNY"', '[cloud.x]\ncurrency = "CNY"\ntiers = []',
    '[cloud.x]\ncurrency = 5\ntiers = [{ input = 1, output = 1 }]',
    '[cloud.x]\ncurrency = "CNY"\ntiers = [{ input = 1 }]',
    '[cloud.x]\ncurrency = "CNY"\ntiers = [{ input = "dear", output = 1 }]',
    '[cloud.x]\ncurrency = "CNY"\ntiers = [{ input = -1, output = 1 }]',
    '[cloud.x]\ncurrency = "CNY"\ntiers = [{ input = nan, output = 1 }]',
    '[cloud.x]\ncurrency = "CNY"\ntiers = [{ up_to = "far", input = 1, output = 1 }]',
    '[cloud.x]\ncurrency = "CNY"\ntiers = [1]', "[cloud]\nx = 5", "x = 5", "x = ",
])  # fmt: skip
def test_a_file_that_is_no_list_of_prices_is_refused_and_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"own\.toml"):
        prices.load(file)


def test_a_file_that_is_missing_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read"):
        prices.load(tmp_path / "none.toml")


# --- below an answer -----------------------------------------------------------------------------


def test_the_line_below_an_answer_of_the_cloud_says_what_it_cost_in_every_language() -> None:
    for language in LANGUAGES:
        line = accounts(spent(), Heading(model="qwen-max", engine="cloud", language=language))
        assert line.endswith(" · 0.00581 CNY")


@pytest.mark.parametrize(
    "engine", ["", "guide · rules, no language model", "qwen · language model in the cloud, Beijing", "replay", "url"]
)
def test_the_line_below_another_answer_says_nothing_of_a_cost(engine: str) -> None:
    assert accounts(spent(), Heading(model="qwen-max", engine=engine)).endswith(" in total")


def test_the_line_takes_prices_of_ones_own(own: prices.Prices) -> None:
    heading = Heading(model="qwen-max", engine="cloud", prices=own)
    assert accounts(spent(), heading).endswith("0.00207 CNY")
    heading = Heading(model="qwen3:0.6b", engine="ollama · language model", prices=own)
    assert accounts(spent(model=""), heading).endswith("0.0000214 EUR")


def test_what_is_shown_live_and_what_is_kept_say_the_same_cost() -> None:
    heading = Heading(model="qwen-max", engine="cloud")
    lines = [accounts(spent(), replace(heading, watched=watched)) for watched in (True, False)]
    assert all("0.00581 CNY" in line for line in lines)
    kept = json.dumps(bundle(spent(), heading)[0])
    assert kept.count("0.00581 CNY") >= 2


def test_without_a_count_of_tokens_there_is_no_cost() -> None:
    state = spent()
    state.usage = None
    assert "CNY" not in accounts(state, Heading(model="qwen-max", engine="cloud"))
    assert rows_of(state, about())["runs"][0]["cost"] is None


# --- in the history ------------------------------------------------------------------------------


def test_a_row_of_the_cloud_has_its_cost_and_currency() -> None:
    for connection, expected in {"cloud": (0.0058104, "CNY"), "cloud-intl": (0.0038736, "USD")}.items():
        (row,) = rows_of(spent(), about(connection))["runs"]
        assert (row["cost"], row["currency"]) == expected


@pytest.mark.parametrize(("connection", "engine"), [("local", "guide"), ("local", "qwen:qwen-max"), ("https://x", "")])
def test_a_row_of_another_service_has_neither(connection: str, engine: str) -> None:
    (row,) = rows_of(spent(), about(connection, engine))["runs"]
    assert (row["cost"], row["currency"]) == (None, None)


def test_a_row_takes_prices_of_ones_own_and_the_model_that_answered(own: prices.Prices) -> None:
    (row,) = rows_of(spent(), replace(about("local", "ollama:qwen3:0.6b"), prices=own))["runs"]
    assert (row["cost"], row["currency"]) == (pytest.approx(0.00002143), "EUR")
    (row,) = rows_of(spent(model="mine"), replace(about("https://x/api/v1"), prices=own))["runs"]
    assert (row["cost"], row["currency"]) == (1865.0, "XTS")


def test_the_currency_is_the_last_column_of_runs() -> None:
    assert list(TABLES["runs"])[-1] == "currency"


def old_ledger(file: Path) -> None:
    """A ledger as it was before runs had a currency, with one run."""
    with Ledger(file) as ledger:
        ledger.record(spent(), prompt="?", recorded_at=ASKED_AT, connection="cloud")
    with closing(sqlite3.connect(file)) as opened, opened:
        opened.execute("ALTER TABLE runs DROP COLUMN currency")
        opened.execute("UPDATE runs SET cost = NULL, id = 'run_old'")
        opened.execute("PRAGMA user_version = 1")


def test_an_old_ledger_gets_the_new_column_and_keeps_its_runs(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    old_ledger(file)
    with Ledger(file) as ledger:
        assert ledger.runs()["currency"] == [None]
        ledger.record(spent(), prompt="?", recorded_at=ASKED_AT + 1, connection="cloud")
        assert ledger.runs()["id"] == ["run_old", "run_1"]
        assert ledger.runs()["currency"] == [None, "CNY"]
    with closing(sqlite3.connect(file)) as opened:
        assert opened.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_two_that_open_an_old_ledger_at_once_both_find_the_column(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    old_ledger(file)
    with Ledger(file):
        with closing(sqlite3.connect(file)) as opened, opened:
            opened.execute("PRAGMA user_version = 1")  # as one who looked just before sees it
        with Ledger(file) as second:
            assert second.runs()["currency"] == [None]


def test_a_ledger_records_by_prices_of_ones_own(own: prices.Prices) -> None:
    with Ledger(":memory:") as ledger:
        ledger.record(spent(), prompt="?", recorded_at=ASKED_AT, connection="cloud", prices=own)
        assert ledger.runs()["cost"] == [0.0020735]
