"""Settings as command line options, made from `headroom.settings.fields()` so that no flag is written twice.

Values go to `settings.load` as the text that was typed: one place checks them, whatever their source.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from pydantic.fields import FieldInfo

from headroom import settings
from headroom.settings import Settings

_ALIASES = {("port",): "-p"}
_METAVARS = {int: "INTEGER", float: "NUMBER", str: "TEXT", bool: "true|false"}
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Finite(click.FloatRange):
    """A number in a range; inf and nan, which every comparison lets through, are none."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        number = super().convert(value, param, context)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, context)
        return number


def key(path: Iterable[str]) -> str:
    """The field's name in a TOML or YAML file: `compression.fidelity`."""
    return ".".join(path)


def allowed(info: FieldInfo) -> str:
    """The values a field takes, as shown in help: `lossless|reversible|off`, `INTEGER`, `PATH`."""
    kind = info.annotation
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
    kind = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    if typing.get_origin(kind) is Literal:
        return "|".join(str(value) for value in typing.get_args(kind))
    if typing.get_origin(kind) in (dict, tuple):
        return "JSON"
    return "PATH" if kind is Path else _METAVARS[typing.cast(type, kind)]


def default(info: FieldInfo) -> str:
    """The default as a person would type it, or an empty string."""
    if isinstance(info.default, bool):
        return str(info.default).lower()
    return "" if info.default is None else str(info.default)


def settings_options(command: _Command) -> _Command:
    """Add a flag for every setting that has one, and `--config`; the command receives them as keywords for `load`."""
    decorate = click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
    command = decorate(command)
    for path, info in reversed(list(settings.fields())):
        if flag := settings.extra(info, "flag"):
            command = _option(path, info, flag)(command)
    return command


def _option(path: tuple[str, ...], info: FieldInfo, flag: str) -> Callable[[_Command], _Command]:
    names = ["__".join(path), flag, *([_ALIASES[path]] if path in _ALIASES else [])]
    source = "; ".join(part for part in (settings.extra(info, "env"), default(info)) if part)
    help = f"{info.description}  [{source}]" if source else info.description
    if info.annotation is bool:
        return click.option(*names, default=None, help=help)
    return click.option(*names, metavar=allowed(info), default=None, help=help)


def load(config: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings from the keywords that `settings_options` made. Raises SettingsError."""
    return settings.load({tuple(name.split("__")): value for name, value in (flags or {}).items()}, config=config)


class SettingsCommand(click.Command):
    """A command whose help also lists the settings without a flag."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for path, info in settings.fields():
            if not settings.extra(info, "flag"):
                value = f"; {default(info)}" if default(info) else ""
                rows.append((settings.extra(info, "env") or key(path), f"{info.description}  [{key(path)}{value}]"))
        with formatter.section("Settings without a flag (environment variable, or name in the config file)"):
            formatter.write_dl(rows)
        formatter.write_paragraph()
        formatter.write_text("A flag wins over its environment variable, that over the config file, that over the default in brackets.")
