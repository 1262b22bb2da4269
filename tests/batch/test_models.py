"""`headroom batch` with models: words left out of prose, and vectors; small ones on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from headroom.cli.llmlingua_texts import many, text
from headroom.cli.main import main
from headroom.compressors.llmlingua.pruner import Pruner
from headroom.model import Passage, PrunerSpec
from headroom.pipeline import PRUNED
from headroom.tokens import counter
from tests.batch.test_batch import batch, lines, talk
from tests.lingua_models import make
from tests.proxy.faces import printed
from tests.transcripts.samples import written

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def lingua_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make(tmp_path_factory.mktemp("lingua"), "bert-base-multilingual-cased", many(60)))


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADROOM_LLMLINGUA_DEVICE", "cpu")
    monkeypatch.setenv("HEADROOM_LLMLINGUA_THREADS", "1")


def told(row: dict[str, Any]) -> str:
    """The tool's output in a row."""
    content = row["messages"][2]["content"]
    found = content[0]["content"]
    assert isinstance(found, str)
    return found


def test_words_leave_prose_as_they_do_online(lingua_model: str, tmp_path: Path) -> None:
    prose = [text("en", "paragraphs", 30, seed) for seed in range(4)]
    source = [*({"id": n, "messages": printed(one)} for n, one in enumerate(prose)), {"a": 1}, talk(1)]
    plain = (written(tmp_path / "in.jsonl", source), tmp_path / "out", "--max-errors", "1")
    words = (*plain, "--llmlingua", "--llmlingua-model", lingua_model)
    done = batch(*words)
    assert done.exit_code == 0, done.output
    rows = lines(tmp_path / "out")
    assert [row["id"] for row in rows] == [0, 1, 2, 3, "talk-1"], "in order, the bad one apart"
    pruner = Pruner(PrunerSpec(lingua_model, device="cpu", threads=1), counter().count)
    for row, one in zip(rows, prose, strict=False):
        (alone,) = pruner([Passage(one, "What was decided?", 0.3, 0.0)])
        assert alone.text is not None
        assert told(row).partition("\n")[2] == alone.text
        assert any(PRUNED in label for label in row["transforms_applied"])
        read_back = CliRunner().invoke(main, ("retrieve", row["ccr_hashes"][0]))
        assert read_back.stdout.rstrip("\n") == one.rstrip("\n")
    resumed = batch(*words, "--resume")
    assert resumed.exit_code == 0, resumed.output
    other = batch(*plain, "--resume")
    assert "other settings" in other.stderr


def test_a_model_that_is_not_here(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [talk(1)])
    done = batch(source, tmp_path / "out", "--llmlingua", "--llmlingua-model", tmp_path / "none")
    assert done.exit_code == 1
    assert "is not on this machine" in done.stderr


def test_vectors(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_EMBED_MODEL", model)
    questions = ("How is the weather?", "What is the weather like?", "Which of the nodes is down?")
    talks = [{"id": n, "messages": [{"role": "user", "content": question}]} for n, question in enumerate(questions)]
    pq.write_table(pa.Table.from_pylist(talks), tmp_path / "in.parquet")
    assert batch(tmp_path / "in.parquet", tmp_path / "out", "--embed").exit_code == 0
    table = pq.read_table(next((tmp_path / "out").glob("part-*.parquet")))
    weather, again, nodes = table.column("embedding").to_pylist()
    assert len(weather) == 384

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert cosine(weather, weather) == pytest.approx(1, abs=1e-3)
    assert cosine(weather, again) > 0.8 > cosine(weather, nodes)
