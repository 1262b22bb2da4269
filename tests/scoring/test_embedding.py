"""Embeddings by a real model, and the memory of them."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.errors import ModelUnavailable
from headroom.model import ModelSpec
from headroom.scoring.embedding import MAX_CHARS, Embedder, EmbeddingMemo, Made, check, joined
from tests.scoring.imports import imported

TEXTS = ["the payment service lost its database connection", "Datenbank", "", "a\ud800b\x00", "日本語", "word " * 5000]


@pytest.fixture(scope="module")
def embedder(model: str) -> Embedder:
    return Embedder(ModelSpec(model, "cpu"))


def test_rows_of_length_one(embedder: Embedder) -> None:
    vectors = embedder(TEXTS)
    assert (vectors.shape, vectors.dtype, vectors.flags.c_contiguous) == ((len(TEXTS), 384), np.float32, True)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder([]).shape == (0, embedder.dimensions)
    assert embedder.window == 256


def test_what_means_the_same_is_closer(embedder: Embedder) -> None:
    asked, same, other = embedder(
        ["Why did the checkout fail?", "The purchase could not be completed due to an error.", "Penguins live in the southern hemisphere."]
    )
    assert asked @ same > asked @ other + 0.2


def test_a_text_has_one_vector_in_any_company(embedder: Embedder) -> None:
    together = embedder(TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        assert np.allclose(embedder([text])[0], row, atol=1e-5)
    with ThreadPoolExecutor(4) as threads:
        for vectors in threads.map(embedder, [TEXTS] * 4):
            assert np.allclose(vectors, together, atol=1e-5)


def test_what_stands_behind_the_window_is_not_seen(embedder: Embedder) -> None:
    one, other = embedder(["x " * MAX_CHARS + "the end", "x " * MAX_CHARS + "another end"])
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("spec", "reason", "mend"),
    [
        (ModelSpec("sentence-transformers/no-such-model"), "no_model", "HEADROOM_EMBED_MODEL"),
        (ModelSpec("no-such-model"), "no_model", "HEADROOM_EMBED_MODEL"),
        (ModelSpec("/nowhere/at all"), "no_model", "HEADROOM_EMBED_MODEL"),
    ],
)
def test_a_model_that_is_not_here_is_said_so(spec: ModelSpec, reason: str, mend: str) -> None:
    for attempt in (check, Embedder):
        with pytest.raises(ModelUnavailable, match=mend) as failure:
            attempt(spec)
        assert failure.value.reason == reason
    copy = pickle.loads(pickle.dumps(failure.value))
    assert (copy.reason, copy.message) == (reason, failure.value.message)


def test_damaged_files_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 64)
    check(ModelSpec(str(tmp_path)))
    with pytest.raises(ModelUnavailable) as failure:
        Embedder(ModelSpec(str(tmp_path)))
    assert failure.value.reason == "failed"


def test_a_device_that_is_not_there_is_no_model(model: str) -> None:
    with pytest.raises(ModelUnavailable) as failure:
        Embedder(ModelSpec(model, "mps"))
    assert failure.value.reason == "failed"


def test_nothing_heavy_is_imported_before_a_vector_is_asked_for(model: str) -> None:
    code = (
        "from headroom.model import ModelSpec; from headroom.proxy import server; from headroom.scoring import embedding;"
        f"embedding.check(ModelSpec({model!r}))"
    )
    assert imported(code, {"numpy", "torch", "sentence_transformers", "onnxruntime", "tokenizers"}) == set()


def rows_for(texts: list[str]) -> np.ndarray:
    """A vector that tells the text it is of."""
    return np.array([[len(text), ord(text[0]) if text else 0] for text in texts], np.float32).reshape(len(texts), 2)


def asked(memo: EmbeddingMemo, texts: list[str], model: str = "one") -> tuple[np.ndarray, int]:
    """The vectors, and how many had to be computed."""
    found = memo.lookup(texts)
    fresh = Made(model, rows_for(list(found.missing.values())))
    memo.remember(found, fresh)
    return joined(found, fresh), len(fresh.rows)


@given(st.lists(st.lists(st.sampled_from(["", "a", "b", "cc", "ddd", "\ud800"]), max_size=8), max_size=8), st.integers(0, 4))
def test_a_memo_gives_back_what_was_computed_and_stays_small(calls: list[list[str]], entries: int) -> None:
    memo = EmbeddingMemo(entries)
    for texts in calls:
        vectors, computed = asked(memo, texts)
        assert computed <= len(set(texts))
        assert len(memo) <= entries
        assert np.array_equal(vectors, rows_for(texts)) if texts else vectors.shape == (0, 0)


def test_the_least_recently_used_goes() -> None:
    memo = EmbeddingMemo(2)
    asked(memo, ["a", "b"])
    asked(memo, ["a"])
    asked(memo, ["c"])
    assert not memo.lookup(["a", "c"]).missing
    assert memo.lookup(["b"]).missing


def test_what_another_model_made_is_forgotten() -> None:
    memo = EmbeddingMemo(10)
    asked(memo, ["a", "b"])
    found = memo.lookup(["a", "c"])
    other = Made("other", rows_for(["c"]))
    assert (found.fits(Made("one", other.rows)), found.fits(other), memo.lookup(["c"]).fits(other)) == (True, False, True)
    memo.remember(found, other)
    assert (len(memo), memo.model, set(memo.lookup(["a", "b", "c"]).missing.values())) == (1, "other", {"a", "b"})


def test_known_texts_need_no_model() -> None:
    memo = EmbeddingMemo(10_000)
    texts = [f"text {n}" for n in range(10_000)]
    assert asked(memo, texts)[1] == 10_000
    found = memo.lookup(texts)
    assert not found.missing
    assert np.array_equal(joined(found), rows_for(texts))
