"""What a run costs: its tokens times the list price of its model, where that is known for sure.

The prices are in `prices.toml`, each with its currency, date and source; a file of one's own outranks them.
A model that is not listed under its exact name has no cost: a guess would be worse than none.

A cost is an estimate. The service prices each request by the length of its own input; of a run the sum of
all its requests is known, and the tier of that sum is taken. Free quotas and discounts are not known here.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from dashnb.errors import ConfigurationError
from dashnb.files import read_file

MOST_BYTES = 10_000_000  # of a file of prices
_PER = 1_000_000
_CLOUDS = ("cloud", "cloud-intl")


@dataclass(frozen=True, slots=True)
class Tier:
    """The price of a million tokens, for inputs of some length.

    Attributes:
        input: Per million input tokens.
        output: Per million output tokens.
        up_to: The most input tokens that it holds for, or None for any number.
    """

    input: Decimal
    output: Decimal
    up_to: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs at one place.

    Attributes:
        currency: ``CNY``, ``USD`` or another code.
        tiers: By length of input, the shortest first.
        date: When the price was read, as ``2026-05-01``; ``""`` if the file does not say.
        source: The page that states it.
    """

    currency: str
    tiers: tuple[Tier, ...]
    date: str = ""
    source: str = ""

    def tier(self, input_tokens: int) -> Tier | None:
        """The tier of an input, or None if it is longer than any price holds for."""
        return next((tier for tier in self.tiers if tier.up_to is None or input_tokens <= tier.up_to), None)


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount, its currency, and the price that it comes from; as text with three digits that count.

    >>> str(Cost(Decimal("0.0058404"), "CNY", Price("CNY", ()))), str(Cost(Decimal("12.3"), "USD", Price("USD", ())))
    ('0.00584 CNY', '12.30 USD')
    """

    amount: Decimal
    currency: str
    price: Price

    def __str__(self) -> str:
        places = 2 if self.amount >= 1 or not self.amount else 2 - self.amount.adjusted()
        return f"{self.amount:,.{places}f} {self.currency}"


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by place and model.

    >>> found = built_in().cost("qwen-plus", 1865, 139, "cloud")
    >>> str(found), found.price.date
    ('0.00177 CNY', '2025-09-01')
    """

    table: Mapping[tuple[str, str], Price]

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, place: str, *, thought: bool = False
    ) -> Cost | None:
        """What a run cost, or None if that is not known or nothing.

        Args:
            model: The model's exact name.
            input_tokens: Of all model calls of the run; they choose the tier.
            output_tokens: Of all model calls of the run.
            place: Who was asked: `place_of`.
            thought: True if the model thought aloud, which has prices of its own; they are not known.
        """
        price = self.table.get((place, model))
        tier = price.tier(input_tokens) if price and not thought else None
        if price is None or tier is None or input_tokens < 0 or output_tokens < 0:
            return None
        amount = (input_tokens * tier.input + output_tokens * tier.output) / _PER
        return Cost(amount, price.currency, price) if amount else None


def cost(model: str, input_tokens: int, output_tokens: int, place: str) -> Cost | None:
    """What a run cost by the built-in prices, or None if that is not known.

    >>> str(cost("qwen-max", 1865, 139, "cloud")), cost("qwen-max-2025-01-25", 1865, 139, "cloud")
    ('0.00581 CNY', None)

    Args: those of `Prices.cost`.
    """
    return built_in().cost(model, input_tokens, output_tokens, place)


def place_of(connection: str, engine: str = "") -> str:
    """Whose prices hold: ``cloud``, ``cloud-intl``, an engine of the embedded API by name, or ``url``.

    >>> place_of("cloud"), place_of("local", "ollama:qwen3:0.6b"), place_of("https://proxy.example/api/v1")
    ('cloud', 'ollama', 'url')

    The built-in prices are those of the two clouds. The engines of the embedded API have none: the guide, the
    small model and recordings cost nothing, and what a model server costs only its owner knows.

    Args:
        connection: Where the run was made: ``local``, ``cloud``, ``cloud-intl`` or a URL.
        engine: Who answered on the embedded API.
    """
    if connection in _CLOUDS:
        return connection
    return engine.partition(":")[0] if connection == "local" else "url"


@cache
def built_in() -> Prices:
    """The prices that dashnb comes with.

    >>> sorted({place for place, model in built_in().table})
    ['cloud', 'cloud-intl']
    """
    return Prices(_read(Path(__file__).with_name("prices.toml")))


def load(file: Path | None = None) -> Prices:
    """The built-in prices, outranked by those of a file.

    >>> load() == built_in()
    True

    Args:
        file: TOML of the form of the built-in ``prices.toml``; ``date`` and ``source`` may be left out.

    Raises:
        ConfigurationError: The file cannot be read, or has an entry that is no price; it is named.
    """
    return built_in() if file is None else Prices({**built_in().table, **_read(file)})


def _read(file: Path) -> dict[tuple[str, str], Price]:
    try:
        content = tomllib.loads(read_file(file, MOST_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"The prices {file} cannot be read: {error}") from error
    places = {place: models for place, models in content.items() if isinstance(models, dict)}
    if odd := content.keys() - places.keys():
        raise ConfigurationError(f"The prices {file} have {sorted(odd)[0]!r}, which is no table [PLACE.MODEL].")
    return {
        (place, model): _price(entry, f"[{place}.{model}] of the prices {file}")
        for place, models in places.items()
        for model, entry in models.items()
    }


def _price(entry: Any, where: str) -> Price:
    try:
        tiers = sorted((_tier(tier) for tier in entry["tiers"]), key=_length)
        currency = entry["currency"]
        if not tiers or not isinstance(currency, str) or not currency.strip():
            raise ValueError
        return Price(currency.strip(), tuple(tiers), _date(entry.get("date", "")), str(entry.get("source", "")))
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise ConfigurationError(
            f'{where} is no price.\nIt has a currency, and tiers as {{ up_to = 128000, input = "0.8", output = "2" }}.'
        ) from None


def _tier(tier: Mapping[str, Any]) -> Tier:
    up_to = tier.get("up_to")
    return Tier(_amount(tier["input"]), _amount(tier["output"]), None if up_to is None else int(up_to))


def _amount(value: object) -> Decimal:
    amount = Decimal(str(value))
    if not (amount.is_finite() and amount >= 0):
        raise ValueError
    return amount


def _length(tier: Tier) -> float:
    return float("inf") if tier.up_to is None else tier.up_to


def _date(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime.date) else str(value)
