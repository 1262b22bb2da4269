"""Whether a command of a page is one that exists: its sub-command, its options, the files and the routes it names. Nothing is run.

Each check gives what is wrong, or an empty string.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from unittest import mock
from urllib.parse import urlsplit

import click
from starlette.routing import Match, Route

from headroom import settings
from headroom.batch.run import Order
from headroom.cli.main import main
from headroom.cli.options import SettingsCommand, load
from headroom.errors import SettingsError
from headroom.proxy.server import Application, embedded_app
from headroom.settings import Settings
from tests.docs.pages import ROOT, Command, Step, commands

HERE = "http://127.0.0.1:8787"  # where the proxy of the pages listens
_BASES = ("", "/", "/v1")  # what clients are given as a base URL
_STAND_FOR = {"N": "3", "TOOL": "claude", "[ID]": "s-1", "DIRECTORY": "."}  # words of the pages that an option would refuse as they are
_OURS = re.compile(r"\bHEADROOM_[A-Z0-9_]+\b")
_METHOD = re.compile(r"(GET|POST|PUT|DELETE|HEAD) (/\S*)")
_URL = re.compile(rf"{re.escape(HERE)}(/[^\s\"'`);,}}]*)?")
_BATCH_WORDS = {"workers", "address", "config", "flags", "json"}  # that serve_app.batch takes beside those of an order


class _Parsed(Exception):
    """Raised where a program would begin to work."""


def wrong(step: Step) -> Iterator[str]:
    """What is wrong with one shell line or piece of code."""
    for command in step.commands:
        yield from filter(None, (_settings(command.variables), _program(command), _files(command)))
    yield from variables(step.text)
    yield from routes(step.text)


def variables(text: str) -> Iterator[str]:
    """Variables of ours that nobody reads."""
    yield from (f"nothing reads {name}" for name in _OURS.findall(text) if name not in _read())


def routes(text: str) -> Iterator[str]:
    """Routes of ours that are none: behind a method, or behind the address of the proxy."""
    for method, path in _METHOD.findall(text):
        if not _serves([method], urlsplit(path).path):
            yield f"{method} {path}: there is no such route"
    for path in _URL.findall(text):
        if path not in _BASES and not _serves(["GET", "POST"], urlsplit(path).path):
            yield f"{path}: there is no such route"


@cache
def _read() -> frozenset[str]:
    known = {settings.extra(info, "env") for _, info in settings.fields()}
    sources = [file for folder in ("headroom/settings", "tests/chaos") for file in (ROOT / folder).glob("*.py")]
    return frozenset(known | {name for file in sources for name in _OURS.findall(file.read_text(encoding="utf-8"))})


@cache
def _application() -> Application:
    with tempfile.TemporaryDirectory() as home:
        return embedded_app(Settings(home=home))


def _serves(methods: Sequence[str], path: str) -> bool:
    """Whether a route is ours, or a provider's that we read; one that only passes on, or refuses, takes every method."""
    application = _application()
    if "POST" in methods and path in application.provider_routes:
        return True
    scope = {"type": "http", "path": path, "root_path": "", "headers": []}
    for method in methods:
        route = next(route for route in application.router.routes if route.matches(scope | {"method": method})[0] is Match.FULL)
        if not isinstance(route, Route) or route.methods:
            return True
    return False


def _settings(given: dict[str, str]) -> str:
    """Values of settings that would be refused; those that a reader is to fill in are not looked at."""
    env = {name: value for name, value in given.items() if "..." not in value and "$" not in value}
    try:
        settings.load(env={"HEADROOM_HOME": "/nonexistent", **env})
    except SettingsError as failure:
        return failure.message
    return ""


def _files(command: Command) -> str:
    """A file of ours that is not there."""
    for word in command.words[1:]:
        path = word.rpartition("=")[2]
        if re.match(r"(benchmarks|configs|docs|headroom|serve_app|tests)/[\w./-]+$", path) and not (ROOT / path).exists():
            return f"{path}: there is no such file"
    return ""


def _program(command: Command) -> str:
    words = [_STAND_FOR.get(word, word) for word in command.words]
    if "..." in words:  # the rest is as it was said before
        return ""
    if not words:
        return ""
    name = words[0].removeprefix(".venv/bin/")
    check = _CHECKS.get(name)
    return check(words[1:]) if check else ""


def _headroom(words: Sequence[str]) -> str:
    command: click.Command = main
    name, rest = "headroom", list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            return f"`{name}` has no command `{rest[0]}`"
        command, name = found, f"{name} {rest.pop(0)}"
    try:
        context = command.make_context(name, list(rest))
        if isinstance(command, SettingsCommand):
            load(flags={key: value for key, value in context.params.items() if key not in ("config", "while_used")})
    except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):  # --help, or a group by itself
        return ""
    except click.MissingParameter as failure:
        return f"`{name}`: {failure.format_message()}" if rest else ""  # without any words it is the command's name
    except click.ClickException as failure:
        return f"`{name}`: {failure.format_message()}"
    except SettingsError as failure:
        return f"`{name}`: {failure.message}"
    return ""


