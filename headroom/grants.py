"""What a caller may do, as data: the allowance of anybody, the allowance of a team, the grant behind a key.

Plain frozen values that pydantic checks when they come from a file or over HTTP; an unknown name is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

Period = Literal["hourly", "daily", "monthly"]
Lost = Literal["open", "closed"]  # what a limit does when the store that counts is lost
Name = Annotated[str, Field(pattern=r"^[\w.@+-]{0,100}$")]
Variable = Annotated[str, Field(pattern=r"^([A-Z_][A-Z0-9_]*)?$", max_length=200)]
Patterns = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=100)]
MOST = 10**12  # of anything that is counted: a store keeps its sums in 64 bits
Count = Annotated[int, Field(ge=1, le=MOST)] | None
Dollars = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None
Moment = Annotated[float, Field(ge=0, le=253_402_300_799, allow_inf_nan=False)]  # to the end of the year 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """`rpm` and `tpm` are requests and tokens in any 60 seconds, `budget_usd` dollars in a calendar period (UTC); None sets no limit."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    rpm: Count = None
    tpm: Count = None
    budget_usd: Dollars = None
    budget_period: Period = "daily"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(Allowance):
    """What one virtual key may do. `hash` is the SHA-256 of the key in hex; the key itself is kept nowhere.

    `models` and `routes` are patterns (`claude-*`, `/v1/messages`), empty for all. `anthropic_key` and `openai_key` name
    the environment variables that hold the providers' credentials. What is stored belongs to the `share`: this
    key, its user or its team. `expires` is a time in seconds since 1970, 0 for never.
    """

    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    name: Name = ""
    user: Name = ""
    team: Name = ""
    models: Patterns = ()
    routes: Patterns = ()
    anthropic_key: Variable = ""
    openai_key: Variable = ""
    share: Literal["key", "user", "team"] = "key"
    created: Moment = 0.0
    expires: Moment = 0.0
    revoked: bool = False

    @property
    def id(self) -> str:
        """What a key is called where people and logs see it."""
        return f"key_{self.hash[:12]}"
