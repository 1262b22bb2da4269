"""The command as a person runs it: in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headroom.cli.main import COMMANDS

Result = subprocess.CompletedProcess[str]


def headroom(*arguments: str, home: Path, stdin: str = "", **variables: str) -> Result:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADROOM_", "ANTHROPIC_", "OPENAI_"))}
    program = [sys.executable, "-c", "from headroom.cli.main import main; main(prog_name='headroom')", *arguments]
    env = {**kept, "HEADROOM_HOME": str(home), **variables}
    return subprocess.run(program, input=stdin, capture_output=True, text=True, timeout=60, env=env, check=False)


def test_help_names_every_command(tmp_path: Path) -> None:
    shown = headroom("--help", home=tmp_path)
    assert shown.returncode == 0
    for name, words in COMMANDS.items():
        assert f"  {name} " in shown.stdout
        assert words in shown.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, tmp_path: Path) -> None:
    shown = headroom(name, "--help", home=tmp_path)
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"Usage: headroom {name} ")


@pytest.mark.parametrize("arguments", [["--help"], ["proxy", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\nfrom headroom.cli.main import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "print('heavy:', sorted({'ray', 'fastapi', 'uvicorn', 'tiktoken', 'httpx', 'rich', 'pyarrow'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.splitlines()[-1] == "heavy: []"


def test_unknown_command_is_named(tmp_path: Path) -> None:
    shown = headroom("prox", home=tmp_path)
    assert shown.returncode == 2
    assert "No such command 'prox'" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (["--port", "70000"], {}, "--port"),
        (["--fidelity", "some"], {}, "--fidelity"),
        ([], {"HEADROOM_PORT": "abc"}, "HEADROOM_PORT"),
        (["--openai-api-url", "api.openai.com"], {}, "--openai-api-url"),
        (["--config", "/nowhere/config.toml"], {}, "/nowhere/config.toml"),
    ],
)
def test_wrong_setting_is_one_line_and_exit_code_2(arguments: list[str], variables: dict[str, str], told: str, tmp_path: Path) -> None:
    refused = headroom("proxy", *arguments, home=tmp_path, **variables)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Error: {told}")
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""


def test_unknown_name_in_the_config_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("prot = 8080\n")
    refused = headroom("proxy", home=tmp_path)
    assert refused.returncode == 2
    assert "prot" in refused.stderr
    assert str(tmp_path / "config.toml") in refused.stderr


def test_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = headroom("proxy", "--port", port, home=tmp_path)
    assert refused.returncode == 2
    assert f"port {port} is in use" in refused.stderr


def test_serve_names_a_missing_file(tmp_path: Path) -> None:
    refused = headroom("serve", str(tmp_path / "none.yaml"), home=tmp_path)
    assert refused.returncode == 2
    assert "none.yaml: no such file" in refused.stderr
