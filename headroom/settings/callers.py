"""The sections about callers: who they are, and what they may use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from headroom.grants import MOST, Allowance, Grant, Lost, Name, Period, Variable
from headroom.settings.parts import Section, field, structured


class AccessSettings(Section):
    callers: Literal["auto", "open", "credential", "keys"] = field(
        "auto",
        "open: one owner of everything; credential: each provider credential reads only its own originals; keys: a key of "
        "`headroom keys` (or a token) is wanted; auto: keys where `limits.keys` or "
        "`access.jwt_keys` is given, else open on loopback, credential elsewhere",
        env="HEADROOM_CALLERS",
        flag="--callers",
    )
    admin_key: str = field(
        "",
        "key for operators: /stats and /metrics where callers are told apart, and the keys of callers",
        env="HEADROOM_ADMIN_KEY",
        repr=False,
    )
    jwt_keys: str = field("", "URL or file of the identity provider's keys (JWKS): its tokens do instead of keys", env="HEADROOM_JWT_KEYS")
    jwt_issuer: str = field("", "issuer that a token must name", env="HEADROOM_JWT_ISSUER")
    jwt_audience: str = field("", "audience that a token must name", env="HEADROOM_JWT_AUDIENCE")
    jwt_user_claim: str = field("sub", "claim of a token that says who", env="HEADROOM_JWT_USER_CLAIM", min_length=1)
    jwt_team_claim: str = field("team", "claim of a token that names a team", env="HEADROOM_JWT_TEAM_CLAIM", min_length=1)


class LimitsSettings(Section):
    rate_limit: bool = field(
        True, "--no-rate-limit counts no requests and tokens a minute", env="HEADROOM_RATE_LIMIT", flag="--rate-limit/--no-rate-limit"
    )
    rpm: int = field(600, "requests in any 60 seconds, per caller, over all processes", env="HEADROOM_RPM", flag="--rpm", ge=1, le=MOST)
    tpm: int | None = field(
        None, "tokens in any 60 seconds, per caller; unlimited when empty", env="HEADROOM_TPM", flag="--tpm", ge=1, le=MOST
    )
    budget: float | None = field(
        None, "dollars that all callers together may spend in a period", env="HEADROOM_BUDGET", flag="--budget", gt=0, le=1e9
    )
    budget_period: Period = field("daily", "when budgets begin anew (UTC)", env="HEADROOM_BUDGET_PERIOD", flag="--budget-period")
    rate_when_lost: Lost = field(
        "open", "requests pass (open) or are refused (closed) while the store that counts them is lost", env="HEADROOM_RATE_WHEN_LOST"
    )
    budget_when_lost: Lost = field(
        "open", "the same for budgets; what is spent meanwhile is counted when the store is back", env="HEADROOM_BUDGET_WHEN_LOST"
    )
    reserve_output_tokens: int = field(
        4096,
        "output tokens that a request reserves of a budget, if it does not ask for fewer",
        env="HEADROOM_RESERVE_OUTPUT_TOKENS",
        ge=0,
        le=1_000_000_000,
    )
    alert_webhook: str = field(
        "",
        "URL that is told when 50, 80 and 100 % of a budget are spent",
        env="HEADROOM_ALERT_WEBHOOK",
        pattern=r"^($|https?://.)",
        repr=False,
    )
    keys: Annotated[Path | tuple[Grant, ...] | None, BeforeValidator(structured)] = field(
        None, "keys of callers by their hashes: a TOML file with `[[keys]]` and `[teams.NAME]`, or a list", env="HEADROOM_KEYS"
    )
    teams: Annotated[Path | dict[Name, Allowance] | None, BeforeValidator(structured)] = field(
        None, "allowances of teams: a TOML file with `[teams.NAME]`, or a mapping", env="HEADROOM_TEAMS"
    )
    anthropic_key: Variable = field(
        "ANTHROPIC_API_KEY", "variable with the Anthropic credential for keys that name none", env="HEADROOM_ANTHROPIC_KEY"
    )
    openai_key: Variable = field("OPENAI_API_KEY", "variable with the OpenAI credential for keys that name none", env="HEADROOM_OPENAI_KEY")
