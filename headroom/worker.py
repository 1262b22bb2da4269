"""The work behind the hop: the same function in a worker process of the proxy and in a Compressor replica.

What a result refers to is stored and committed before the result leaves here. If it cannot be
stored, the segment stays as it came. The first result remembered for a segment wins: a later one,
computed elsewhere or under other conditions, is replaced by it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from headroom import pipeline, tokens, waste
from headroom.ccr import messages, recall, retrieve
from headroom.context.choice import Outgrown, chosen
from headroom.context.fit import Fitted
from headroom.conversation import NOTHING
from headroom.errors import HeadroomError, StoreUnavailable
from headroom.learning import Learning
from headroom.model import Compressed, Job, JobResult, Original, Segment
from headroom.pipeline import Plan
from headroom.recent import Recent
from headroom.scoring.toin import Snapshot
from headroom.store.base import Store

_WASTE_CHARS = 4000  # of each text are looked through
_UNITS_CHARS = 64_000_000  # of units kept in memory between jobs, each once more in the text that is searched
_BY_LINE = frozenset(("code", "diff", "log", "search"))  # whose compressors' units are the lines
_NOUNS = {"log": "line", "search": "line", "diff": "line", "code": "line", "text": "line", "table": "row"}
STORE_UNAVAILABLE = "store_unavailable"  # the reason of a result whose original could not be stored
NOTHING_LEARNED = Snapshot()
_log = logging.getLogger(__name__)


class Worker:
    """Does jobs against one store, on any number of threads. Keeps the units of recent originals in memory.

    With `learning` it follows what was learned from earlier traffic, and adds to it. `ahead` says whether tokens are counted on a
    thread beside the work, which makes one job sooner done, and all jobs of a machine that has no processor to spare later.
    """

    def __init__(self, store: Store, vocabulary_dir: Path | None = None, learning: Learning | None = None, *, ahead: bool = True) -> None:
        self._store = store
        self._learning = learning
        self._vocabulary_dir = vocabulary_dir
        self._units = Recent[str, recall.Units](_UNITS_CHARS, weigh=lambda units: 2 * len(units.text))
        self._counting = ThreadPoolExecutor(thread_name_prefix="counting") if ahead else None

    def run(self, job: Job) -> JobResult:
        """Never raises over the store or a text."""
        looked_at = (segment.text for segment in job.segments if not pipeline.keep_reason(segment, job.policy))
        counter = tokens.Once(tokens.counter(job.model, self._vocabulary_dir), chain(looked_at, job.count), self._counting)
        segments = self._advised(job)
        plans = pipeline.plan(segments, job.policy)
        results = pipeline.apply(plans, job.policy, counter)
        for place, (plan, pruned) in enumerate(zip(plans, job.pruned, strict=False)):
            if pruned:
                results[place] = pipeline.prune(plan, results[place], pruned, counter)
        keys = job.keys or tuple(segment.memo_key(job.scope, job.policy) for segment in job.segments)
        _refer(job, keys, results, counter)
        counted = tuple(map(counter.count, job.count))
        if job.trial:
            return JobResult(tuple(results), counted)
        try:
            self._store.put_originals(job.scope, originals(job.segments, results))
        except StoreUnavailable as failure:
            _log.warning("originals could not be stored, segments stay as they came: %s", failure)
            kept = tuple(_kept(result, STORE_UNAVAILABLE) for result in results)
            return JobResult(kept, counted, tuple(Compressed(None) for item in job.recalls if item.known is None))
        compressed = self._first(keys, results)
        if self._learning and job.lineage and job.learn:
            self._learning.compressed(job.scope, segments, results)
        at_hand = {result.hash: plan for plan, result in zip(plans, compressed, strict=True) if result.text is not None}
        recalled = self._recall(job, dict(zip(keys, compressed, strict=True)), at_hand, counter)
        return JobResult(tuple(compressed), counted, tuple(recalled), waste_of(job.segments) if job.lineage else ())

    def cut(self, outgrown: Outgrown) -> Fitted:
        """What leaves a conversation. Its originals are stored and not sent back; where they cannot be, nothing leaves."""
        counter = tokens.Once(tokens.counter(outgrown.model, self._vocabulary_dir), (), self._counting)
        made = chosen(outgrown, self._learned(outgrown.scope, outgrown.lineage), counter.count)
        try:
            self._store.put_originals(outgrown.scope, made.originals)
        except StoreUnavailable as failure:
            _log.warning("originals could not be stored, nothing leaves: %s", failure)
            return Fitted(None, reason=STORE_UNAVAILABLE)
        return dataclasses.replace(made, originals=())

    def _advised(self, job: Job) -> tuple[Segment, ...]:
        """The segments of a job, each with what was learned about such outputs before the conversation began."""
        learned = self._learned(job.scope, job.lineage) if job.segments else NOTHING_LEARNED
        if not learned.advice:
            return job.segments
        return tuple(dataclasses.replace(segment, advice=learned.for_output(segment.tool, segment.text)) for segment in job.segments)

    def _learned(self, scope: str, lineage: str) -> Snapshot:
        return self._learning.advised(scope, lineage) if self._learning else NOTHING_LEARNED

    def _first(self, keys: Sequence[str], results: Sequence[Compressed]) -> list[Compressed]:
        """What stands in the store for these keys after ours were offered."""
        try:
            stands = self._store.put_results(dict(zip(keys, results, strict=True)))
        except StoreUnavailable as failure:
            _log.warning("results could not be remembered: %s", failure)
            return list(results)
        return [dataclasses.replace(stands.get(key, result), ms=result.ms) for key, result in zip(keys, results, strict=True)]

    def _recall(self, job: Job, fresh: Mapping[str, Compressed], at_hand: Mapping[str, Plan], counter: tokens.Counter) -> list[Compressed]:
        """The blocks of the turns that have none yet, each knowing those before it; `at_hand` are the job's own texts by hash."""
        open_turns = [item for item in job.recalls if item.known is None]
        if not open_turns:
            return []
        last = max(item.before for item in open_turns)
        sources = [
            (item.number, source)
            for item in job.sources
            if item.number < last and (source := self._source(job.scope, item.known or fresh.get(item.key), at_hand, item.name))
        ]
        shown: list[str] = []
        spent = 0
        found: list[Compressed] = []
        for item in job.recalls:
            block = item.known
            if block is None:
                before = [source for number, source in sources if number < item.before]
                most = item.most or recall.MAX_TOKENS
                text = recall.recall(item.query, before, shown, counter, spoken=item.spoken, spent=spent, most=most) if before else ""
                block = Compressed(text or None, "recall", tokens_after=counter.count(text) if text else 0)
                found.append(block)
            if block.text:
                shown.append(block.text)
                spent += counter.count(block.text)
        return self._first([item.key for item in open_turns], found)

    def _source(self, scope: str, result: Compressed | None, at_hand: Mapping[str, Plan], about: str) -> recall.Source | None:
        if result is None or not result.cut:
            return None
        units = self._units.get(result.hash)
        if units is None:
            plan = at_hand.get(result.hash)
            try:
                text = plan.segment.text if plan else self._store.get_original(scope, result.hash, count=False).text
            except HeadroomError as failure:
                _log.warning("an original is not searched: %s", failure)
                return None
            units = recall.Units(units_of(text, result.transform, plan))
            self._units.put({result.hash: units})
        return recall.Source(result.hash, units, result.text or "", result.tokens_saved, about)


