"""From segments to smaller segments: plan, score, apply. Values in, values out.

A plan gives each segment a compressor or a reason to keep it. The result for a segment depends on
that segment and the policy alone, so the same segment becomes the same bytes in every turn, on
every replica. A draft is used only if it is smaller by tokens than what it replaces, marker
included. A compressor that fails costs its segment the saving, never the request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headroom import tokens
from headroom.ccr import marker
from headroom.compressors import COMPRESSORS, fold, json_delta, numbered
from headroom.compressors.base import Compressor, Parsed
from headroom.compressors.prose_units import split
from headroom.content import detect
from headroom.model import Compressed, Job, Passage, Policy, Pruned, Repeat, Segment, content_hash
from headroom.scoring import bm25, toin
from headroom.scoring.base import Scorer

_LARGE_TOKENS = 4000  # of code that hardly folds, so that the general compressor is tried
_HARDLY = 0.75  # of the tokens left
_MUCH_SHORTER = 0.75  # of the tokens; what has to be put together from two places is harder to read
_MOSTLY = 0.6  # of the lines; a text repeated that far is best referred to, whatever else could be left out
REPEAT = "repeat"  # the label of what refers to an earlier text
PRUNED = "llmlingua"  # the label of a text that a model left words out of
_MOSTLY_EARLIER = 0.5  # of the lines; such a text is referred to, so a model is not asked for it
_MOST_PRUNED = 400_000  # characters of a text that a model is given
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A text that stands earlier in the conversation: what it is called so that no other is meant, and what became of it."""

    name: str
    result: Compressed

    def shows(self, run: Repeat, lines: Sequence[str]) -> bool:
        """Whether these lines of it can be read where it stands; what was only re-encoded can, as a whole."""
        if self.result.text is None or (run.whole and not self.result.cut):
            return True
        readable = {line.lstrip(" ") for line in self.result.text.split("\n")}  # line numbers may have lost their alignment
        return readable.issuperset(line.lstrip(" ") for line in lines)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done with one segment: a compressor and the text taken apart, or a reason to keep it."""

    segment: Segment
    compressor: Compressor | None = None
    parsed: Parsed | None = None
    reason: str = ""
    ms: float = 0.0


def keep_reason(segment: Segment, policy: Policy) -> str:
    """Why a segment is not worth looking at, from its length and marks alone; empty when it is."""
    if policy.fidelity == "off":
        return "fidelity_off"
    if segment.protected:
        return segment.protected
    if len(segment.text) < 2 * policy.min_tokens:
        return "too_small"
    return ""


def plan(segments: Sequence[Segment], policy: Policy) -> list[Plan]:
    """One plan per segment, in order."""
    return [_plan(segment, policy) for segment in segments]


def _plan(segment: Segment, policy: Policy) -> Plan:
    if reason := keep_reason(segment, policy):
        return Plan(segment, reason=reason)
    if segment.advice.whole and policy.fidelity != "lossless":
        return Plan(segment, reason="asked_for_whole")
    try:
        kind = detect(segment.text, segment.tool, segment.arguments)
    except Exception:  # fence: compression fails open
        _log.exception("the kind of a text of %d characters could not be told", len(segment.text))
        return Plan(segment, reason="failed:detect")
    compressor = COMPRESSORS.get(kind)
    if compressor is None:
        return Plan(segment, reason=f"no_compressor:{kind}")
    return _take_apart(segment, compressor, kind)


def _take_apart(segment: Segment, compressor: Compressor, kind: str) -> Plan:
    started = time.perf_counter()
    try:
        parsed = compressor.parse(segment)
    except Exception:  # fence: compression fails open
        _log.exception("%s could not take a text of %d characters apart", compressor.label, len(segment.text))
        return Plan(segment, reason=f"failed:{compressor.label}")
    if parsed is None:
        return Plan(segment, reason=f"not_{kind}")
    return Plan(segment, compressor, parsed, ms=1000 * (time.perf_counter() - started))


def units(text: str, transform: str) -> Sequence[str]:
    """The units that the compressor with this label takes a text apart into; its lines when it does not."""
    if transform == PRUNED:
        return [text[unit.start : unit.end] for unit in split(text)]
    compressor = next((c for c in COMPRESSORS.values() if c.label == transform), None)
    try:
        parsed = compressor.parse(Segment(text, (0, 0))) if compressor else None
    except Exception:  # fence: compression fails open
        _log.exception("%s could not take a text of %d characters apart again", transform, len(text))
        parsed = None
    return parsed.units if parsed else text.splitlines()


def query_of(segment: Segment) -> str:
    """What a segment's units are compared with: the turn's question, the call's arguments and its intent."""
    return "\n".join(part for part in (segment.question, segment.arguments, segment.intent) if part)


