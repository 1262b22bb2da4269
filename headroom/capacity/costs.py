"""What a request costs each tier: a table that `python -m benchmarks.capacity_costs` measured, part of the package; or another file.

CPU is in milliseconds of one core, for a request, for each megabyte of its body, and for each megabyte of text that is new in it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, ValidationError

from headroom.errors import HeadroomError


class CapacityError(HeadroomError):
    """A table of costs, a description of tiers or a load that cannot be used."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TierCost(_Table):
    """CPU of one deployment, and the resident memory of a replica."""

    ms: NonNegativeFloat
    ms_per_mb: NonNegativeFloat = 0.0
    ms_per_new_mb: NonNegativeFloat = 0.0
    replica_mb: NonNegativeFloat

    def seconds(self, body_mb: float, new_mb: float) -> float:
        """CPU seconds of one request."""
        return (self.ms + self.ms_per_mb * body_mb + self.ms_per_new_mb * new_mb) / 1000


class StoreCost(_Table):
    """Redis: commands and bytes that stay, for a request and for each megabyte of new text."""

    commands: NonNegativeFloat
    bytes: NonNegativeFloat
    bytes_per_new_mb: NonNegativeFloat
    commands_s: PositiveFloat  # that one server answers


class Costs(_Table):
    measured: str  # when, with what
    ingress: TierCost
    compressor: TierCost
    stats: TierCost
    store: StoreCost
    ledger_bytes: PositiveFloat  # of a request in the ledger's Parquet
    ray_mb: PositiveFloat = Field(description="resident memory of Ray on a node")
    start_s: PositiveFloat = Field(description="seconds until a new replica serves")


@cache
def read(path: Path | None = None) -> Costs:
    """The table of a file, or the one that was measured. Raises CapacityError."""
    try:
        text = path.read_text() if path else resources.files("headroom.capacity").joinpath("costs.json").read_text()
        return Costs.model_validate_json(text)
    except OSError as failure:
        raise CapacityError(f"{path}: cannot be read ({failure.strerror})") from None
    except ValidationError as failure:
        first = failure.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CapacityError(f"{path}: no table of costs: {where + ': ' if where else ''}{first['msg']}") from None
