"""Embeddings by onnxruntime, of files that were made from the real model, held against torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headroom.errors import ModelUnavailable
from headroom.model import ModelSpec
from headroom.scoring import embedding, onnx
from headroom.scoring.embedding import MAX_CHARS, Embedder, check, onnx_file
from tests.scoring.imports import imported

TEXTS = ["the payment service lost its database connection", "Datenbank", "", "a\ud800b\x00", "日本語", "word " * 5000]


@pytest.fixture(scope="module")
def embedder(onnx_model: Path) -> Embedder:
    return Embedder(ModelSpec(str(onnx_model)))


@pytest.fixture(scope="module")
def torch(onnx_model: Path) -> Embedder:
    return Embedder(ModelSpec(str(onnx_model), "cpu", engine="torch"))


@pytest.fixture
def directory(onnx_model: Path, tmp_path: Path) -> Path:
    """The model with its files, of which a test may change those that are small."""
    for file in onnx_model.rglob("*"):
        if file.is_file():
            place = tmp_path / file.relative_to(onnx_model)
            place.parent.mkdir(exist_ok=True)
            if file.stat().st_size > 1_000_000:
                place.hardlink_to(file)
            else:
                shutil.copy(file, place)
    return tmp_path


def reads(directory: Path, name: str, **fields: Any) -> None:
    file = directory / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_vectors_are_those_of_torch(embedder: Embedder, torch: Embedder) -> None:
    ours, theirs = embedder(TEXTS), torch(TEXTS)
    assert (ours.shape, ours.dtype, ours.flags.c_contiguous) == (theirs.shape, np.float32, True)
    assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert (ours * theirs).sum(axis=1).min() > 0.97
    assert (embedder.window, embedder.dimensions) == (torch.window, torch.dimensions) == (256, 384)
    assert embedder([]).shape == (0, 384)


def test_float32_vectors_are_torchs(directory: Path, torch: Embedder) -> None:
    for name in onnx.int8_files():
        (directory / "onnx" / name).unlink(missing_ok=True)
    float32 = Embedder(ModelSpec(str(directory), engine="onnx"))
    assert np.allclose(float32(TEXTS), torch(TEXTS), atol=1e-4)


def test_a_text_has_one_vector_in_any_company(embedder: Embedder) -> None:
    together = embedder(TEXTS)
    assert all(np.array_equal(embedder([text])[0], row) for text, row in zip(TEXTS, together, strict=True))
    with ThreadPoolExecutor(4) as threads:
        assert all(np.array_equal(vectors, together) for vectors in threads.map(embedder, [TEXTS] * 4))


def test_what_stands_behind_the_window_is_not_seen(embedder: Embedder) -> None:
    one, other = embedder(["x " * 255 + "the end", "x " * 255 + "another end"])
    assert np.array_equal(one, other)
    one, other = embedder(["x" * MAX_CHARS + " the end", "x" * MAX_CHARS + " another end"])
    assert np.array_equal(one, other)


def test_the_fastest_file_that_is_right_here_is_taken(onnx_model: Path, model: str, tmp_path: Path) -> None:
    best = onnx.int8_files()[0]
    assert onnx_file(ModelSpec(str(onnx_model))) == onnx_model / "onnx" / best
    assert onnx_file(ModelSpec(model)) is None  # it carries none
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "onnx").mkdir()
    for name in ("model_O4.onnx", "model.onnx", "model_quint8_avx2.onnx", "model_qint8_arm64.onnx", best):
        (tmp_path / "onnx" / name).touch()
        found = onnx_file(ModelSpec(str(tmp_path)))
        assert found is None if name == "model_O4.onnx" else found
    assert found == tmp_path / "onnx" / best


def test_the_settings_choose_the_engine(onnx_model: Path, model: str) -> None:
    name = str(onnx_model)
    assert onnx_file(ModelSpec(name, engine="torch")) is None
    assert onnx_file(ModelSpec(name, "cuda")) is None
    assert onnx_file(ModelSpec(name, "cpu", engine="onnx"))
    for spec, mend in ((ModelSpec(model, engine="onnx"), "headroom embedding export"), (ModelSpec(name, "cuda", engine="onnx"), "CPU")):
        for attempt in (check, Embedder):
            with pytest.raises(ModelUnavailable, match=mend):
                attempt(spec)


def test_a_card_is_torchs(onnx_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "_CARD", onnx_model)
    assert onnx_file(ModelSpec(str(onnx_model))) is None
    assert onnx_file(ModelSpec(str(onnx_model), "cpu"))
    assert onnx_file(ModelSpec(str(onnx_model), engine="onnx"))


def test_each_engine_and_file_has_an_identity(directory: Path, embedder: Embedder, torch: Embedder) -> None:
    assert Embedder(ModelSpec(str(directory))).identity == embedder.identity  # wherever it stands
    found = {embedder.identity, torch.identity}
    reads(directory, "sentence_bert_config.json", max_seq_length=128)
    found.add(Embedder(ModelSpec(str(directory))).identity)
    for name in onnx.int8_files():
        (directory / "onnx" / name).unlink(missing_ok=True)
    found.add(Embedder(ModelSpec(str(directory))).identity)
    assert len(found) == 4
    assert embedder.made(["a"]).model == embedder.identity


def test_pooling_is_read(directory: Path, embedder: Embedder) -> None:
    said = directory / "1_Pooling" / "config.json"
    said.write_text('{"pooling_mode": "mean"}')
    assert np.array_equal(Embedder(ModelSpec(str(directory)))(["a text"]), embedder(["a text"]))
    said.write_text('{"word_embedding_dimension": 384, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    ours = Embedder(ModelSpec(str(directory)))(["a text"])
    theirs = Embedder(ModelSpec(str(directory), "cpu", engine="torch"))(["a text"])
    assert (ours * theirs).sum() > 0.97 > (ours * embedder(["a text"])).sum()


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling is mean, max"),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False}, "pooling is not told"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "lower case"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "prompt"),
    ],
)
def test_what_is_not_done_here_is_refused(directory: Path, name: str, fields: dict[str, Any], why: str) -> None:
    reads(directory, name, **fields)
    with pytest.raises(ModelUnavailable, match=f"{why}.*: HEADROOM_EMBED_ENGINE=torch") as failure:
        Embedder(ModelSpec(str(directory)))
    assert failure.value.reason == "failed"


def test_other_modules_are_refused(directory: Path) -> None:
    modules = json.loads((directory / "modules.json").read_text())
    dense = {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    for changed in ([*modules, dense], modules[:1], [{**modules[0], "path": "0_Transformer"}, *modules[1:]]):
        (directory / "modules.json").write_text(json.dumps(changed))
        with pytest.raises(ModelUnavailable, match="its modules are"):
            Embedder(ModelSpec(str(directory)))


def test_a_damaged_file_is_no_model(directory: Path) -> None:
    file = onnx_file(ModelSpec(str(directory)))
    assert file
    file.unlink()
    file.write_bytes(b"\x00" * 64)
    with pytest.raises(ModelUnavailable) as failure:
        Embedder(ModelSpec(str(directory)))
    assert failure.value.reason == "failed"


def test_torch_is_not_imported(onnx_model: Path) -> None:
    code = (
        "from headroom.model import ModelSpec; from headroom.scoring.embedding import Embedder;"
        f"assert Embedder(ModelSpec({str(onnx_model)!r}))(['a text']).shape == (1, 384)"
    )
    assert imported(code, {"torch", "transformers", "sentence_transformers"}) == set()


def test_an_idle_model_takes_no_processor(onnx_model: Path) -> None:
    """Threads of onnxruntime that wait spin unless they are told not to."""
    code = (
        "import time; from headroom.model import ModelSpec; from headroom.scoring.embedding import Embedder;"
        f"embed = Embedder(ModelSpec({str(onnx_model)!r}, threads=2)); embed(['a text']);"
        "time.sleep(0.2); began = time.process_time(); time.sleep(1); print(time.process_time() - began)"
    )
    spent = float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert spent < 0.1
