"""`headroom keys`: make, list and revoke the keys of callers, and set what teams are allowed, in the store or at a running Headroom."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

from headroom.cli.options import Finite, load
from headroom.errors import HeadroomError

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _where(command: _Command) -> _Command:
    for option in (
        click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]"),
        click.option("--url", help="Ask the Headroom at this base URL, with the admin key, instead of the store."),
    ):
        command = option(command)
    return command


@click.group("keys")
def command() -> None:
    """Keys that callers send instead of a provider's credential, each with its own limits.

    They are in the store that HEADROOM_STORE_URL names, or at --url, where HEADROOM_ADMIN_KEY opens. A key itself is
    shown once, when it is made, and kept nowhere.
    """


@command.command("create")
@click.option("--name", help="What people call it.")
@click.option("--user", help="Whose it is.")
@click.option("--team", help="Whose team's limits apply too.")
@click.option("--model", "models", multiple=True, metavar="PATTERN", help="A model it may use, like claude-*; may be repeated.")
@click.option("--route", "routes", multiple=True, metavar="PATTERN", help="A route it may use, like /v1/messages; may be repeated.")
@click.option("--rpm", type=int, help="Requests in any 60 seconds.")
@click.option("--tpm", type=int, help="Tokens in any 60 seconds.")
@click.option("--budget", "budget_usd", type=Finite(0, 1_000_000, min_open=True), help="Dollars in a period.")
@click.option("--budget-period", type=click.Choice(["hourly", "daily", "monthly"]), help="When the budget begins anew (UTC).")
@click.option("--share", type=click.Choice(["key", "user", "team"]), help="Who reads what is stored through it.")
@click.option("--anthropic-key", metavar="VARIABLE", help="Variable on the server with the Anthropic credential.")
@click.option("--openai-key", metavar="VARIABLE", help="Variable on the server with the OpenAI credential.")
@click.option("--days", type=Finite(0, 1_000_000, min_open=True), help="How long it is good; for ever without.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@_where
def create(days: float | None, as_json: bool, url: str | None, config: Path | None, **given: Any) -> None:
    """Make a key and print it."""
    wanted = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value not in (None, ())}
    if days is not None:
        wanted["expires"] = round(time.time() + 86_400 * days, 3)
    if url:
        made = _ask(url, config, "", "POST", "key", wanted)
    else:
        from headroom.limits import keys

        key, grant = _in_store(config, lambda store: keys.create(store, wanted))
        made = {"key": key, **keys.shown(grant)}
    try:
        click.echo(json.dumps(made) if as_json else made["key"])
    except OSError as failure:
        raise click.ClickException(f"the key could not be printed ({failure.strerror}): {_withdrawn(made['id'], url, config)}") from None
    if not as_json:
        click.echo(f"{made['id']}: shown this once, kept nowhere", err=True)


def _withdrawn(id: str, url: str | None, config: Path | None) -> str:
    """What becomes of a key that nobody has seen."""
    try:
        _revoked(id, url, config)
    except (HeadroomError, click.ClickException, OSError) as failure:
        return f"it is good until `headroom keys revoke {id}` ({getattr(failure, 'message', failure)})"
    return f"{id} is revoked"


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@_where
def list_(as_json: bool, url: str | None, config: Path | None) -> None:
    """List the keys in the store."""
    if url:
        found = _ask(url, config, "", "GET", "keys")["keys"]
    else:
        from headroom.limits import keys

        found = [keys.shown(grant) for grant in _in_store(config, keys.listed)]
    if as_json:
        click.echo(json.dumps(found))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("no keys", err=True)


@command.command("revoke", short_help="Make a key useless.")
@click.argument("id")
@_where
def revoke(id: str, url: str | None, config: Path | None) -> None:
    """Make the key with this ID (key_...) useless, within seconds everywhere."""
    click.echo(f"{_revoked(id, url, config)['id']} is revoked")


def _revoked(id: str, url: str | None, config: Path | None) -> dict[str, Any]:
    """The key with this id, made useless."""
    if url:
        return _ask(url, config, f"/{_segment(id)}", "DELETE", "id")
    from headroom.limits import keys

    return keys.shown(_in_store(config, lambda store: keys.revoke(store, id)))


@command.group("team")
def team() -> None:
    """What teams are allowed, beside what the settings say of them."""


@team.command("set")
@click.argument("name")
@click.option("--rpm", type=int, help="Requests in any 60 seconds, of all its keys together.")
@click.option("--tpm", type=int, help="Tokens in any 60 seconds.")
@click.option("--budget", "budget_usd", type=Finite(0, 1_000_000, min_open=True), help="Dollars in a period.")
@click.option("--budget-period", type=click.Choice(["hourly", "daily", "monthly"]), help="When the budget begins anew (UTC).")
@_where
def set_team(name: str, url: str | None, config: Path | None, **given: Any) -> None:
    """Set what the team NAME is allowed, in place of what it was."""
    from headroom.limits import teams

    wanted = {key: value for key, value in given.items() if value is not None}
    if url:
        put = _ask_at(url, config, f"/admin/teams/{_segment(name)}", "PUT", "team", wanted)
    else:
        put = teams.shown(name, _in_store(config, lambda store: teams.put(store, name, wanted)))
    click.echo(_team_line(put))


@team.command("list")
@_where
def list_teams(url: str | None, config: Path | None) -> None:
    """List the teams in the store."""
    from headroom.limits import teams

    found = _ask_at(url, config, "/admin/teams", "GET", "teams")["teams"] if url else None
    for one in found if found is not None else [teams.shown(*pair) for pair in _in_store(config, teams.listed).items()]:
        click.echo(_team_line(one))


@team.command("remove")
@click.argument("name")
@_where
def remove_team(name: str, url: str | None, config: Path | None) -> None:
    """Take the allowance of the team NAME away; its keys keep their own."""
    from headroom.limits import teams

    if url:
        _ask_at(url, config, f"/admin/teams/{_segment(name)}", "DELETE", "removed")
    else:
        _in_store(config, lambda store: teams.drop(store, name))
    click.echo(f"{name} is removed")


def _team_line(one: dict[str, Any]) -> str:
    limits = [f"{name} {one[name]}" for name in ("rpm", "tpm") if one[name]]
    budget = [f"${one['budget_usd']:g} {one['budget_period']}"] if one["budget_usd"] else []
    return "  ".join((one["team"], *(limits + budget or ["unlimited"])))


def _segment(name: str) -> str:
    """A name as one part of a path, whatever bytes it was typed as."""
    return quote(name, safe="", errors="surrogateescape")


def _ask(url: str, config: Path | None, path: str, method: str, field: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return _ask_at(url, config, f"/admin/keys{path}", method, field, body)


def _ask_at(url: str, config: Path | None, path: str, method: str, field: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    from headroom.cli.remote import ask

    return ask(url, path, key=load(config).access.admin_key, method=method, body=body, field=field)


def _in_store(config: Path | None, work: Callable[[Any], Any]) -> Any:
    from headroom.store import open_store

    store = open_store(load(config))
    try:
        return work(store)
    finally:
        store.close()


def _line(one: dict[str, Any]) -> str:
    limits = (f"{name} {one[name]}" for name in ("rpm", "tpm") if one[name])
    budget = [f"${one['budget_usd']:g} {one['budget_period']}"] if one["budget_usd"] else []
    state = "revoked" if one["revoked"] else "expired" if 0 < one["expires"] <= time.time() else "good"
    made = datetime.fromtimestamp(one["created"], UTC).strftime("%Y-%m-%d")
    who = "/".join(part for part in (one["team"], one["user"], one["name"]) if part)
    return "  ".join(part for part in (one["id"], state, made, who or "-", *limits, *budget, ",".join(one["models"])) if part)
