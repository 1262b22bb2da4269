"""What one request cost, and what it would have cost without us.

Counterfactual, method `position`: the tokens that were taken out are priced as the provider billed the part of the prompt they
stood in. It bills a prompt from its beginning: first what it read from its cache, then what it wrote to it (the longer lifetime
first), then the rest. So what was taken out of the cached prefix saves the price of a cache read and nothing more, and what was
added costs. The tokens taken out are our own count, the billed ones the provider's; they are not scaled to each other.
The size of a whole prompt can change its price: both totals are priced by their own size.

Where the model read something back, the further requests are part of the cost. Without us there would have been one: the first
prompt with what was taken out of it, and the last answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headroom.outcome import Outcome, Usage
from headroom.stats.prices import NOTHING, Prices, Prompt, prompt_of
from headroom.stats.usual import Usual

Method = Literal["billed", "estimated", "unpriced", "not_billed"]
POSITION = "position"
_CLIENT_CLOSED = 499


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanodollars, None where the model's price is not known. `input` is the prompts' part of the cost, `cache_saved` what the
    provider's own cache saved on them, what writing it cost taken off; `retrieval` what the requests beyond a single one cost;
    `shadow_saved` what would have been saved had the request not been forwarded as it came.

    `method`: `billed` by the provider's own usage; `estimated` from our count of the prompt, because the provider gave no usage or
    the client left before it; `unpriced`, nobody knows the price; `not_billed`, the provider refused, failed or was never asked.
    """

    method: Method
    cost: int | None = 0
    counterfactual: int | None = 0
    taken: Prompt = NOTHING
    input: int | None = 0
    cache_saved: int | None = 0
    retrieval: int | None = 0
    shadow_saved: int | None = 0

    @property
    def saved(self) -> int | None:
        """Counterfactual less cost: negative when we made the request dearer."""
        return None if self.cost is None or self.counterfactual is None else self.counterfactual - self.cost


def cost_of(outcome: Outcome, prices: Prices, usual: Usual | None = None) -> Cost:
    """The cost of an outcome at the prices of its day; where nobody billed it, by what is `usual`."""
    rounds = [usage for usage in outcome.billed if _says_something(usage)]
    usual = usual or Usual()
    answered = usual.answer(outcome)
    if not rounds:
        if not (outcome.sent and (200 <= outcome.status < 300 or outcome.status == _CLIENT_CLOSED)):
            return Cost("not_billed")
        return _estimated(outcome, prices, usual, answered)
    prompts = [prompt_of(outcome.dialect, usage) for usage in rounds]
    taken = taken_out(outcome.taken, prompts[0])
    rates = prices.rates(outcome.provider, outcome.model, outcome.timestamp)
    if rates is None:
        return Cost("unpriced", None, None, taken, None, None, None, None)
    outputs = [usage.output_tokens or 0 for usage in rounds]
    outputs[-1] = max(outputs[-1], answered)
    total = sum(rates.cost(prompt, output) for prompt, output in zip(prompts, outputs, strict=True))
    return Cost(
        "billed",
        total,
        rates.cost(prompts[0] + taken, outputs[-1]),
        taken,
        sum(map(rates.cost, prompts)),
        sum(rates.cost(Prompt(prompt.tokens)) - rates.cost(prompt) for prompt in prompts),
        total - rates.cost(prompts[0], outputs[-1]),
        rates.cost(prompts[0]) - rates.cost(prompts[0] - taken_out(outcome.shadow_taken, prompts[0])),
    )


def _estimated(outcome: Outcome, prices: Prices, usual: Usual, answered: int) -> Cost:
    """By our own count: of the prompt at its usual price, else the plain one, and of what was answered until it ended."""
    prompt = Prompt(max(0, outcome.tokens_after))
    taken = taken_out(outcome.taken, prompt)
    rates = prices.rates(outcome.provider, outcome.model, outcome.timestamp)
    if rates is None:
        return Cost("unpriced", None, None, taken, None, None, None, None)
    plain, output = rates.cost(prompt), rates.cost(NOTHING, answered)
    shadow = rates.cost(prompt) - rates.cost(prompt - taken_out(outcome.shadow_taken, prompt))
    each = usual.prompt(outcome)
    if each is None:
        return Cost("estimated", plain + output, rates.cost(prompt + taken, answered), taken, plain, 0, 0, shadow)
    paid, without = round(each * prompt.tokens), round(each * (prompt + taken).tokens)
    return Cost("estimated", paid + output, without + output, taken, paid, plain - paid, 0, shadow * paid // plain if plain else 0)


def _says_something(usage: Usage) -> bool:
    return any((usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens))


def taken_out(taken: tuple[tuple[float, int], ...], prompt: Prompt) -> Prompt:
    """The tokens taken out, by what the provider billed for the part of the prompt each stood in."""
    read = written_1h = written_5m = plain = 0
    for share, tokens in taken:
        place = share * prompt.tokens
        if place < prompt.read:
            read += tokens
        elif place < prompt.read + prompt.write_1h:
            written_1h += tokens
        elif place < prompt.read + prompt.write_1h + prompt.write_5m:
            written_5m += tokens
        else:
            plain += tokens
    return Prompt(plain, read, written_5m, written_1h)
