"""`headroom serve`: what it says of a configuration, and what it tells Ray before it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from ray._private import ray_constants
from ray.serve._private import constants as serve_constants

from headroom.cli.main import main
from headroom.cli.serve import ALWAYS, FAST, environment_for
from headroom.errors import SettingsError

CONFIGS = Path(__file__).parents[2] / "configs"
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
        ("http_options: {host: headroom.internal}\n", True),
        ("http_options: {host: 127.0.0.1}\n", False),
        ("http_options: {host: '::1'}\n", False),
        ("http_options: {host: localhost}\n", False),
    ],
)
def test_the_fast_profile_is_for_what_others_reach(tmp_path: Path, options: str, fast: bool) -> None:
    assert environment_for(written(tmp_path, options + APPLICATION)) == (ALWAYS | FAST if fast else ALWAYS)


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: [", "not YAML"), ("[]", "has no applications"), ("applications: []", "has no applications"), ("\x00", "not YAML")],
)
def test_what_is_no_configuration_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError, match=says) as raised:
        environment_for(file)
    assert str(file) in raised.value.message


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "absent.yaml"):
        result = CliRunner().invoke(main, ["serve", str(file)])
        assert result.exit_code
        assert "cannot be read" in result.output


def test_the_environment_is_printed_for_nodes_of_a_cluster() -> None:
    result = CliRunner().invoke(main, ["serve", "--environment", str(CONFIGS / "prod.yaml")])
    assert result.output.splitlines() == [f"export {name}={value}" for name, value in (ALWAYS | FAST).items()]


def test_ray_knows_the_variables() -> None:
    source = "".join(Path(str(module.__file__)).read_text() for module in (ray_constants, serve_constants))
    assert [name for name in FAST if f'"{name}"' not in source] == []


def test_ray_is_told_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_SERVE_ENABLE_HA_PROXY": "0"})
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: started.append((words, dict(os.environ))))
    file = written(tmp_path, APPLICATION)
    assert CliRunner().invoke(main, ["serve", str(file)]).exit_code == 0
    [(words, environment)] = started
    assert words[1:] == ["-m", "serve_app.run", str(file)]
    assert environment | ALWAYS | FAST | {"RAY_SERVE_ENABLE_HA_PROXY": "0"} == environment
