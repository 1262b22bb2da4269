"""`headroom.compress()`: the pipeline as one function, for any Python program."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headroom import worker
from headroom.conversation import Conversation, by_key, read_conversation
from headroom.dialects import DIALECTS, Dialect, dialect_of
from headroom.dialects.base import read_call, splice, understood
from headroom.errors import InvalidRequest
from headroom.model import LOCAL, Call, Job, JobResult, Policy
from headroom.settings import Settings, load
from headroom.store import Store, open_store


@dataclass(frozen=True, slots=True)
class CompressResult:
    """`messages` are new objects; the token counts are over every text a model reads in them.

    `transforms_applied` holds one label per changed text (`router:smart_crusher:0.35`), `ccr_hashes`
    what redeems the originals, `skip_reasons` how often a text stayed as it came and why.
    """

    messages: list[dict[str, Any]]
    tokens_before: int
    tokens_after: int
    transforms_applied: tuple[str, ...]
    ccr_hashes: tuple[str, ...]
    skip_reasons: Mapping[str, int]

    @property
    def tokens_saved(self) -> int:
        return self.tokens_before - self.tokens_after

    @property
    def compression_ratio(self) -> float:
        """After over before; 1.0 when nothing was saved."""
        return self.tokens_after / self.tokens_before if self.tokens_before else 1.0


def compress(
    messages: Sequence[Mapping[str, Any]],
    *,
    model: str = "gpt-4o",
    store: Store | None = None,
    settings: Settings | None = None,
) -> CompressResult:
    """Make OpenAI or Anthropic messages smaller; what is left out can be read back from the store.

    `store` defaults to the one `headroom retrieve` reads (SQLite in the home directory). Raises
    InvalidRequest for messages that are none, SettingsError for settings that are none.
    """
    body = {"model": model, "messages": list(messages)}
    try:
        raw = json.dumps(body).encode()
    except (TypeError, ValueError, RecursionError) as failure:
        raise InvalidRequest(f"messages: must be what JSON can say: {failure}") from None
    call = understood(read_call("", raw))
    done = compress_call(dialect_of(call), call, store, settings)
    return CompressResult(
        messages=json.loads(done.body)["messages"],
        tokens_before=done.tokens_before,
        tokens_after=done.tokens_after,
        transforms_applied=done.transforms,
        ccr_hashes=done.hashes,
        skip_reasons=Counter(done.reasons),
    )


def compress_body(raw: bytes, path: str, *, store: Store | None = None, settings: Settings | None = None) -> bytes:
    """Make the body of a provider's request smaller, as the proxy does; `path` is the end of its URL (`/chat/completions`).

    `raw` itself comes back for a path, or a body, that nothing is done with. Raises StoreUnavailable, SettingsError.
    """
    dialect = dialect_for(path)
    if dialect is None:
        return raw
    try:
        call = dialect.read(raw)
    except InvalidRequest:
        return raw
    return raw if call.reason else compress_call(dialect, call, store, settings, count=False).body


def dialect_for(path: str) -> Dialect | None:
    """Of the API whose route `path` ends with, the version left out; a query does not matter."""
    bare = path.partition("?")[0]
    return next((dialect for route, dialect in DIALECTS.items() if bare.endswith(route.removeprefix("/v1"))), None)


@dataclass(frozen=True, slots=True)
class CallResult:
    """A call's new body. Both counts are 0 where tokens were not to be counted; `reasons` say why texts stayed as they came."""

    body: bytes
    tokens_before: int
    tokens_after: int
    transforms: tuple[str, ...]
    hashes: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that was read and understood, and the job that makes it smaller."""

    call: Call
    talk: Conversation
    job: Job

    @classmethod
    def of(cls, dialect: Dialect, call: Call, policy: Policy, *, count: bool = True) -> Prepared:
        talk = read_conversation(dialect, call, policy, LOCAL.scope)
        return cls(call, talk, talk.job({}, call.model, tuple(dialect.texts(call)) if count else ()))

    def finished(self, done: JobResult) -> CallResult:
        """The call with what came of the job."""
        found = by_key(self.job, done)
        results, recalled = self.talk.results(found), self.talk.recalled(found)
        changed = [result for result in (*results, *recalled) if result.text is not None]
        before = sum(done.counted or ())
        return CallResult(
            body=splice(self.call, self.talk.segments, results, self.talk.turns, recalled),
            tokens_before=before,
            tokens_after=before - sum(result.tokens_saved for result in changed) if self.job.count else 0,
            transforms=tuple(result.label for result in changed),
            hashes=tuple(dict.fromkeys(result.hash for result in changed if result.hash)),
            reasons=tuple(result.reason for result in results if result.reason),
        )


def compress_call(dialect: Dialect, call: Call, store: Store | None, settings: Settings | None, *, count: bool = True) -> CallResult:
    """Make a call smaller that was read and understood. Raises StoreUnavailable, SettingsError."""
    settings = settings or _settings()
    prepared = Prepared.of(dialect, call, settings.compression.policy, count=count)
    return prepared.finished(worker.run(prepared.job, store or _store(settings), settings.vocabulary_dir))


@functools.cache
def _settings() -> Settings:
    return load()


@functools.cache
def _store(settings: Settings) -> Store:
    return open_store(settings)