def _make(words: Sequence[str]) -> str:
    given = dict(word.split("=", 1) for word in words if "=" in word)
    for target in (word for word in words if "=" not in word):
        recipe = _recipes().get(target)
        if recipe is None:
            return f"the Makefile has no target `{target}`"
        called = [line for line in recipe if "$(ARGS)" in line]
        if "ARGS" in given and not called:
            return f"`make {target}` makes nothing of ARGS"
        for line in called:
            told = filter(None, map(_program, commands(_filled(line.strip().lstrip("@"), given))))
            if problem := next(told, ""):
                return problem
    return ""


def _filled(line: str, given: Mapping[str, str]) -> str:
    """A line of a recipe with its variables; all that it is not given are those of the Makefile."""
    values = {"BIN": ".venv/bin", "ARGS": "", "URL": HERE, "CONFIG": "configs/local.yaml", **given}
    return re.sub(r"\$\((\w+)\)", lambda name: values.get(name[1], name[1]), line)


@cache
def _recipes() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    recipe: list[str] = []
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if head := re.match(r"([a-z]+):(?!=)", line):
            recipe = found[head[1]] = []
        elif line.startswith("\t"):
            recipe.append(line)
    return found


def _python(words: Sequence[str]) -> str:
    if not words or words[0] != "-m":
        return ""
    name, rest = words[1], list(words[2:])
    try:
        if importlib.util.find_spec(name) is None:
            return f"there is no module {name}"
    except ModuleNotFoundError as failure:
        return f"there is no module {failure.name}"
    if name == "serve_app.batch":
        return _batch_on_ray(rest)
    return _arguments(name, rest) if name.startswith(("benchmarks.", "notebooks.")) else ""


def _arguments(name: str, words: list[str]) -> str:
    """Whether the parser of a module takes these words: its `main` is left when they are parsed."""
    parse = argparse.ArgumentParser.parse_args

    def parsed(parser: argparse.ArgumentParser) -> None:
        parse(parser, words)
        raise _Parsed

    def refused(parser: argparse.ArgumentParser, message: str) -> None:
        raise ValueError(message)

    module = importlib.import_module(name)
    with mock.patch.multiple(argparse.ArgumentParser, parse_args=parsed, error=refused), mock.patch.object(sys, "argv", [name]):
        try:
            module.main()
        except _Parsed:
            return ""
        except ValueError as failure:
            return f"`python -m {name}`: {failure}" if words else ""  # without any words it is the program's name
    return f"`python -m {name}` takes no arguments"


def _batch_on_ray(words: Sequence[str]) -> str:
    known = _BATCH_WORDS | {field.name for field in dataclasses.fields(Order)}
    unknown = set(json.loads(words[0])) - known
    return f"serve_app.batch knows no {', '.join(sorted(unknown))}" if unknown else ""


def _ray(words: Sequence[str]) -> str:
    """`ray job submit ... -- PROGRAM`: the program."""
    return _program(Command({}, tuple(words[list(words).index("--") + 1 :]))) if "--" in words else ""


def _curl(words: Sequence[str]) -> str:
    sends = any(word in ("-d", "--data", "--json") for word in words)
    method = next((after for word, after in itertools.pairwise(words) if word in ("-X", "--request")), "POST" if sends else "GET")
    for word in words:
        if word.startswith(HERE) and not _serves([method], urlsplit(word).path):
            return f"{method} {urlsplit(word).path}: there is no such route"
    return ""


def _gunicorn(words: Sequence[str]) -> str:
    module, _, name = next(word for word in words if ":" in word and not word.startswith("-")).partition(":")
    return "" if hasattr(importlib.import_module(module), "__getattr__") and name == "app" else f"{module} has no {name}"


def _docker(words: Sequence[str]) -> str:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for option, after in itertools.pairwise(words):
        if option == "--target" and not re.search(rf"^FROM .* AS {after}$", dockerfile, re.MULTILINE):
            return f"the Dockerfile has no target {after}"
        if option == "--build-arg" and not re.search(rf"^ARG {after.partition('=')[0]}\b", dockerfile, re.MULTILINE):
            return f"the Dockerfile has no argument {after}"
    return ""


_CHECKS: dict[str, Callable[[Sequence[str]], str]] = {
    "headroom": _headroom,
    "make": _make,
    "python": _python,
    "python3": _python,
    "ray": _ray,
    "curl": _curl,
    "gunicorn": _gunicorn,
    "docker": _docker,
}
