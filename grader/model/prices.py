"""What tokens cost, from the one table in prices.toml; a model that it does not name has its default price."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("prices.toml")
MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens.

    Attributes:
        family: the name in the table, or "default".
        cache_write: for five minutes; `cache_write_1h` for an hour.
    """

    family: str
    input: float
    output: float
    cache_read: float
    cache_write: float
    cache_write_1h: float

    def cost(
        self,
        *,
        fresh_input: int = 0,
        cache_read: int = 0,
        cache_write: int = 0,
        cache_write_1h: int = 0,
        output: int = 0,
    ) -> float:
        """US dollars for so many tokens of each kind; `cache_write` counts those for an hour too."""
        return (
            fresh_input * self.input
            + cache_read * self.cache_read
            + (cache_write - cache_write_1h) * self.cache_write
            + cache_write_1h * self.cache_write_1h
            + output * self.output
        ) / MILLION


def price_of(model: str) -> Price:
    """The price of the longest family that the model's name begins with, or the default."""
    table, default = _table()
    families = [name for name in table if model == name or model.startswith(f"{name}-")]
    return table[max(families, key=len)] if families else default


@cache
def _table() -> tuple[dict[str, Price], Price]:
    data = tomllib.loads(TABLE.read_text("utf-8"))
    return {name: _price(name, row) for name, row in data["models"].items()}, _price("default", data["default"])


def _price(family: str, row: dict[str, float]) -> Price:
    usual = row["input"]
    write = row.get("cache_write", usual)
    return Price(
        family=family,
        input=usual,
        output=row["output"],
        cache_read=row.get("cache_read", usual),
        cache_write=write,
        cache_write_1h=row.get("cache_write_1h", write),
    )
