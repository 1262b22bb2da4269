"""The tools that `headroom wrap` starts: what each needs in its environment and on its command line to go through Headroom.

Nothing here touches a file. A tool's own credential stays in place; a key for Headroom stands in for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headroom.cli.config_edit import Json, read
from headroom.settings import Settings
from headroom.settings.egress import loopback

_BASE_URL = "ANTHROPIC_BASE_URL"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a tool shall go: `url` without a path, `key` for a Headroom that knows its callers by keys, or empty."""

    url: str
    key: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Tool:
    """`environment` gives variables to set, None to unset; `arguments` stands in front of the user's own.

    A tool without a program is started by the user; `told` is what to do there.
    """

    program: str
    environment: Callable[[Route, Mapping[str, str]], Mapping[str, str | None]]
    arguments: Callable[[Route, Mapping[str, str], Sequence[str]], list[str]] = lambda route, environ, given: []
    told: Callable[[Route], str] = lambda route: ""


def variables(tool: Tool, route: Route, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the tool; what stands between it and this machine (HTTP_PROXY) is told to let it through."""
    changes = dict(tool.environment(route, environ))
    if loopback(route.url) and any(environ.get(name) or environ.get(name.upper()) for name in _PROXIES):
        for name in ("no_proxy", "NO_PROXY"):
            changes[name] = ",".join(filter(None, (environ.get(name), "127.0.0.1,localhost,::1")))
    return {name: value for name, value in {**environ, **changes}.items() if value is not None}


def _claude_environment(route: Route, environ: Mapping[str, str]) -> Mapping[str, str | None]:
    return {_BASE_URL: route.url, **({"ANTHROPIC_AUTH_TOKEN": route.key, "ANTHROPIC_API_KEY": None} if route.key else {})}


def _claude_arguments(route: Route, environ: Mapping[str, str], given: Sequence[str]) -> list[str]:
    """Claude Code prefers the base URL of a settings file to its environment, and that of --settings to both."""
    if claude_settings_url(route.settings) is None or "--settings" in given:
        return []
    return ["--settings", json.dumps({"env": {_BASE_URL: route.url}})]


def claude_settings_url(settings: Settings) -> tuple[Path, str] | None:
    """The settings file of Claude Code that names a base URL, and the URL; the one that wins."""
    user = (settings.client.claude_config_dir or Path.home() / ".claude") / "settings.json"
    project = Path.cwd() / ".claude"
    for file in (project / "settings.local.json", project / "settings.json", user):
        try:
            env = Json().get(read(file) or "", ["env"])
        except (ValueError, OSError):
            continue  # Claude Code itself says what is wrong with its settings
        if isinstance(env, Mapping) and isinstance(env.get(_BASE_URL), str):
            return file, env[_BASE_URL]
    return None


def _codex_environment(route: Route, environ: Mapping[str, str]) -> Mapping[str, str | None]:
    return {"OPENAI_BASE_URL": f"{route.url}/v1", **({"HEADROOM_API_KEY": route.key} if route.key else {})}


def _codex_arguments(route: Route, environ: Mapping[str, str], given: Sequence[str]) -> list[str]:
    """A model provider for this process alone: over HTTP, with the key of the environment or else Codex's own login."""
    provider: dict[str, str | bool] = {"name": "Headroom", "base_url": f"{route.url}/v1", "wire_api": "responses"}
    if route.key:
        provider["env_key"] = "HEADROOM_API_KEY"
    elif environ.get("OPENAI_API_KEY"):
        provider["env_key"] = "OPENAI_API_KEY"
    else:
        provider["requires_openai_auth"] = True
    values = {"model_provider": "headroom", **{f"model_providers.headroom.{name}": value for name, value in provider.items()}}
    return [part for name, value in values.items() for part in ("-c", f"{name}={json.dumps(value)}")]


def _aider_environment(route: Route, environ: Mapping[str, str]) -> Mapping[str, str | None]:
    keys = {"OPENAI_API_KEY": route.key, "ANTHROPIC_API_KEY": route.key} if route.key else {}
    return {"OPENAI_API_BASE": f"{route.url}/v1", _BASE_URL: route.url, "ANTHROPIC_API_BASE": route.url, **keys}


def _cursor(route: Route) -> str:
    key = route.key or "your provider's key, as before"
    return (
        "In Cursor: Settings > Models > API Keys\n"
        f"  OpenAI API Key            {key}\n"
        f"  Override OpenAI Base URL  {route.url}/v1\n"
        "Cursor calls it from its own servers: an address that is reachable only on this machine needs a tunnel."
    )


TOOLS: Mapping[str, Tool] = {
    "claude": Tool("claude", _claude_environment, _claude_arguments),
    "codex": Tool("codex", _codex_environment, _codex_arguments),
    "aider": Tool("aider", _aider_environment),
    "cursor": Tool("", lambda route, environ: {}, told=_cursor),
}