def apply(plans: Sequence[Plan], policy: Policy, counter: tokens.Counter, score: Scorer = bm25.scores) -> list[Compressed]:
    """One result per plan, in order."""
    return [_apply(item, policy, counter, score) for item in plans]


def _apply(item: Plan, policy: Policy, counter: tokens.Counter, score: Scorer) -> Compressed:
    if item.compressor is None or item.parsed is None:
        return _unaligned(item, Compressed(None, reason=item.reason), policy, counter)
    before = counter.count(item.segment.text)
    if before < policy.min_tokens:
        return Compressed(None, reason="too_small", tokens_before=before, tokens_after=before)
    result = _render(item, before, policy, counter, score)
    if result.text is None:
        return _unaligned(item, result, policy, counter)
    hardly = before >= _LARGE_TOKENS and result.tokens_after > _HARDLY * before
    if hardly and item.compressor is COMPRESSORS["code"]:  # macros, data, generated code: nothing folds
        general = _render(_take_apart(item.segment, COMPRESSORS["unknown"], "unknown"), before, policy, counter, score)
        if general.text is not None and general.tokens_after < result.tokens_after:
            return general
    return result


def _unaligned(item: Plan, kept: Compressed, policy: Policy, counter: tokens.Counter) -> Compressed:
    """A listing that stays whole, without the alignment of its line numbers."""
    segment = item.segment
    if keep_reason(segment, policy):
        return kept
    digest = content_hash(segment.text)
    text = numbered.shorter(segment.text, digest)
    if text is None:
        return kept
    before, after = kept.tokens_before or counter.count(segment.text), counter.count(text)
    if before < policy.min_tokens or after >= before:
        return kept
    lines = segment.text.count("\n") + 1
    return Compressed(text, numbered.LABEL, "", before, after, digest, lines, lines, kept.ms)


def _render(item: Plan, before: int, policy: Policy, counter: tokens.Counter, score: Scorer) -> Compressed:
    if item.compressor is None or item.parsed is None:
        return Compressed(None, reason=item.reason, tokens_before=before, tokens_after=before)
    started, segment, label = time.perf_counter(), item.segment, item.compressor.label
    digest = content_hash(segment.text)
    try:
        scores = toin.boosted(score(query_of(segment), item.parsed.units), segment.advice)
        draft = item.compressor.render(segment, item.parsed, scores, policy.fidelity, digest)
        if policy.fidelity == "lossless":
            label, draft = fold.shorten(label, segment.text, draft, digest)
    except Exception:  # fence: compression fails open
        _log.exception("%s could not compress a text of %d characters", label, len(segment.text))
        return Compressed(None, reason=f"failed:{label}", tokens_before=before, tokens_after=before)
    after = counter.count(draft.text) if draft else before
    ms = item.ms + 1000 * (time.perf_counter() - started)
    if draft is None or after >= before:
        return Compressed(None, reason=f"not_smaller:{label}", tokens_before=before, tokens_after=before, ms=ms)
    return Compressed(draft.text, label, "", before, after, digest, draft.items, draft.items_kept, ms)


def passage(segment: Segment, *, rate: float, threshold: float, min_tokens: int) -> Passage | None:
    """What a model that leaves words out is given of a segment; None for what is no prose, or too small or too large for it."""
    size = len(segment.text)
    if not 4 * min_tokens <= size <= _MOST_PRUNED:
        return None
    try:
        kind = detect(segment.text, segment.tool, segment.arguments)
    except Exception:  # fence: compression fails open
        _log.exception("the kind of a text of %d characters could not be told", size)
        return None
    if kind != "prose":
        return None
    return Passage(segment.text, "\n".join(filter(None, (segment.question, segment.intent))), rate, threshold)