def run(job: Job, store: Store, vocabulary_dir: Path | None = None) -> JobResult:
    """One job, nothing kept in memory."""
    return Worker(store, vocabulary_dir).run(job)


def waste_of(segments: Sequence[Segment]) -> tuple[tuple[str, int], ...]:
    """Tokens by kind, what there is none of left out; of a long text its beginning speaks for the whole."""
    found: Counter[str] = Counter()
    for segment in segments:
        sample = segment.text[:_WASTE_CHARS]
        found.update({kind: count * len(segment.text) // len(sample) for kind, count in waste.signals([sample]).items() if count})
    return tuple(sorted(found.items()))


def _refer(job: Job, keys: Sequence[str], results: list[Compressed], counter: tokens.Counter) -> None:
    """Replace results by references to what stands earlier in the conversation, where that is smaller."""
    places = {key: place for place, key in enumerate(keys)}
    sources = {source.number: source for source in job.sources}

    def earlier(number: int, names: Mapping[int, str]) -> pipeline.Earlier:
        source = sources[number]
        return pipeline.Earlier(names[number], source.known or results[places[source.key]] if source.key else NOTHING)

    for place, (segment, runs, state, names) in enumerate(zip(job.segments, job.repeats, job.states, job.names, strict=False)):
        if runs:
            results[place] = pipeline.refer(
                segment, results[place], runs, {run.source: earlier(run.source, names) for run in runs}, counter
            )
        if state is not None:
            results[place] = pipeline.revise(segment, results[place], sources[state].text, earlier(state, names), counter)


def units_of(text: str, transform: str, plan: Plan | None = None) -> list[recall.Unit]:
    """The pieces in which a cut text is searched: what its compressor counts, records for JSON.

    A `plan` that has taken the text apart for this transform spares the work.
    """
    if transform == "smart_crusher":
        return [recall.Unit(place, piece) for place, piece in retrieve.parts(text)]
    if transform == messages.TRANSFORM:
        return messages.parts(text)
    noun = _NOUNS.get(transform, "part")
    units: Sequence[str]
    if transform in _BY_LINE:
        units = text.split("\n")
    elif plan and plan.parsed and plan.compressor and plan.compressor.label == transform:
        units = plan.parsed.units
    else:
        units = pipeline.units(text, transform)
    return [recall.Unit(f"{noun} {number}", unit) for number, unit in enumerate(units, 1)]


def originals(segments: Sequence[Segment], results: Sequence[Compressed]) -> list[Original]:
    """What the results refer to."""
    return [
        Original(result.hash, segment.text, segment.tool, result.tokens_before, result.items, result.items_kept)
        for segment, result in zip(segments, results, strict=True)
        if result.text is not None
    ]


def _kept(result: Compressed, reason: str) -> Compressed:
    if result.text is None:
        return result
    return Compressed(None, reason=reason, tokens_before=result.tokens_before, tokens_after=result.tokens_before, ms=result.ms)
