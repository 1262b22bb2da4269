"""What happened to one request, and what the provider billed for it. Frozen values, no behaviour that does I/O."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider billed them; None where it said nothing.

    `cache_write_1h_tokens` are those of `cache_write_tokens` that live an hour.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None

    def merge(self, later: Usage) -> Usage:
        """Later figures win where they are given (Anthropic sends input first, output last)."""

        def pick(new: int | None, old: int | None) -> int | None:
            return old if new is None else new

        return Usage(
            pick(later.input_tokens, self.input_tokens),
            pick(later.output_tokens, self.output_tokens),
            pick(later.cache_read_tokens, self.cache_read_tokens),
            pick(later.cache_write_tokens, self.cache_write_tokens),
            pick(later.cache_write_1h_tokens, self.cache_write_1h_tokens),
        )

    def plus(self, other: Usage) -> Usage:
        """What two requests were billed together."""

        def add(one: int | None, two: int | None) -> int | None:
            return two if one is None else one + (two or 0)

        return Usage(
            add(self.input_tokens, other.input_tokens),
            add(self.output_tokens, other.output_tokens),
            add(self.cache_read_tokens, other.cache_read_tokens),
            add(self.cache_write_tokens, other.cache_write_tokens),
            add(self.cache_write_1h_tokens, other.cache_write_1h_tokens),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one request. Built at one site, in the exchange's `finally`.

    `rounds` are the further requests that one answer took because the model read something back,
    `retrievals` how often it did; `usage` covers all of them.
    `taken` are the tokens that were left out or, negative, added, each with its place in the forwarded prompt: 0 is its
    beginning, 1 its end. `transform_tokens` are the same by transform. `sent` says that the provider may have the request.
    `tokens_guessed` are those of `tokens_before` that were not counted but are a quarter of their characters.
    `conversation` is the same for all turns of one, `caller` a keyed hash; `arm` is `holdout` for one that is left alone to compare
    with, `treated` for the others meanwhile. `chars` are the characters of the prompt as it came, `said` those of an answer that ended
    without telling its usage, `answered` those of streams that told it, `retrieved` the transforms whose originals were read
    back, `waste` tokens by kind of the texts that were new. `billed` is the usage of each of the requests that `usage` covers.
    `cache_hit` is exact or semantic for an answer given before, for which nothing was billed.
    `shadow` says that the request was compressed and forwarded as it came: what that would have saved is in
    `shadow_tokens_saved` and `shadow_taken`, no saving is counted. `policy` is the rule that held, empty for none, in the
    policies of `policy_version`. `translated` says from which API to which (`anthropic>openai`), where the backend speaks another one.
    """

    request_id: str
    timestamp: float
    dialect: str
    provider: str
    model: str
    mode: str
    status: int
    stream: bool
    tokens_before: int
    tokens_after: int
    transforms: tuple[str, ...] = ()
    transform_ms: tuple[tuple[str, float], ...] = ()
    reasons: tuple[str, ...] = ()
    skip_reason: str = ""
    overhead_ms: float = 0.0
    ttfb_ms: float | None = None
    total_ms: float = 0.0
    usage: Usage = field(default_factory=Usage)
    tags: tuple[tuple[str, str], ...] = ()
    error: str = ""
    rounds: int = 0
    retrievals: int = 0
    billed: tuple[Usage, ...] = ()
    route: str = ""
    client: str = ""
    caller: str = ""
    team: str = ""
    user: str = ""
    conversation: str = ""
    turns: int = 0
    sent: bool = False
    arm: str = ""
    chars: int = 0
    said: int = 0
    answered: int = 0
    tokens_guessed: int = 0
    shadow: bool = False
    shadow_tokens_saved: int = 0
    shadow_taken: tuple[tuple[float, int], ...] = ()
    policy: str = ""
    policy_version: str = ""
    cache_hit: str = ""
    taken: tuple[tuple[float, int], ...] = ()
    transform_tokens: tuple[tuple[str, int], ...] = ()
    degraded: tuple[tuple[str, str], ...] = ()
    retrieved: tuple[str, ...] = ()
    waste: tuple[tuple[str, int], ...] = ()
    translated: str = ""

    @property
    def tokens_saved(self) -> int:
        return self.tokens_before - self.tokens_after
