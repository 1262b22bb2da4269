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
