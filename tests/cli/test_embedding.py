"""`headroom embedding export` and what `headroom doctor` says of the files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from headroom.cli.main import main
from headroom.scoring import onnx


@pytest.fixture
def plain(model: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


def export(directory: Path, *flags: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["embedding", "export", str(directory), *flags], catch_exceptions=False, env={"COLUMNS": "400"})
    return done.exit_code, done.output


def test_float32_alone_and_nothing_else_is_left(plain: Path) -> None:
    before = set(os.listdir(plain))
    code, said = export(plain, "--float32")
    assert (code, said.count("\n")) == (0, 1)
    assert "least 1.0000" in said
    assert set(os.listdir(plain)) == before | {"onnx"}
    assert os.listdir(plain / "onnx") == ["model.onnx"]


def test_all_files_of_this_machine(onnx_model: Path) -> None:
    assert set(os.listdir(onnx_model / "onnx")) == {"model.onnx", *onnx.int8_files()[:1]}


def test_files_that_are_not_as_good_are_not_written(plain: Path) -> None:
    """With weights a few of which are much larger than the others, eight bits are too few."""
    weights = dict(load_file(plain / "model.safetensors"))
    for name, weight in weights.items():
        if name.endswith(("query.weight", "key.weight")):
            weights[name] = weight * 6
    save_file(weights, plain / "model.safetensors", {"format": "pt"})
    before = set(os.listdir(plain))
    code, said = export(plain)
    assert code == 1
    assert "nothing was written" in said
    assert "--float32" in said
    assert set(os.listdir(plain)) == before


def test_a_model_that_could_not_be_run_is_not_exported(plain: Path) -> None:
    (plain / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    code, said = export(plain)
    assert code == 1
    assert "pooling is max" in said


def test_doctor_says_what_runs_the_model(onnx_model: Path, model: str, tmp_path: Path) -> None:
    def said(name: str) -> str:
        env = {"COLUMNS": "400", "HEADROOM_HOME": str(tmp_path), "HEADROOM_EMBED_MODEL": name}
        done = CliRunner().invoke(main, ["doctor", "--offline"], catch_exceptions=False, env=env)
        return next(line for line in done.output.splitlines() if " embeddings " in line)

    assert said(str(onnx_model)).endswith(f", {onnx.int8_files()[0]}")
    assert said(model).endswith(", torch")
