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


def headroom(*arguments: str, **variables: str) -> Result:
    program = [sys.executable, "-c", "from headroom.cli.main import main; main(prog_name='headroom')", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, env={**os.environ, **variables}, check=False)


def test_help_names_every_command() -> None:
    shown = headroom("--help")
    assert shown.returncode == 0
    for name, words in COMMANDS.items():
        assert f"  {name} " in shown.stdout
        assert words in shown.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    shown = headroom(name, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"Usage: headroom {name} ")


@pytest.mark.parametrize(
    ("typed", "meant"), [(["help"], ["--help"]), (["help", "proxy"], ["proxy", "--help"]), (["version"], ["--version"])]
)
def test_help_and_version_may_be_typed_as_commands(typed: list[str], meant: list[str]) -> None:
    shown = headroom(*typed)
    assert (shown.returncode, shown.stdout) == (0, headroom(*meant).stdout)
    assert shown.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["proxy", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom headroom.cli.main import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "print('heavy:', sorted({'ray', 'fastapi', 'uvicorn', 'tiktoken', 'httpx', 'rich', 'pyarrow'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("proxi", "No such command 'proxi'. Did you mean 'proxy'?\n"),
        ("frobnicate", "No such command 'frobnicate'.\n"),
    ],
)
def test_what_does_not_exist_is_named_and_what_was_meant(typed: str, told: str) -> None:
    shown = headroom(typed)
    assert shown.returncode == 2
    assert shown.stderr.endswith(f"Error: {told}")


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (["--port", "abc"], {}, "--port: Input should be a valid integer"),
        (["--fidelity", "some"], {}, "--fidelity"),
        ([], {"HEADROOM_PORT": "abc"}, "HEADROOM_PORT"),
        (["--openai-api-url", "api.openai.com"], {}, "--openai-api-url"),
        (["--config", "/nowhere/config.toml"], {}, "/nowhere/config.toml"),
    ],
)
def test_wrong_setting_is_one_line_and_exit_code_2(arguments: list[str], variables: dict[str, str], told: str) -> None:
    refused = headroom("proxy", *arguments, **variables)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Error: {told}")
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""


def test_unknown_name_in_the_config_file_is_an_error(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("prot = 8080\n")
    refused = headroom("proxy")
    assert refused.returncode == 2
    assert "prot" in refused.stderr
    assert str(home / "config.toml") in refused.stderr


def test_port_in_use_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = headroom("proxy", "--port", port)
    assert refused.returncode == 2
    assert f"port {port} is in use" in refused.stderr


def test_serve_names_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = headroom("serve", str(tmp_path / "none.yaml"))
    assert refused.returncode == 2
    assert refused.stderr.endswith("none.yaml: cannot be read (No such file or directory)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.chdir(tmp_path)
    assert "configs/local.yaml: cannot be read (No such file or directory); name a file like it" in headroom("serve").stderr


def test_serve_starts_this_python_again(tmp_path: Path) -> None:
    python, package, config = tmp_path / "python", tmp_path / "serve_app", tmp_path / "local.yaml"
    python.symlink_to(sys.executable)
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "run.py").write_text("import os, sys\nprint(sys.executable, *sys.argv[1:], os.environ['RAY_USAGE_STATS_ENABLED'])\n")
    config.write_text("applications: [{name: one}]\n")
    call = "from headroom.cli.main import main; main(prog_name='headroom')"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [python, "-c", call, "serve", config]
    started = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, cwd=tmp_path, check=False)
    assert started.stdout == f"{python} {config} 0\n", started.stderr
