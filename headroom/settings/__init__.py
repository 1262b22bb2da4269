"""Every setting of Headroom, its default, its environment variable and its flag: the only place that reads the environment.

Precedence: flag > environment > `~/.headroom/config.toml` > default. A key that is not a field is an error.
The TOML file and the YAML's `settings:` have the same tree as `Settings`.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

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
    "in_words",
    "load",
    "preset",
    "unread",
    "variable",
]

_PREFIX = "HEADROOM_"
_FOR_SERVICE = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP|SCTP)")
_LIST = "`headroom proxy --help` lists them all"


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
        if name and env.get(name) and not _of_kubernetes(name, env[name]):
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


def _of_kubernetes(name: str, value: str) -> bool:
    """Whether this is one of the variables that every pod gets for a Service called `headroom`, such as
    `HEADROOM_PORT=tcp://10.0.0.1:8787`, and nobody's setting."""
    return bool(_FOR_SERVICE.search(name)) or (name.endswith("_PORT") and "://" in value)


def unread(settings: Settings, env: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable called HEADROOM_* that is no setting, with the one that was probably meant."""
    env = os.environ if env is None else env
    meant: dict[str, str] = {}
    for path, info in fields():
        if name := extra(info, "env"):
            meant |= dict.fromkeys(("_".join(path).upper(), name.removeprefix(_PREFIX)), name)
    named = settings.model_dump_json()  # a backend may name any variable as the place of its key
    sentences = []
    for name in sorted(env):
        if name.startswith(_PREFIX) and name not in meant.values() and name not in named and not _of_kubernetes(name, env[name]):
            like = difflib.get_close_matches(name.removeprefix(_PREFIX), meant, n=1, cutoff=0.7)
            sentences.append(f"no setting is called {name}" + (f"; did you mean {meant[like[0]]}?" if like else ""))
    return sentences


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
    """A line for each problem: the flag, the variable or the file that it comes from, and what that does not say of the place."""
    lines = []
    for problem in failure.errors():
        path = tuple(str(part) for part in problem["loc"])
        named = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in sources), ())
        lines.append(": ".join(filter(None, (sources.get(named, "settings"), ".".join(path[len(named) :]), in_words(problem)))))
    return "\n".join(lines)


def in_words(problem: ErrorDetails) -> str:
    """What is wrong with a setting, in words for who wrote it."""
    if problem["type"] == "extra_forbidden":
        return _unknown(tuple(str(part) for part in problem["loc"]))
    found = re.findall(r"([a-z]+)(\??)(:///?)", problem.get("ctx", {}).get("pattern", ""))
    schemes = [scheme for name, either, rest in found for scheme in ([name[:-1] + rest] if either else []) + [name + rest]]
    return f"must begin with {', '.join(schemes[:-1])} or {schemes[-1]}" if schemes else problem["msg"]


def _unknown(path: tuple[str, ...]) -> str:
    """Of a name that is none: the one that looks like it in the same place, or is called so in another."""
    known = sorted({place[:length] for place, _ in fields() for length in range(1, len(place) + 1)})
    beside = {place[-1]: place for place in known if place[:-1] == path[:-1]}
    like = [beside[name] for name in difflib.get_close_matches(path[-1], beside, n=1)]
    like += [place for place in known if place[-1] == path[-1]]
    return f"there is no such setting; did you mean {'.'.join(like[0])}?" if like else f"there is no such setting; {_LIST}"


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
    """Put what is set into this process's environment, and where it listens, so that the processes it starts `load` the same."""
    tree = settings.model_dump(mode="json", exclude_unset=True) | {"host": settings.host}
    for path, info in fields():
        value: Any = tree
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if (variable := extra(info, "env")) and value is not None:
            os.environ[variable] = json.dumps(value) if isinstance(value, list | dict) else str(value)
