"""One conversation as the compressor sees it: its segments and turns, each with the key of what became of it.

The key of a segment covers all that its result may depend on; the key of a turn covers the
segments and the turns before it. Equal keys mean equal bytes, whichever replica computed them.
Sans-I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headroom import pipeline
from headroom.dialects.base import Dialect
from headroom.model import Call, Compressed, Job, JobResult, Policy, Recall, Segment, SourceRef, Turn

NOTHING = Compressed(None)


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
    def keyed(self) -> dict[str, Segment]:
        return {key: segment for key, segment in zip(self.keys, self.segments, strict=True) if key}

    def job(self, known: Mapping[str, Compressed], model: str, count: tuple[str, ...] = ()) -> Job:
        """What is still to be done."""
        fresh = {key: segment for key, segment in self.keyed.items() if key not in known}
        recalls = self._recalls(known, fresh)
        return Job(tuple(fresh.values()), self.policy, self.scope, model, count, self._sources(known), recalls)

    def _sources(self, known: Mapping[str, Compressed]) -> tuple[SourceRef, ...]:
        """Every segment that was or may be cut, in order."""
        first = {key: number for number, key in reversed(list(enumerate(self.keys))) if key}
        return tuple(
            SourceRef(number, key, known.get(key))
            for key, number in sorted(first.items(), key=lambda item: item[1])
            if key not in known or known[key].cut
        )

    def _recalls(self, known: Mapping[str, Compressed], fresh: Mapping[str, Segment]) -> tuple[Recall, ...]:
        """The turns that stand behind something cut, or something that may be."""
        first = next((n for n, key in enumerate(self.keys) if key in fresh or (key in known and known[key].cut)), None)
        if first is None:
            return ()
        return tuple(
            Recall(key, turn.query, turn.segments, known.get(key))
            for key, turn in zip(self.turn_keys, self.turns, strict=True)
            if turn.segments > first
        )

    def results(self, known: Mapping[str, Compressed]) -> list[Compressed]:
        """One result per segment."""
        return [known[key] if key else Compressed(None, reason=reason) for key, reason in zip(self.keys, self.reasons, strict=True)]

    def recalled(self, known: Mapping[str, Compressed]) -> list[Compressed]:
        """One result per turn; its text is the block to append, None without one."""
        return [known.get(key, NOTHING) for key in self.turn_keys]


def conversation(segments: Sequence[Segment], turns: Sequence[Turn], policy: Policy, scope: str) -> Conversation:
    """Hashes every segment once; linear in their text."""
    reasons = tuple(pipeline.keep_reason(segment, policy) for segment in segments)
    keys = tuple("" if reason else segment.memo_key(scope, policy) for segment, reason in zip(segments, reasons, strict=True))
    return Conversation(tuple(segments), tuple(turns), policy, scope, reasons, keys, _turn_keys(keys, turns, policy, scope))


def read_conversation(dialect: Dialect, call: Call, policy: Policy, scope: str) -> Conversation:
    """The conversation of a call."""
    return conversation(dialect.segments(call), dialect.turns(call), policy, scope)


def _turn_keys(keys: Sequence[str], turns: Sequence[Turn], policy: Policy, scope: str) -> tuple[str, ...]:
    chain = hashlib.sha256(f"recall:{policy.digest()}:{scope}".encode())
    found, position = [], 0
    for turn in turns:
        for key in keys[position : turn.segments]:
            chain.update(key.encode() or b"-")
        position = turn.segments
        chain.update(hashlib.sha256(turn.query.encode("utf-8", "surrogatepass")).digest())
        found.append(chain.hexdigest())
    return tuple(found)


def by_key(job: Job, fresh: Sequence[str], done: JobResult) -> dict[str, Compressed]:
    """What a job found, by memo key."""
    recalls = [recall.key for recall in job.recalls if recall.known is None]
    return dict(zip(fresh, done.compressed, strict=True)) | dict(zip(recalls, done.recalled, strict=True))
