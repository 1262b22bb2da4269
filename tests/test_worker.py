"""What a worker may hand out: nothing that is not stored, and what stood first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from headroom import pipeline, worker
from headroom.errors import StoreUnavailable
from headroom.model import Compressed, Job, Original, Policy, Segment, content_hash
from headroom.store.sqlite import SqliteStore
from tests.proxy.faces import rows


class Recording(SqliteStore):
    """Notes what is written, in order; `broken` names the methods that fail."""

    def __init__(self, path: Path, broken: tuple[str, ...] = ()) -> None:
        super().__init__(path, 3600, 10**9)
        self.broken = broken
        self.written: list[str] = []

    def put_originals(self, scope: str, originals: Iterable[Original]) -> None:
        self._note("put_originals")
        super().put_originals(scope, originals)

    def put_results(self, results: Mapping[str, Compressed]) -> Mapping[str, Compressed]:
        self._note("put_results")
        return super().put_results(results)

    def get_original(self, scope: str, hash: str, count: bool = True) -> Original:
        self._note("get_original")
        return super().get_original(scope, hash, count)

    def _note(self, method: str) -> None:
        self.written.append(method)
        if method in self.broken:
            raise StoreUnavailable("broken for the test")


def job(*texts: str, count: tuple[str, ...] = ()) -> Job:
    return Job(tuple(Segment(text, (0, 0)) for text in texts), Policy(), "scope", "m", count)


def keys(of: Job) -> Sequence[str]:
    return [segment.memo_key(of.scope, of.policy) for segment in of.segments]


def test_originals_are_stored_before_a_result_is_known(tmp_path: Path) -> None:
    store = Recording(tmp_path / "s")
    done = worker.run(job(rows(1), "short", count=("one two three",)), store)
    assert store.written[:2] == ["put_originals", "put_results"]
    assert done.compressed[0].hash == content_hash(rows(1))
    assert store.get_original("scope", done.compressed[0].hash).text == rows(1)
    assert (done.compressed[1].text, done.compressed[1].reason) == (None, "too_small")
    assert done.counted == (3,)
    assert store.blob_stats().entries == 1


def test_what_cannot_be_stored_stays_as_it_came(tmp_path: Path) -> None:
    store = Recording(tmp_path / "s", broken=("put_originals",))
    done = worker.run(job(rows(1), "short"), store)
    assert [(result.text, result.reason) for result in done.compressed] == [(None, "store_unavailable"), (None, "too_small")]
    assert done.compressed[0].tokens_saved == 0
    assert store.written == ["put_originals"]


def test_what_cannot_be_remembered_is_used_all_the_same(tmp_path: Path) -> None:
    store = Recording(tmp_path / "s", broken=("put_results",))
    (result,) = worker.run(job(rows(1)), store).compressed
    assert result.text is not None
    assert store.get_original("scope", result.hash).text == rows(1)


@pytest.mark.parametrize(
    "first", [Compressed("another text", "named", "", 9, 3, "0" * 16, 5, 5), Compressed(None, reason="compressor_deadline")]
)
def test_what_stood_first_wins(tmp_path: Path, first: Compressed) -> None:
    store, asked = Recording(tmp_path / "s"), job(rows(1))
    store.put_results({keys(asked)[0]: first})
    (result,) = worker.run(asked, store).compressed
    assert dataclasses.replace(result, ms=0) == first


def test_a_worker_remembers_nothing_that_changes_a_result(tmp_path: Path) -> None:
    kept = worker.Worker(Recording(tmp_path / "a"))
    for asked in (job(rows(1), rows(2)), job(rows(2)), job(rows(3), rows(1))):
        ours = [result.text for result in kept.run(asked).compressed]
        assert ours == [result.text for result in worker.run(asked, Recording(tmp_path / "b")).compressed]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("log", "\n".join(f"2026-01-01T00:00:{n % 60:02d}Z INFO request {n} took {n} ms\r" for n in range(400)) + "\n"),
        ("search", "".join(f"src/a{n // 9}.py:{n}:    call({n})\x0c\n" for n in range(400))),
        ("diff", "--- a/x.py\n+++ b/x.py\n" + "".join(f"@@ -{n},3 +{n},3 @@\n one\n-two\n+three\n four\n" for n in range(1, 4000, 9))),
        ("code", "".join(f"def function_{n}(value):\n" + "    value += 1\n" * 30 + "    return value\n\n" for n in range(90))),
    ],
)
def test_what_is_searched_by_line_is_what_its_compressor_counts(label: str, text: str) -> None:
    units = [unit.text for unit in worker.units_of(text, label)]
    assert units == list(pipeline.units(text, label)) == text.split("\n")
