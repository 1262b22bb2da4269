"""One conversation as the compressor sees it: its segments and turns, each with the key of what became of it.

The key of a segment or a turn covers itself and all segments and turns before it, also those that
are kept for a reason: that is what its result may depend on. Equal keys mean equal bytes, whichever replica computed them.
Sans-I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headroom import pipeline
from headroom.compressors import json_delta
from headroom.dialects import documents
from headroom.dialects.base import Dialect, Walk
from headroom.model import Call, Compressed, Job, JobResult, Policy, Recall, Repeat, Segment, SourceRef, Turn
from headroom.naming import Names, short
from headroom.repeats import repeats

NOTHING = Compressed(None)
_WORTH_CHARS = 10_000  # shorter texts are hashed faster than found


@dataclass(frozen=True, slots=True)
class Conversation:
    """`keys` has one memo key per segment, "" where `reasons` says why it is not looked at; `turn_keys` one per turn."""

    segments: tuple[Segment, ...]
    turns: tuple[Turn, ...]
    policy: Policy
    scope: str
    reasons: tuple[str, ...]
    keys: tuple[str, ...]
    turn_keys: tuple[str, ...]

    @property
    def id(self) -> str:
        """The same for every turn of a conversation of one owner, whatever the settings: what it begins with."""
        first = self.turns[0].query if self.turns else ""
        tool = self.segments[0].text if self.segments else ""
        state = f"{self.scope}\0{first}\0{tool if self.turns and not self.turns[0].spoken else ''}"
        return hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def lineage(self) -> str:
        """The key of its first segment, empty when there is none."""
        return next(filter(None, self.keys), "")

    @property
    def keyed(self) -> dict[str, Segment]:
        return {key: segment for key, segment in zip(self.keys, self.segments, strict=True) if key}

    def job(self, known: Mapping[str, Compressed], model: str, count: tuple[str, ...] = ()) -> Job:
        """What is still to be done."""
        fresh = [number for number, key in enumerate(self.keys) if key and key not in known]
        found, states, names = self._references(fresh)
        told = {number for number in states if number is not None}
        referred = {repeat.source for runs in found for repeat in runs} | told
        segments = tuple(self.segments[number] for number in fresh)
        texts = {segment.text: segment.text for segment in segments}
        return Job(
            segments=segments,
            policy=self.policy,
            scope=self.scope,
            model=model,
            count=tuple(texts.get(text) or str(text) for text in count),  # a text crosses the hop once, as a plain string
            keys=tuple(self.keys[number] for number in fresh),
            lineage=self.lineage,
            repeats=found,
            states=states,
            names=names,
            sources=tuple(
                SourceRef(number, key, known.get(key), short(self.segments[number]), self.segments[number].text if number in told else "")
                for number, key in enumerate(self.keys)
                if number in referred or (key and (key not in known or known[key].cut))
            ),
            recalls=tuple(Recall(key, turn.query, turn.before, turn.spoken, known.get(key)) for key, turn in self.recalling(known).items()),
        )

    def _references(
        self, fresh: Sequence[int]
    ) -> tuple[tuple[tuple[Repeat, ...], ...], tuple[int | None, ...], tuple[Mapping[int, str], ...]]:
        """For each fresh segment what of it stands earlier, an earlier state of it, and what it calls them; nothing without a name."""
        found, states = self._repeats(fresh), self._states(fresh)
        if not any(found) and not any(state is not None for state in states):
            return found, states, tuple({} for _ in fresh)
        named = Names(self.segments)
        names: list[dict[int, str]] = []
        for number, runs, state in zip(fresh, found, states, strict=True):
            sources = {run.source for run in runs} | ({state} if state is not None else set())
            names.append({source: name for source in sources if (name := named.of(source, number))})
        return (
            tuple(tuple(run for run in runs if run.source in own) for runs, own in zip(found, names, strict=True)),
            tuple(state if state in own else None for state, own in zip(states, names, strict=True)),
            tuple(names),
        )

    def _repeats(self, fresh: Sequence[int]) -> tuple[tuple[Repeat, ...], ...]:
        """For each fresh segment, what of it stands in an earlier one."""
        if not fresh:
            return ()
        last = fresh[-1] + 1
        wanted = set(fresh)
        found = repeats([segment.text for segment in self.segments[:last]], [number in wanted for number in range(last)])
        return tuple(found[number] for number in fresh)

    def _states(self, fresh: Sequence[int]) -> tuple[int | None, ...]:
        """For each fresh segment, the first one that may be an earlier state of the same object."""
        first: dict[str, int] = {}
        for number in range(fresh[-1] + 1 if fresh else 0):
            if sign := json_delta.signature(self.segments[number].text):
                first.setdefault(sign, number)
        found = [first.get(json_delta.signature(self.segments[number].text), number) for number in fresh]
        return tuple(earlier if earlier < number else None for earlier, number in zip(found, fresh, strict=True))

    def recalling(self, known: Mapping[str, Compressed]) -> dict[str, Turn]:
        """The turns that stand behind something cut, or something that may be, by key; of the others no result is kept anywhere."""
        first = next((n for n, key in enumerate(self.keys) if key and (key not in known or known[key].cut)), len(self.keys))
        return {key: turn for key, turn in zip(self.turn_keys, self.turns, strict=True) if turn.before > first}

    def results(self, known: Mapping[str, Compressed]) -> list[Compressed]:
        """One result per segment."""
        return [known[key] if key else Compressed(None, reason=reason) for key, reason in zip(self.keys, self.reasons, strict=True)]

    def recalled(self, known: Mapping[str, Compressed]) -> list[Compressed]:
        """One result per turn; its text is the block to append, None without one."""
        return [known.get(key, NOTHING) for key in self.turn_keys]


@dataclass(slots=True)
class _Reading:
    """A conversation up to the message numbered `at`: what is known there, what was found before it, and the hash over that."""

    walk: Walk = field(default_factory=Walk)
    at: int = 0
    segments: list[Segment] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    turn_keys: list[str] = field(default_factory=list)
    chain: Any = field(default_factory=hashlib.sha256)

    def copy(self) -> _Reading:
        """The same, whatever is read on."""
        lists = (self.segments.copy(), self.turns.copy(), self.reasons.copy(), self.keys.copy(), self.turn_keys.copy())
        return _Reading(self.walk.copy(), self.at, *lists, self.chain.copy())

    def add(self, item: Segment | Turn, memo_keys: _MemoKeys, *, shared: bool) -> None:
        if isinstance(item, Turn):
            self.chain.update(hashlib.sha256(item.query.encode("utf-8", "surrogatepass")).digest())
            self.turns.append(item)
            self.turn_keys.append(self.chain.hexdigest())
            return
        reason = pipeline.keep_reason(item, memo_keys.policy)
        self.chain.update(f"{reason}:{memo_keys.of(item, shared=shared)};".encode())
        self.segments.append(item)
        self.reasons.append(reason)
        self.keys.append("" if reason else self.chain.hexdigest())


@dataclass(slots=True)
class _MemoKeys:
    """Memo keys under a policy and scope; those of `earlier`, which the reading of an earlier call found, are not hashed again.

    Both hold the large segments without their texts, which is what their places say wherever a message is `shared` with that call.
    """

    policy: Policy
    scope: str
    earlier: Mapping[Segment, str]
    found: dict[Segment, str] = field(default_factory=dict)

    def of(self, segment: Segment, *, shared: bool) -> str:
        if len(segment.text) < _WORTH_CHARS:
            return segment.memo_key(self.scope, self.policy)
        place = replace(segment, text="")
        key = (self.earlier.get(place) if shared else None) or segment.memo_key(self.scope, self.policy)
        self.found[place] = key
        return key


def read_conversation(dialect: Dialect, call: Call, policy: Policy, scope: str) -> Conversation:
    """The conversation of a call; hashes every segment once, and those of an earlier call that begins like it not at all."""
    rows, name = dialect.rows(call), ("conversation", policy.digest(), scope)
    noted, shared = documents.lent(call.document, rows, name)
    readings, earlier = noted or ((), {})
    memo_keys = _MemoKeys(policy, scope, earlier)
    known: list[_Reading] = [reading for reading in readings if reading.at < shared]  # what ends with a row hangs on the next one
    reading = known[-1].copy() if known else _Reading()
    resumable = {max(0, len(rows) - 1), max(0, len(rows) - 1 - documents.MOVING)}
    for number in range(reading.at, len(rows)):
        reading.at = number
        if number in resumable and not (known and known[-1].at == number):
            known = [*known[-1:], reading.copy()]
        for item in dialect.heard(call, rows[number], rows[number + 1] if number + 1 < len(rows) else {}, reading.walk):
            reading.add(item, memo_keys, shared=number < shared)
    documents.note(call.document, rows, name, (known, memo_keys.found))
    keys, turn_keys = tuple(reading.keys), tuple(reading.turn_keys)
    return Conversation(tuple(reading.segments), tuple(reading.turns), policy, scope, tuple(reading.reasons), keys, turn_keys)


def by_key(job: Job, done: JobResult) -> dict[str, Compressed]:
    """What a job found, by memo key."""
    recalls = [recall.key for recall in job.recalls if recall.known is None]
    return dict(zip(job.keys, done.compressed, strict=True)) | dict(zip(recalls, done.recalled, strict=True))
