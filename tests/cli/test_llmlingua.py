"""`headroom llmlingua` with a small model."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from headroom.cli.llmlingua_texts import many
from headroom.cli.main import main
from tests.lingua_models import make


@pytest.fixture(scope="module")
def lingua_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("lingua"), "xlm-roberta-large", many(108))


def test_check_says_how_many_words_are_decided_alike(lingua_model: Path) -> None:
    done = CliRunner().invoke(
        main, ["llmlingua", "check", str(lingua_model), "--texts", "12"], catch_exceptions=False, env={"COLUMNS": "300"}
    )
    assert (done.exit_code, done.output.count("12 texts"), done.output.count(" 0 decided differently")) == (0, 3, 3)


def test_check_wants_a_model(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["llmlingua", "check", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 1
    assert "is not on this machine" in done.output


def test_measure_says_which_texts_pay(lingua_model: Path) -> None:
    done = CliRunner().invoke(
        main, ["llmlingua", "measure", str(lingua_model), "--device", "cpu"], catch_exceptions=False, env={"COLUMNS": "300"}
    )
    assert done.exit_code == 0
    assert "xlm-roberta-large on cpu" in done.output
    assert "ms per token" in done.output
    assert "At rate 0.3" in done.output


def test_doctor_says_whether_words_can_be_left_out(lingua_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def said() -> str:
        done = CliRunner().invoke(
            main, ["doctor", "--offline"], catch_exceptions=False, env={"COLUMNS": "400", "HEADROOM_HOME": str(tmp_path)}
        )
        return next(line for line in done.output.splitlines() if " llmlingua " in line)

    assert said().startswith("ok  llmlingua    off")
    monkeypatch.setenv("HEADROOM_LLMLINGUA", "true")
    assert said().startswith("!!  llmlingua    the model microsoft/")
    monkeypatch.setenv("HEADROOM_LLMLINGUA_MODEL", str(lingua_model))
    assert "texts that pay within 1000 ms, in tokens" in said()
