"""What does the rows of a batch: a worker, the store, and the models where they are wanted, each loaded once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from headroom import pipeline, tokens
from headroom.batch.rows import Asked, BadRow, Done
from headroom.model import Compressed, Original
from headroom.settings import LLMLinguaSettings, Settings
from headroom.store import Store, open_store
from headroom.worker import Worker

if TYPE_CHECKING:
    from headroom.compressors.llmlingua.pruner import Pruner
    from headroom.scoring.embedding import Embedder

_FLUSH = 500  # originals that are written to the store at once
_GROUP_CHARS = 2_000_000  # of rows whose texts a model is given in one call


class Originals:
    """A store that takes originals in bulk; results are computed anew, so that the same input always gives the same output."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[tuple[str, str], Original] = {}

    def put_originals(self, scope: str, originals: Iterable[Original]) -> None:
        self._waiting |= {(scope, original.hash): original for original in originals}
        if len(self._waiting) >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Raises StoreUnavailable."""
        for scope in {scope for scope, _ in self._waiting}:
            self._store.put_originals(scope, [original for (owner, _), original in self._waiting.items() if owner == scope])
        self._waiting.clear()

    def get_original(self, scope: str, hash: str, count: bool = True) -> Original:
        return self._waiting.get((scope, hash)) or self._store.get_original(scope, hash, count)

    def put_results(self, results: Mapping[str, Compressed]) -> Mapping[str, Compressed]:
        return results

    def close(self) -> None:
        self._store.close()


class Work:
    """Rows to what became of them, one thread at a time. `originals` are flushed by whoever says that rows are done."""

    def __init__(self, settings: Settings, *, embed: bool = False) -> None:
        """Loads the models that are wanted, which takes seconds. Raises ModelUnavailable, StoreUnavailable."""
        self.settings = settings
        self._lingua = settings.llmlingua
        self._pruner = _pruner(self._lingua, settings) if self._lingua.enabled else None
        self._embedder = _embedder(settings) if embed else None
        self.originals = Originals(open_store(settings))
        self._worker = Worker(cast(Store, self.originals), settings.vocabulary_dir, ahead=False)

    def __call__(self, rows: Iterable[Asked | BadRow]) -> Iterator[Done | BadRow]:
        """In order. Only some megabytes of rows are held at a time. Raises StoreUnavailable."""
        for group in _groups(rows) if self._pruner or self._embedder else ([row] for row in rows):
            yield from self._done(group)

    def close(self) -> None:
        self.originals.close()

    def _done(self, group: Sequence[Asked | BadRow]) -> Iterator[Done | BadRow]:
        if self._embedder:
            group = list(_embedded(group, self._embedder))
        for row in self._pruned(group, self._pruner) if self._pruner else group:
            yield row if isinstance(row, BadRow) else row.done(self._worker.run(row.prepared.job))

    def _pruned(self, group: Sequence[Asked | BadRow], pruner: Pruner) -> Iterator[Asked | BadRow]:
        """The rows with what the model makes of their prose, which it is given all at once; no deadline ends it."""
        lingua = self._lingua
        jobs = [None if isinstance(row, BadRow) else row.prepared.job for row in group]
        found = [
            pipeline.passages(job, rate=lingua.rate, threshold=lingua.threshold, min_tokens=lingua.min_tokens) if job else []
            for job in jobs
        ]
        answers = iter(pruner([passage for passages in found for passage in passages if passage]))
        for row, passages in zip(group, found, strict=True):
            if isinstance(row, BadRow):
                yield row
                continue
            job = dataclasses.replace(row.prepared.job, pruned=tuple(next(answers) if passage else None for passage in passages))
            yield dataclasses.replace(row, prepared=dataclasses.replace(row.prepared, job=job))


def _pruner(lingua: LLMLinguaSettings, settings: Settings) -> Pruner:
    from headroom.compressors.llmlingua.classifier import check

    check(lingua.spec)
    from headroom.compressors.llmlingua.pruner import Pruner

    return Pruner(lingua.spec, tokens.counter("", settings.vocabulary_dir).count)


def _embedder(settings: Settings) -> Embedder:
    from headroom.scoring.embedding import Embedder

    return Embedder(settings.scoring.spec)


def _embedded(group: Sequence[Asked | BadRow], embedder: Embedder) -> Iterator[Asked | BadRow]:
    """The rows with the vector of what was asked last, all computed in one call."""
    vectors = iter(embedder([row.question for row in group if not isinstance(row, BadRow)]))
    for row in group:
        yield row if isinstance(row, BadRow) else dataclasses.replace(row, vector=next(vectors).tolist())


def _groups(rows: Iterable[Asked | BadRow]) -> Iterator[list[Asked | BadRow]]:
    group: list[Asked | BadRow] = []
    size = 0
    for row in rows:
        group.append(row)
        size += 0 if isinstance(row, BadRow) else len(row.prepared.call.text)
        if size >= _GROUP_CHARS:
            yield group
            group, size = [], 0
    if group:
        yield group
