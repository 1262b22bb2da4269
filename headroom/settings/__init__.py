"""Every setting of Headroom, its default, its environment variable and its flag: the only place that reads the environment.

Precedence: flag > environment > `~/.headroom/config.toml` > default. A key that is not a field is an error.
The TOML file and the YAML's `settings:` have the same tree as `Settings`.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from headroom.errors import SettingsError
from headroom.settings.backends import BackendRoute, BackendSpec, BackendsSettings
from headroom.settings.callers import AccessSettings, LimitsSettings
from headroom.settings.parts import user_path
from headroom.settings.sections import (
    CacheSettings,
    ClientSettings,
    CompressionSettings,
    ContextSettings,
    LLMLinguaSettings,
    ScoringSettings,
    StatsSettings,
    StoreSettings,
    TelemetrySettings,
    TracingSettings,
    UpstreamSettings,
)
from headroom.settings.tree import Settings

__all__ = [
    "AccessSettings",
    "BackendRoute",
    "BackendSpec",
    "BackendsSettings",
    "CacheSettings",
    "ClientSettings",
    "CompressionSettings",
    "ContextSettings",
    "LLMLinguaSettings",
    "LimitsSettings",
    "ScoringSettings",
    "Settings",
    "StatsSettings",
    "StoreSettings",
    "TelemetrySettings",
    "TracingSettings",
    "UpstreamSettings",
    "environment",
    "export",
    "extra",
    "fields",
    "load",
    "preset",
    "variable",
]


def fields() -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every leaf field with its path in the tree, in the order they are written."""

    def walk(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
        for name, info in model.model_fields.items():
            kind = info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from walk(kind, (*path, name))
            else:
                yield (*path, name), info

    return walk(Settings, ())


def extra(info: FieldInfo, key: Literal["env", "flag"]) -> str:
    """The environment variable or flag of a field, or an empty string."""
    known = info.json_schema_extra
    return str(known.get(key, "")) if isinstance(known, dict) else ""


def load(
    flags: Mapping[tuple[str, ...], Any] | None = None,
    env: Mapping[str, str] | None = None,
    config: Path | None = None,
    *,
    binds: bool = True,
) -> Settings:
    """Build the settings from flags (path in the tree -> value), the environment and a TOML file.

    `config` must exist when given; without it `config.toml` in the home directory is read if there
    is one. `binds` is False when another server listens (gunicorn): the default host says nothing
    then, and `callers: auto` means credential unless a host is set. Raises SettingsError naming the
    field, its source and what is allowed.
    """
    env = os.environ if env is None else env
    tree, sources = _read_toml(env, config)
    for path, info in fields():
        name = extra(info, "env")
        if name and env.get(name):
            _put(tree, path, env[name])
            sources[path] = name
        if flags and flags.get(path) is not None:
            _put(tree, path, flags[path])
            sources[path] = extra(info, "flag").split("/")[0] or ".".join(path)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as failure:
        raise SettingsError(_explain(failure, sources)) from None
    if binds or "host" in tree or settings.access.callers != "auto" or settings.callers == "keys":
        return settings
    return settings.model_copy(update={"access": settings.access.model_copy(update={"callers": "credential"})})


def _read_toml(env: Mapping[str, str], config: Path | None) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    try:
        file = config or Path(user_path(env.get("HEADROOM_HOME") or "~/.headroom")) / "config.toml"
    except ValueError as failure:
        raise SettingsError(str(failure)) from None
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as failure:
        if config is None and isinstance(failure, FileNotFoundError):
            return {}, {}
        raise SettingsError(f"{file}: cannot be read ({failure.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise SettingsError(f"{file}: not valid TOML: {failure}") from None
    return tree, {(): str(file)}


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        branch = tree.setdefault(name, {})
        if not isinstance(branch, dict):
            return
        tree = branch
    tree[path[-1]] = value


def _explain(failure: ValidationError, sources: Mapping[tuple[str, ...], str]) -> str:
    lines = []
    for problem in failure.errors():
        path = tuple(str(part) for part in problem["loc"])
        source = sources.get(path) or sources.get((), "settings")
        lines.append(f"{source}: {'.'.join(path)}: {problem['msg']}")
    return "\n".join(lines)


def environment() -> dict[str, str]:
    """A copy of this process's environment, for a process that it starts."""
    return dict(os.environ)


def variable(name: str, env: Mapping[str, str] | None = None) -> str:
    """The value of a variable that a setting or a grant names, such as a provider's credential; empty when there is none."""
    return (os.environ if env is None else env).get(name, "") if name else ""


def preset(values: Mapping[str, str]) -> None:
    """Put variables into this process's environment that a library reads when it is imported."""
    os.environ.update(values)


def export(settings: Settings) -> None:
    """Put the settings into this process's environment, so that the processes it starts `load` the same."""
    tree = settings.model_dump(mode="json")
    for path, info in fields():
        value: Any = tree
        for name in path:
            value = value[name]
        if (variable := extra(info, "env")) and value is not None:
            os.environ[variable] = json.dumps(value) if isinstance(value, list | dict) else str(value)
