"""A stats folder as a company of five teams fills it, for trying the notebooks and the dashboard without traffic of one's own.

    python -m notebooks.sample_data FOLDER [--requests 40000] [--days 365] [--seed 7]

Conversations of agents: prompts grow turn by turn, the provider's cache holds what came before unless the pause was too long, tool outputs
are compressed, and now and then a model reads something back. Rows, prices, costs and files are made by Headroom's own code.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from headroom.outcome import Outcome, Usage
from headroom.stats import rollups
from headroom.stats.arrow import ROWS
from headroom.stats.parquet import Folder
from headroom.stats.places import Places
from headroom.stats.prices import bundled
from headroom.stats.rows import Row, row_of
from headroom.stats.series import SERIES, begin_of, day_of
from headroom.stats.summary import Summary, brief, labels_of, newest, replace
from headroom.stats.sums import Group, aggregate, groups_of, rollup_of
from headroom.stats.tally import HOUR_US, Tally, total_of

SONNET, OPUS, HAIKU = ("anthropic", "claude-sonnet-4-5"), ("anthropic", "claude-opus-4-5"), ("anthropic", "claude-haiku-4-5")
GPT, MINI, OWN = ("openai", "gpt-5"), ("openai", "gpt-5-mini"), ("openai", "llama-3.3-70b-inhouse")
# team: share of the conversations, people, share of each model, share of each client, tools by how often they are called
TEAMS = {
    "platform": (0.34, 9, {SONNET: 6, OPUS: 3, HAIKU: 1}, {"claude-cli": 8, "codex": 2}, {"log": 5, "code": 4, "search": 4, "diff": 3}),
    "search": (0.22, 6, {SONNET: 5, GPT: 3, MINI: 2}, {"claude-cli": 4, "aider": 3, "openai": 3}, {"json_rows": 5, "search": 4, "code": 3}),
    "payments": (0.17, 5, {SONNET: 7, HAIKU: 3}, {"claude-cli": 7, "anthropic": 3}, {"json_rows": 6, "log": 4, "table": 2}),
    "data-science": (0.15, 4, {GPT: 5, OPUS: 2, OWN: 3}, {"openai": 6, "litellm": 4}, {"table": 6, "json_rows": 4, "prose": 2}),
    "support": (0.12, 8, {HAIKU: 5, MINI: 5}, {"litellm": 6, "openai": 4}, {"html": 5, "prose": 5, "json_rows": 3}),
}
# transform: median tokens of a text, share that is left out, milliseconds per thousand tokens
TRANSFORMS = {
    "log": (5200, 0.74, 1.6),
    "json_rows": (4400, 0.68, 2.2),
    "search": (2600, 0.52, 1.1),
    "table": (3600, 0.6, 1.4),
    "html": (5800, 0.63, 2.8),
    "diff": (2100, 0.34, 1.2),
    "code": (3000, 0.27, 3.4),
    "prose": (1900, 0.22, 2.0),
}
WINDOW = 180_000
HELD_OUT = 0.05  # of the conversations
Text = tuple[str, int, int, float]  # transform, tokens, tokens left out, ms


def conversation(draw: random.Random, number: int, start: float, growth: float) -> Iterator[Outcome]:
    """The requests of one conversation of an agent; `growth` (0 to 1) is how far the organisation has come."""
    team = draw.choices(list(TEAMS), [share for share, *_ in TEAMS.values()])[0]
    _, people, models, clients, tools = TEAMS[team]
    (provider, model), client = _pick(draw, models), _pick(draw, clients)
    user = f"{team[:2]}-{draw.randrange(people):02}"
    at, prompt, prior, taken = start, round(draw.lognormvariate(9.1, 0.5)), 0, 0
    seen: list[Text] = []
    name = hashlib.sha256(f"{number}".encode()).hexdigest()[:32]
    arm = "holdout" if draw.random() < HELD_OUT else "treated"
    shape = {"provider": provider, "model": model, "client": client, "team": team, "user": user, "conversation": name, "arm": arm}
    for turn in range(1, 2 + min(60, round(draw.expovariate(1 / 11)))):
        pause = draw.lognormvariate(3.4, 1.0)
        at += pause
        added, fresh = round(draw.lognormvariate(6.2, 0.7)), _texts(draw, tools, growth if arm == "treated" else None)
        prompt += added + sum(size for _, size, _, _ in fresh)
        cut = sum(saved for _, _, saved, _ in fresh)
        if prompt > WINDOW:
            return
        seen += fresh
        yield _request(draw, shape, f"{number:06}-{turn:03}", at, turn, prompt, taken, cut, fresh, seen, prior, pause)
        taken += cut
        prior = prompt - taken


def _texts(draw: random.Random, tools: dict[str, int], growth: float | None) -> list[Text]:
    """The tool outputs of a turn; nothing is left out of small ones, and without `growth` of none."""
    found = []
    for _ in range(draw.choices((0, 1, 2, 3), (3, 6, 2, 1))[0]):
        name = _pick(draw, tools)
        median, share, cost = TRANSFORMS[name]
        size = min(60_000, round(draw.lognormvariate(math.log(median), 0.9)))
        left_out = size * share * draw.triangular(0.5, 1.25, 1.0) * (0.86 + 0.14 * (growth or 0))
        saved = 0 if growth is None or size < 150 or draw.random() < 0.12 else round(left_out)
        found.append((name, size, min(saved, size - 20) if saved else 0, 0.4 + cost * size / 1000 * draw.lognormvariate(0, 0.4)))
    return found


def _request(
    draw: random.Random,
    shape: dict[str, str],
    request_id: str,
    at: float,
    turn: int,
    prompt: int,
    taken: int,
    cut: int,
    fresh: list[Text],
    seen: list[Text],
    prior: int,
    pause: float,
) -> Outcome:
    sent = prompt - taken - cut
    status = draw.choices((200, 429, 529, 499, 502), (968, 9, 7, 12, 4))[0]
    cached = draw.random() < (0.02 if turn == 1 else 0.002)
    output = round(draw.lognormvariate(5.6, 0.9))
    usage = _usage(draw, shape["provider"], sent, prior, pause, output)
    smaller = [(name, saved) for name, _, saved, _ in seen if saved]
    read_back = bool(smaller) and not cached and status == 200 and turn > 2 and draw.random() < 0.022
    retrieved = _retrieved(draw, smaller) if read_back else ()
    again = Usage(80, output // 3, sent, 400, 0) if shape["provider"] == "anthropic" else Usage(sent + 480, output // 3, sent, None, None)
    billed = () if cached or status not in (200, 499) else (usage, again) if read_back else (usage,)
    late = draw.random() < 0.003
    overhead = 1.1 + sum(spent for *_, spent in fresh) + draw.lognormvariate(-0.2, 0.8) + (3000 if late else 0)
    first = overhead + draw.lognormvariate(6.3, 0.45)
    where = 0.5 * prior / sent if sent else 0.0
    return Outcome(
        request_id=request_id,
        timestamp=at,
        dialect=shape["provider"],
        mode="reversible",
        status=status,
        stream=draw.random() < 0.9,
        tokens_before=prompt,
        tokens_after=sent,
        transforms=tuple(f"router:{name}:0.40" for name, _ in smaller),
        transform_ms=tuple((name, spent) for name, _, _, spent in fresh),
        transform_tokens=tuple(smaller),
        reasons=(*_kept_whole(seen), *(("compressor_deadline",) if late else ())),
        skip_reason="" if taken or cut else "holdout" if shape["arm"] == "holdout" else "nothing_to_compress",
        overhead_ms=overhead,
        ttfb_ms=first if status == 200 else None,
        total_ms=first + output * draw.triangular(9, 22, 13),
        usage=Usage() if not billed else usage.plus(again) if read_back else usage,
        billed=billed,
        rounds=1 if read_back else 0,
        retrievals=len(retrieved),
        retrieved=retrieved,
        chars=4 * prompt,
        turns=turn,
        sent=status not in (429, 502),
        cache_hit=draw.choice(("exact", "exact", "semantic")) if cached and status == 200 else "",
        taken=((where, taken), (0.97, cut)) if taken or cut else (),
        degraded=(("compressor", "deadline"),) if late else (("scorer", "starting"),) if draw.random() < 0.002 else (),
        route="/v1/messages" if shape["provider"] == "anthropic" else "/v1/chat/completions",
        caller=shape["user"],
        **shape,
    )


def _retrieved(draw: random.Random, smaller: list[tuple[str, int]]) -> tuple[str, ...]:
    """Of what was left out, what a model asked for: one thing, or two."""
    return tuple(draw.choices([name for name, _ in smaller], [saved for _, saved in smaller], k=draw.choice((1, 1, 2))))


def _kept_whole(seen: list[Text]) -> list[str]:
    """Why each text that did not become smaller did not."""
    whole = ((name, size) for name, size, saved, _ in seen if not saved)
    return ["too_small" if size < 800 else "error_result" if size % 3 == 0 else f"not_smaller:{name}" for name, size in whole]


def _usage(draw: random.Random, provider: str, sent: int, prior: int, pause: float, output: int) -> Usage:
    """What the provider bills: what it still has in its cache is read, the rest is written or plain."""
    held = prior if prior and pause < 280 and draw.random() > 0.012 else 0
    read = min(held, sent)
    if provider == "anthropic":
        plain = min(40, sent - read)
        return Usage(plain, output, read, sent - read - plain, 0)
    return Usage(sent, output, read // 128 * 128, None, None)


def _pick(draw: random.Random, weights: dict[object, int]) -> object:
    return draw.choices(list(weights), list(weights.values()))[0]


def outcomes(requests: int, days: float, end: float, seed: int = 7) -> list[Outcome]:
    """About so many requests up to `end` (Unix seconds), in the order of time: more by day than by night, and more every month."""
    draw = random.Random(seed)
    found: list[Outcome] = []
    number = 0
    while len(found) < requests:
        share = math.sqrt(draw.random())  # twice as many at the end as on average
        start = end - days * 86_400 * (1 - share)
        if days >= 2:
            moment = datetime.fromtimestamp(start, UTC)
            worked = moment.weekday() < 5 or draw.random() < 0.18
            hour = min(23.9, max(0.0, draw.gauss(13.5, 3.1)))
            start = moment.replace(hour=int(hour), minute=int(hour % 1 * 60)).timestamp()
            if not worked:
                continue
        found += [one for one in conversation(draw, number, start, share) if end - days * 86_400 <= one.timestamp < end]
        number += 1
    return sorted(found, key=lambda one: one.timestamp)[-requests:]


def write(folder: Path, made: list[Outcome], row_days: int = 30) -> None:
    """Parquet files and summary as a ledger leaves them: sums of everything, the rows of the last `row_days` days."""
    prices = bundled()
    rows = [row_of(outcome, prices) for outcome in made]
    table = pa.Table.from_pylist(rows, schema=ROWS)
    places, files = Places(folder, str(folder)), Folder(str(folder))
    places.journal.mkdir(parents=True, exist_ok=True)
    hourly = groups_of(aggregate(table))
    for series in SERIES:
        groups: dict[Group, Tally] = {}
        for (hour, dimensions), one in hourly.items():
            groups.setdefault((begin_of(series, hour), dimensions), Tally()).update(one)
        by_path: dict[str, dict[Group, Tally]] = {}
        for key, one in groups.items():
            by_path.setdefault(rollups.path_of(series, day_of(key[0])), {})[key] = one
        for path, part in by_path.items():
            files.write(path, rollup_of(part))
    _write_rows(files, rows, row_days)
    lifetime = total_of((dimensions, one) for (_, dimensions), one in hourly.items())
    replace(places.summary, asdict(Summary(dict(lifetime), {}, labels_of((), lifetime), newest(map(brief, rows[-50:])))))


def _write_rows(files: Folder, rows: list[Row], row_days: int) -> None:
    first = rows[-1]["timestamp"] - row_days * 24 * HOUR_US
    hours: dict[int, list[Row]] = {}
    for row in rows:
        if row["timestamp"] >= first:
            hours.setdefault(row["timestamp"] // HOUR_US * HOUR_US, []).append(row)
    for hour, found in hours.items():
        files.write(f"{rollups.partition(hour)}/sample.parquet", pa.Table.from_pylist(found, schema=ROWS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder; an existing one with files in it is refused")
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--days", type=float, default=365)
    parser.add_argument("--row-days", type=int, default=30, help="days whose single requests are kept, as stats.retention_days does")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    if asked.folder.exists() and any(asked.folder.iterdir()):
        parser.error(f"{asked.folder} is not empty: name a new folder, so that nothing real is mixed with what is made up")
    made = outcomes(asked.requests, asked.days, time.time(), asked.seed)
    write(asked.folder, made, asked.row_days)
    span = timedelta(seconds=round(made[-1].timestamp - made[0].timestamp))
    print(f"{len(made):,} requests over {span.days} days in {asked.folder}")


if __name__ == "__main__":
    main()
