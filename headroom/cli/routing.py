"""Where the tools on this machine send their requests, as far as their environment and their settings say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headroom.cli.config_edit import Toml, read
from headroom.cli.mcp_clients import clients
from headroom.cli.tools import TOOLS, claude_settings_url
from headroom.settings import Settings


@dataclass(frozen=True, slots=True)
class Target:
    """`source` names what says so; both are empty for a tool that goes to its provider."""

    tool: str
    url: str = ""
    source: str = ""


def targets(settings: Settings, environ: Mapping[str, str]) -> Iterator[Target]:
    """One per tool that is installed here."""
    known = {"claude": _claude, "codex": _codex, "aider": _aider}
    for name, find in known.items():
        if shutil.which(TOOLS[name].program, path=environ.get("PATH")):
            yield find(settings, environ)


def _claude(settings: Settings, environ: Mapping[str, str]) -> Target:
    if found := claude_settings_url(settings):
        file, url = found
        return Target("claude", url, f"env.ANTHROPIC_BASE_URL in {file}")
    return _variable("claude", environ, "ANTHROPIC_BASE_URL")


def _codex(settings: Settings, environ: Mapping[str, str]) -> Target:
    """The provider that its configuration chooses; Codex reads no variable for this."""
    file = clients(settings)["codex"].file
    try:
        text = read(file) or ""
        chosen = Toml().get(text, ["model_provider"])
        path = ["model_providers", chosen, "base_url"] if isinstance(chosen, str) else ["openai_base_url"]
        url = Toml().get(text, path)
    except (ValueError, OSError):
        url = None  # Codex itself says what is wrong with its settings
    return Target("codex", url, f"{'.'.join(path)} in {file}") if isinstance(url, str) else Target("codex")


def _aider(settings: Settings, environ: Mapping[str, str]) -> Target:
    return _variable("aider", environ, "OPENAI_API_BASE", "ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL")


def _variable(tool: str, environ: Mapping[str, str], *names: str) -> Target:
    return next((Target(tool, environ[name], name) for name in names if environ.get(name)), Target(tool))
