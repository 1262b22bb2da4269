"""Without the extras every command says in a line which one it needs, and `headroom doctor` goes on to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from headroom.cli.main import COMMANDS

# What `pip install headroom` alone does not bring, as far as commands import it.
_ABSENT = (
    *("aiohttp", "anyio", "brotli", "fastapi", "gunicorn", "prometheus_client", "pyarrow", "starlette", "uvicorn", "yaml", "yarl"),
    *("hnswlib", "huggingface_hub", "mcp", "numpy", "onnx", "onnxruntime", "ray", "redis", "sentence_transformers", "simpy", "tokenizers"),
    *("tomlkit", "torch", "transformers"),
)
_BARE = f"import sys; sys.modules.update(dict.fromkeys({_ABSENT!r})); from headroom.cli.main import main; main(prog_name='headroom')"


def bare(words: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _BARE, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("proxy", "--port", "0"), "proxy"),
        (("serve",), "serve"),
        (("simulate", "in.jsonl"), "proxy"),
        (("batch", "in.jsonl", "out", "--workers", "0"), "proxy"),
        (("stats", "export", "--out", "rows.parquet"), "proxy"),
        (("telemetry",), "proxy"),
        (("telemetry", "--show"), "proxy"),
        (("mcp",), "mcp"),
        (("embedding", "export", "."), "embed-export"),
        (("llmlingua", "check", "."), "llmlingua"),
        (("llmlingua", "measure", "."), "llmlingua"),
        (("capacity", "--users", "3", "--requests-per-user-hour", "4"), "capacity"),
    ],
    ids=lambda given: given if isinstance(given, str) else " ".join(given[:2]),
)
def test_a_command_names_the_extra_it_needs(words: tuple[str, ...], extra: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}]}) + "\n")
    refused = bare(words, tmp_path)
    assert refused.returncode in (1, 2)
    assert refused.stderr.startswith("Error: ")
    assert f"pip install 'headroom[{extra}]'" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_doctor_goes_on_to_its_end(tmp_path: Path) -> None:
    told = bare(("doctor", "--offline"), tmp_path)
    assert (told.returncode, told.stderr) == (1, "")
    assert "-> pip install 'headroom[proxy]'" in told.stdout
    assert told.stdout.splitlines()[-1].startswith("ok  access")


def test_every_command_tells_its_options(tmp_path: Path) -> None:
    for name in COMMANDS:
        told = bare((name, "--help"), tmp_path)
        assert (told.returncode, told.stderr) == (0, ""), name
