"""`headroom serve`: what it says of a configuration, and what it tells Ray before it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from ray._common.usage import usage_constants
from ray._private import ray_constants
from ray.serve._private import constants as serve_constants

from headroom.cli.haproxy import on_loopback
from headroom.cli.main import main
from headroom.cli.serve import ALWAYS, FAST, LOCAL
from tests.serve.deployed import until

CONFIGS = Path(__file__).parents[2] / "configs"
CONFIG = """\
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend prometheus
    bind :9101
    http-request return status 200
frontend http_frontend
    bind 127.0.0.1:8000
    http-request return status 200
listen stats
  bind *:8404
  stats enable
"""
APPLICATION = "applications: [{import_path: 'serve_app.app:build'}]\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("options", "fast"),
    [
        ("", True),
        ("http_options: {}\n", True),
        ("http_options: {port: 8000}\n", True),
        ("http_options: {host: 0.0.0.0}\n", True),
        ("http_options: {host: '::'}\n", True),
        ("http_options: {host: headroom.internal}\n", False),
        ("http_options: {host: 10.0.0.5}\n", False),
        ("http_options: {host: 127.0.0.1}\n", False),
        ("http_options: {host: '::1'}\n", False),
    ],
)
def test_a_cluster_is_told_the_fast_profile_where_haproxy_can_reach_replicas(tmp_path: Path, options: str, fast: bool) -> None:
    result = CliRunner().invoke(main, ["serve", "--environment", str(written(tmp_path, options + APPLICATION))])
    assert result.output.splitlines() == [f"export {name}={value}" for name, value in (ALWAYS | FAST if fast else ALWAYS).items()]


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: [", "not YAML"), ("[]", "has no applications"), ("applications: []", "has no applications"), ("\x00", "not YAML")],
)
def test_what_is_no_configuration_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path, text)
    result = CliRunner().invoke(main, ["serve", str(file)])
    assert result.exit_code
    assert f"{file}: " in result.output
    assert says in result.output


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "absent.yaml"):
        result = CliRunner().invoke(main, ["serve", str(file)])
        assert result.exit_code
        assert "cannot be read" in result.output


def test_ray_knows_the_variables(tmp_path: Path) -> None:
    source = "".join(Path(str(module.__file__)).read_text() for module in (ray_constants, usage_constants, serve_constants))
    names = {**ALWAYS, **FAST, **on_loopback(tmp_path)}
    assert [name for name in names if f'"{name}"' not in source] == []


def test_ray_is_told_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_SERVE_ENABLE_HA_PROXY": "0"})
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: started.append((words, dict(os.environ))))
    file = written(tmp_path, APPLICATION)
    assert CliRunner().invoke(main, ["serve", str(file)]).exit_code == 0
    [(words, environment)] = started
    assert words[1:] == ["-m", "serve_app.run", str(file)]
    assert environment | ALWAYS | FAST | {"RAY_SERVE_ENABLE_HA_PROXY": "0"} == environment


def test_on_loopback_haproxy_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], "RAY_SERVE_HAPROXY_STATS_PORT": "8404"})
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: started.append((words, dict(os.environ))))
    file = written(tmp_path, "http_options: {host: 127.0.0.1}\n" + APPLICATION)
    assert CliRunner().invoke(main, ["serve", str(file)]).exit_code == 0
    [(words, environment)] = started
    folder = Path(words[-1])
    try:
        assert environment | ALWAYS | LOCAL == environment
        assert environment["RAY_SERVE_HAPROXY_STATS_PORT"] != "8404"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {Path(value).parent for value in environment.values() if value.startswith(f"{folder}/")} == {folder}
        config = folder / "node" / "haproxy.cfg"
        config.parent.mkdir()
        config.write_text(CONFIG)
        done = subprocess.run(
            [environment["RAY_SERVE_HAPROXY_BINARY_PATH"], "-c", "-f", config], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.strip() for line in config.read_text().splitlines() if "bind" in line] == [
            "bind 127.0.0.1:9101",
            "bind 127.0.0.1:8000",
            "bind 127.0.0.1:8404",
        ]
    finally:
        shutil.rmtree(folder)


def test_without_haproxy_ray_keeps_its_own_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_SERVE_HAPROXY_BINARY_PATH": str(tmp_path / "absent"), "PATH": ""})
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: started.append((words, dict(os.environ))))
    file = written(tmp_path, "http_options: {host: 127.0.0.1}\n" + APPLICATION)
    assert CliRunner().invoke(main, ["serve", str(file)]).exit_code == 0
    [(words, environment)] = started
    Path(words[-1]).rmdir()
    assert environment | ALWAYS == environment
    assert not set(FAST) & set(environment)


def test_a_single_interface_is_served_by_rays_own_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: started.append(words))
    file = written(tmp_path, "http_options: {host: 10.0.0.5}\n" + APPLICATION)
    result = CliRunner().invoke(main, ["serve", str(file)])
    assert "HAProxy needs host 0.0.0.0 or 127.0.0.1; for 10.0.0.5 Ray's own proxy serves" in result.stderr
    assert (started[0][1:], dict(os.environ)) == (["-m", "serve_app.run", str(file)], ALWAYS)


def test_haproxy_ends_with_the_process_that_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    haproxy = tmp_path / "installed"
    haproxy.write_text("#!/bin/sh\nexec sleep 60\n")
    haproxy.chmod(0o700)
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", str(haproxy))
    script = on_loopback(tmp_path)["RAY_SERVE_HAPROXY_BINARY_PATH"]
    start = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1]).pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", start, script], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        running = psutil.Process(int(starter.stdout.readline()))
        until(lambda: running.name() == "sleep")
        starter.kill()
    until(lambda: not running.is_running() or running.status() == psutil.STATUS_ZOMBIE)
