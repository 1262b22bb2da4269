"""What a request costs, in nanodollars: whole numbers, so that sums are exact in any order.

Prices are data of the `genai-prices` package, read offline, by the day of the request; a file of one's own comes before them.
A model that nobody knows a price for has none: it is not free.
"""

from __future__ import annotations

import functools
import hashlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from headroom.errors import SettingsError
from headroom.outcome import Usage

NANO = 1_000_000_000  # nanodollars in a dollar
_PER = 1_000_000  # tokens that a price is for
BESIDE = frozenset({"anthropic"})  # dialects that count cached tokens beside `input_tokens`, not in it
_NAMES = 1000  # names whose price is remembered: callers choose them

Steps = tuple[tuple[int, Decimal], ...]  # dollars per million tokens for prompts of more tokens than the first figure, ascending


@dataclass(frozen=True, slots=True)
class Prompt:
    """Input tokens by what was billed for them; the sum is the whole prompt. May be negative in a difference."""

    plain: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0

    @property
    def tokens(self) -> int:
        return self.plain + self.read + self.write_5m + self.write_1h

    def __add__(self, more: Prompt) -> Prompt:
        return Prompt(self.plain + more.plain, self.read + more.read, self.write_5m + more.write_5m, self.write_1h + more.write_1h)

    def __sub__(self, less: Prompt) -> Prompt:
        """What is left, never less than nothing of each."""
        pairs = ((self.plain, less.plain), (self.read, less.read), (self.write_5m, less.write_5m), (self.write_1h, less.write_1h))
        return Prompt(*(max(0, one - other) for one, other in pairs))


NOTHING = Prompt()


def prompt_of(dialect: str, usage: Usage) -> Prompt:
    """How the prompt was billed, as an answer of this dialect says it; what it did not say is 0."""
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    hour = min(written, usage.cache_write_1h_tokens or 0)
    plain = usage.input_tokens or 0
    if dialect not in BESIDE:
        plain = max(0, plain - read - written)
    return Prompt(plain, read, written - hour, hour)


@dataclass(frozen=True, slots=True)
class Rates:
    """The prices of one model on one day."""

    plain: Steps
    output: Steps
    read: Steps
    write_5m: Steps
    write_1h: Steps

    def cost(self, prompt: Prompt, output: int = 0) -> int:
        """Nanodollars, rounded half up. The size of the whole prompt decides the price of every token."""
        size = prompt.tokens
        parts = (
            (self.plain, prompt.plain),
            (self.output, output),
            (self.read, prompt.read),
            (self.write_5m, prompt.write_5m),
            (self.write_1h, prompt.write_1h),
        )
        total = sum((_at(steps, size) * tokens for steps, tokens in parts), Decimal(0))
        return math.floor(total * NANO / _PER + Decimal("0.5"))


def _at(steps: Steps, size: int) -> Decimal:
    return next((price for above, price in reversed(steps) if size > above), steps[0][1])


class OwnPrice(BaseModel):
    """One model in a price file: dollars per million tokens. What is not said of a cache costs as much as input."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    cache_read: Decimal | None = Field(None, ge=0)
    cache_write: Decimal | None = Field(None, ge=0)
    cache_write_1h: Decimal | None = Field(None, ge=0)

    @property
    def rates(self) -> Rates:
        write = self.input if self.cache_write is None else self.cache_write
        hour = write if self.cache_write_1h is None else self.cache_write_1h
        read = self.input if self.cache_read is None else self.cache_read
        return Rates(*(((0, price),) for price in (self.input, self.output, read, write, hour)))


_FILE = TypeAdapter(dict[str, OwnPrice])


class Prices:
    """Prices of models by name; those of a file of one's own first. Raises SettingsError for a file that is none.

    `version` names the data that costs were computed with.
    """

    def __init__(self, own: Path | None = None) -> None:
        raw = _read(own) if own else b""
        self._own = {name.lower(): price.rates for name, price in _parsed(own, raw).items()} if own else {}
        self._rates = functools.lru_cache(_NAMES)(self._find)
        self.version = f"genai-prices {version('genai-prices')}"
        if own:
            self.version += f" + {own.name} {hashlib.sha256(raw).hexdigest()[:8]}"

    def rates(self, provider: str, model: str, at: float | None = None) -> Rates | None:
        """The prices at a time (Unix seconds, now without one), None when nobody knows them."""
        day = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
        return self._rates(provider, model[:200].lower(), day.date())

    def cost(self, provider: str, model: str, usage: Usage, at: float | None = None, *, dialect: str = "") -> int | None:
        """Nanodollars for what was billed, None when nobody knows the model's price; the dialect is the provider's own without one."""
        rates = self.rates(provider, model, at)
        return None if rates is None else rates.cost(prompt_of(dialect or provider, usage), usage.output_tokens or 0)

    def _find(self, provider: str, model: str, day: Any) -> Rates | None:
        from genai_prices.data_snapshot import get_snapshot

        if known := self._own.get(model):
            return known
        if not model:
            return None
        try:
            _, found = get_snapshot().find_provider_model(model, None, provider, None)
        except LookupError:
            return None
        price = found.get_prices(datetime.combine(day, time(12), UTC))
        plain, output = _steps(price.input_mtok), _steps(price.output_mtok)
        if not plain or not output:
            return None
        write = _steps(price.cache_write_mtok) or plain
        return Rates(plain, output, _steps(price.cache_read_mtok) or plain, write, _steps(price.cache_write_1h_mtok) or write)


def _steps(price: Any) -> Steps:
    if price is None:
        return ()
    if isinstance(price, Decimal):
        return ((0, price),)
    return ((0, price.base), *((tier.start, tier.price) for tier in price.tiers))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as failure:
        raise SettingsError(f"stats.prices: {file} cannot be read: {failure.strerror}.") from None


def _parsed(file: Path, raw: bytes) -> Mapping[str, OwnPrice]:
    """TOML or YAML: the name of a model, then its prices."""
    try:
        return _FILE.validate_python(tomllib.loads(raw.decode()) if file.suffix == ".toml" else _yaml(raw))
    except ValidationError as failure:
        raise SettingsError(f"stats.prices: {file}: {_first(failure.errors())}") from None
    except ValueError as failure:
        raise SettingsError(f"stats.prices: {file} is not valid: {failure}") from None


def _yaml(raw: bytes) -> Any:
    import yaml

    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError as failure:
        raise ValueError(str(failure)) from None


def _first(errors: Sequence[Any]) -> str:
    return f"{'.'.join(map(str, errors[0]['loc']))}: {errors[0]['msg']}"


@functools.cache
def bundled() -> Prices:
    """The package's own prices."""
    return Prices()


def cost(provider: str, model: str, usage: Usage) -> int | None:
    """Nanodollars for what was billed at the package's own prices of today, None when nobody knows the model's price."""
    return bundled().cost(provider, model, usage)


def nano(dollars: float) -> int:
    """Dollars as a person writes them, in nanodollars."""
    return int(Decimal(str(dollars)) * NANO)


def dollars(amount: int) -> float:
    """Nanodollars as dollars."""
    return amount / NANO