def passages(job: Job, *, rate: float, threshold: float, min_tokens: int) -> list[Passage | None]:
    """What a model that leaves words out is given of each segment; None where the policy does not want it, or most stands earlier."""
    if not (job.policy.llmlingua and job.policy.fidelity == "reversible"):
        return [None] * len(job.segments)
    rate = job.policy.llmlingua_rate or rate
    found = [passage(segment, rate=rate, threshold=threshold, min_tokens=min_tokens) for segment in job.segments]
    for place, (segment, runs) in enumerate(zip(job.segments, job.repeats, strict=False)):
        if runs and sum(run.end - run.start for run in runs) > _MOSTLY_EARLIER * (segment.text.count("\n") + 1):
            found[place] = None
    return found


def prune(item: Plan, result: Compressed, pruned: Pruned, counter: tokens.Counter) -> Compressed:
    """The text that a model left words out of, or `result` where that is not smaller."""
    prose = item.compressor is COMPRESSORS["prose"] or item.reason == "not_prose"
    if pruned.text is None or pruned.kept >= pruned.words or not prose:
        return result
    started, text = time.perf_counter(), item.segment.text
    digest = content_hash(text)
    what = f"Text of {pruned.words} words, {pruned.words - pruned.kept} of little weight left out all over it, the rest verbatim, in order"
    shorter = f"{marker.re_encoded(what, digest)}\n{pruned.text}"
    before, after = result.tokens_before or counter.count(text), counter.count(shorter)
    if after >= (before if result.text is None else result.tokens_after):
        return result
    ms = result.ms + 1000 * (time.perf_counter() - started)
    return Compressed(shorter, PRUNED, "", before, after, digest, pruned.words, pruned.kept, ms)


def refer(
    segment: Segment, result: Compressed, runs: Sequence[Repeat], earlier: Mapping[int, Earlier], counter: tokens.Counter
) -> Compressed:
    """The segment with references for what stands readable earlier in the conversation, or `result` where that is better.

    `earlier` says, by number, what became of the texts that the runs refer to.
    """
    started, lines = time.perf_counter(), segment.text.split("\n")
    runs = [run for run in runs if earlier[run.source].shows(run, lines[run.start : run.end])]
    if not runs:
        return result
    digest = content_hash(segment.text)
    pieces: list[str] = []
    position, source = 0, -1
    for run in runs:
        name = earlier[run.source].name if run.source != source else ""
        own, other = (run.start + 1, run.end), (run.at + 1, run.at + run.end - run.start)
        pieces += lines[position : run.start]
        pieces.append(marker.repeated(own, other, name, "" if position else digest))
        position, source = run.end, run.source
    text = "\n".join([*pieces, *lines[position:]])
    before, after = result.tokens_before or counter.count(segment.text), counter.count(text)
    mostly = sum(run.end - run.start for run in runs) >= _MOSTLY * len(lines)
    if after >= before or (result.text is not None and after >= result.tokens_after and not mostly):
        return result
    ms = result.ms + 1000 * (time.perf_counter() - started)
    return Compressed(text, REPEAT, "", before, after, digest, len(lines), len(lines), ms)


def revise(segment: Segment, result: Compressed, text: str, earlier: Earlier, counter: tokens.Counter) -> Compressed:
    """The object told by how it differs from its `earlier` state, which reads `text`; `result` where that is not much shorter."""
    if earlier.result.cut or result.cut or result.transform == REPEAT:
        return result
    started = time.perf_counter()
    lines = json_delta.differences(text, segment.text)
    if lines is None:
        return result
    digest = content_hash(segment.text)
    told = "\n".join([marker.revised(earlier.name, digest), *lines])
    before, after = result.tokens_before or counter.count(segment.text), counter.count(told)
    if after > _MUCH_SHORTER * (before if result.text is None else result.tokens_after):
        return result
    ms = result.ms + 1000 * (time.perf_counter() - started)
    return Compressed(told, REPEAT, "", before, after, digest, 1, 1, ms)


def compress(segments: Sequence[Segment], policy: Policy, counter: tokens.Counter, score: Scorer = bm25.scores) -> list[Compressed]:
    """`plan` and `apply` in one step."""
    return apply(plan(segments, policy), policy, counter, score)
