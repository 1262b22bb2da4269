"""Flags are made from the settings: all of them, with their variable and default, and in the right order of precedence."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from headroom import settings
from headroom.cli.options import SettingsCommand, allowed, load, settings_options
from headroom.cli.reference import markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


@click.command(cls=SettingsCommand)
@settings_options
def show(config: Path | None, **flags: object) -> None:
    made = load(config, flags)
    click.echo(f"{made.host} {made.port} {made.optimize} {made.compression.fidelity}")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(show, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def test_help_shows_every_flag_and_every_variable() -> None:
    shown = CliRunner().invoke(show, ["--help"]).output
    for path, info in settings.fields():
        flag, variable = settings.extra(info, "flag"), settings.extra(info, "env")
        assert all(part in shown for part in flag.split("/"))
        assert variable in shown
        assert flag or variable or ".".join(path) in shown


def test_flag_over_environment_over_file_over_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run() == "127.0.0.1 8787 True reversible"
    home.mkdir()
    (home / "config.toml").write_text('port = 1001\nhost = "127.0.0.2"\noptimize = false\n[compression]\nfidelity = "off"\n')
    assert run() == "127.0.0.2 1001 False off"
    monkeypatch.setenv("HEADROOM_PORT", "1002")
    monkeypatch.setenv("HEADROOM_FIDELITY", "lossless")
    assert run() == "127.0.0.2 1002 False lossless"
    assert run("-p", "1003", "--optimize", "--fidelity", "reversible") == "127.0.0.2 1003 True reversible"


def test_config_option_replaces_the_file_in_the_home_directory(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("port = 1001\n")
    other = home / "other.toml"
    other.write_text("port = 1002\n")
    assert run("--config", str(other)).split()[1] == "1002"


def test_every_kind_of_setting_has_words_for_its_values() -> None:
    shown = {".".join(path): allowed(info) for path, info in settings.fields()}
    assert shown["compression.fidelity"] == "lossless|reversible|off"
    assert (shown["port"], shown["store.ttl_hours"], shown["store.path"], shown["optimize"]) == ("INTEGER", "NUMBER", "PATH", "true|false")


def test_settings_document_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == markdown(), "run: python -m headroom.cli.reference > docs/settings.md"


def test_settings_document_names_every_field() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    for path, info in settings.fields():
        (line,) = [line for line in document.splitlines() if line.startswith(f"| `{'.'.join(path)}` |")]
        assert info.description
        assert info.description in line
