"""What is known about a request so far. One is made per request; at its end it becomes the Outcome."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from headroom.backends.base import HeaderList
from headroom.dialects import Dialect
from headroom.model import Caller, Compressed, Fidelity
from headroom.outcome import Outcome, Usage
from headroom.policies import Treatment
from headroom.proxy.admission import ANONYMOUS, Ticket
from headroom.proxy.relay import Meter
from headroom.proxy.routing import Way


@dataclass
class Trace:
    """What is known about a request so far; becomes its Outcome."""

    dialect: Dialect
    treatment: Treatment
    request_id: str
    began: float = field(default_factory=time.perf_counter)
    model: str = ""
    stream: bool = False
    status: int = 0
    complete: bool = False
    chars: int = 0
    results: Sequence[Compressed] = ()
    left_out: int = 0  # tokens that the conversation lost because it outgrew the model
    skip_reason: str = ""
    error: str = ""
    overhead_ms: float = 0.0
    ttfb_ms: float | None = None
    billed: list[Usage] = field(default_factory=list)  # one per answer of the provider
    tags: tuple[tuple[str, str], ...] = ()
    route: str = ""
    client: str = ""
    caller: Caller = ANONYMOUS
    conversation: str = ""
    turns: int = 0
    sent: bool = False
    taken: tuple[tuple[float, int], ...] = ()
    degraded: tuple[tuple[str, str], ...] = ()
    offer_from: int | None = None  # tokens to leave out before the model is offered the retrieve tool; None: never
    rounds: int = 0
    retrievals: int = 0
    ticket: Ticket | None = None
    retrieved: list[str] = field(default_factory=list)  # of each original that was read back, what had cut it
    cut_by: str = ""  # the label of a conversation that outgrew its model
    arm: str = ""
    came: int = 0  # characters of the prompt
    said: int = 0  # characters of an answer that was cut before it told its usage
    answered: int = 0  # characters of streams that told it
    waste: tuple[tuple[str, int], ...] = ()
    way: Way | None = None  # to a backend, as far as it was gone
    cache: str = ""  # exact or semantic, when the answer is one of before
    similarity: float | None = None  # of the question it was given to, when that was another one

    @property
    def mode(self) -> Fidelity:
        """The fidelity that holds; `off` forwards the request untouched."""
        return "off" if self.treatment.mode == "off" else self.treatment.policy.fidelity

    @property
    def shadow(self) -> bool:
        """Whether the request is compressed to see what comes of it, and forwarded as it came."""
        return self.treatment.mode == "shadow" and self.mode != "off"

    @property
    def usage(self) -> Usage:
        """What all answers together were billed."""
        return functools.reduce(Usage.plus, self.billed, Usage())

    def tokens_before(self) -> int:
        """Exact for the segments that were looked at, a quarter of the characters for the rest."""
        looked_at = [result for result in self.results if result.tokens_before]
        return self.chars // 4 + sum(result.tokens_before for result in looked_at)

    def found(self) -> int:
        """Tokens that compression saves, or in the shadow would."""
        return min(self.tokens_before(), sum(result.tokens_saved for result in self.results) + self.left_out)

    def tokens_after(self) -> int:
        return self.tokens_before() - (0 if self.shadow else self.found())

    def transforms(self) -> tuple[str, ...]:
        return tuple(self._named(result.label) for result in self.results if result.text is not None)

    def _named(self, transform: str) -> str:
        """What was done only to see what comes of it is counted apart."""
        return f"shadow_{transform.removeprefix('router:')}" if self.shadow else transform

    def _taken(self) -> tuple[tuple[float, int], ...]:
        """All tokens saved by their place; those without one stand in front, where caches read, so that no saving is overstated."""
        rest = self.found() - sum(tokens for _, tokens in self.taken)
        return (*self.taken, (0.0, rest)) if rest else self.taken

    def outcome(self) -> Outcome:
        named, grant = dict(self.tags), self.caller.grant
        return Outcome(
            request_id=self.request_id,
            timestamp=time.time(),
            dialect=self.dialect.name,
            provider=self.way.backend.kind if self.way else self.dialect.provider,
            model=self.way.backend.billed(self.model) if self.way else self.model,
            mode=self.mode,
            status=self.status,
            stream=self.stream,
            tokens_before=self.tokens_before(),
            tokens_after=self.tokens_after(),
            transforms=self.transforms(),
            transform_ms=tuple((self._named(result.transform), result.ms) for result in self.results if result.ms and result.transform),
            reasons=tuple(result.reason for result in self.results if result.reason),
            skip_reason=self.skip_reason,
            overhead_ms=self.overhead_ms,
            ttfb_ms=self.ttfb_ms,
            total_ms=1000 * (time.perf_counter() - self.began),
            usage=self.usage,
            tags=self.tags,
            error=self.error,
            rounds=self.rounds,
            retrievals=self.retrievals,
            billed=tuple(self.billed),
            route=self.route,
            client=self.client,
            caller=self.caller.scope,
            team=grant.team if grant else named.get("team", ""),
            user=grant.user if grant else named.get("user", ""),
            conversation=self.conversation,
            turns=self.turns,
            sent=self.sent,
            taken=() if self.shadow else self._taken(),
            transform_tokens=()
            if self.shadow
            else tuple((result.transform, result.tokens_saved) for result in self.results if result.text is not None),
            shadow=self.shadow,
            shadow_tokens_saved=self.found() if self.shadow else 0,
            shadow_taken=self._taken() if self.shadow else (),
            policy=self.treatment.rule,
            policy_version=self.treatment.version,
            degraded=(*self.degraded, *(self.way.passed if self.way else ())),
            cache_hit=self.cache,
            arm=self.arm,
            chars=self.came,
            said=self.said,
            answered=self.answered,
            tokens_guessed=self.chars // 4,
            retrieved=tuple(self.retrieved),
            waste=self.waste,
            translated=self.way.translated if self.way else "",
        )

    def ended(self, meter: Meter, *, cut: bool) -> None:
        """Note what an answer was billed; of one that told nothing of its output, or was cut before it could, what was seen of it."""
        usage = meter.finish()
        self.billed.append(usage)
        if cut or usage.output_tokens is None:
            self.said += meter.said
        else:
            self.answered += meter.said

    def cut_what(self, hash: str) -> str:
        """The transform that left an original out: of this request, or of an earlier one that is not told any more."""
        return next((result.transform for result in self.results if result.hash == hash), self.cut_by or "earlier")

    def headers(self) -> HeaderList:
        """What our response headers say; all values are ours, none comes from a request."""
        before, found = self.tokens_before(), self.found()
        after = before - (0 if self.shadow else found)
        values = {
            "request-id": self.request_id,
            "tokens-before": before,
            "tokens-after": after,
            "tokens-saved": before - after,
            "transforms": ",".join(dict.fromkeys(self.transforms()))[:1000],
            "skip-reason": self.skip_reason,
            "overhead-ms": f"{self.overhead_ms:.1f}",
            "translated": self.way.translated if self.way else "",
            "cache": f"hit-{self.cache}" if self.cache else "miss",
            "policy": f"{self.treatment.rule or 'default'}@{self.treatment.version}" if self.treatment.version else "",
            "shadow-tokens-saved": found if self.shadow else "",
            "cache-similarity": "" if self.similarity is None else f"{self.similarity:.4f}",
        }
        return [(f"x-headroom-{name}".encode(), str(value).encode("latin-1")) for name, value in values.items() if value != ""]
