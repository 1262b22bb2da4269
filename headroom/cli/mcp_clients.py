"""Puts Headroom's MCP server into a client's configuration, and takes it out again.

Only the client's own entry for Headroom is written. What the file was before is kept in Headroom's home until it is taken
out: a file that nobody has changed since becomes what it was, byte for byte; in one that was changed, only the entry goes back.
An entry that is not the one written here is never touched.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headroom.cli.config_edit import Format, Json, Toml, read, replace
from headroom.errors import SettingsError
from headroom.settings import Settings

NAME = "headroom"
_ENTRY = {"command", "args", "env", "env_vars"}  # what `entry_for` may write


@dataclass(frozen=True, slots=True)
class Client:
    """An MCP client: the file with its servers, and the keys that lead to them."""

    name: str
    program: str
    file: Path
    format: Format
    path: tuple[str, ...]

    @property
    def found(self) -> bool:
        """Whether this client is used on this machine."""
        own_directory = self.file.parent != Path.home() and self.file.parent.is_dir()
        return self.file.exists() or own_directory or shutil.which(self.program) is not None


@dataclass(frozen=True, slots=True)
class _Record:
    """What `install` found and left: `before` is None where there was no file, `former` where there was no entry."""

    file: str
    before: str | None
    after: str
    entry: Mapping[str, Any]
    former: Mapping[str, Any] | None


def clients(settings: Settings) -> dict[str, Client]:
    """Every client this can be installed for, by name."""
    claude = settings.client.claude_config_dir or Path.home()
    codex = settings.client.codex_home or Path.home() / ".codex"
    known = (
        Client("claude", "claude", claude / ".claude.json", Json(), ("mcpServers", NAME)),
        Client("codex", "codex", codex / "config.toml", Toml(), ("mcp_servers", NAME)),
        Client("cursor", "cursor", Path.home() / ".cursor" / "mcp.json", Json(), ("mcpServers", NAME)),
    )
    return {client.name: client for client in known}


def entry_for(client: Client, url: str) -> dict[str, Any]:
    """What the client runs. A key stays in the environment, the file only names its variable."""
    command, *arguments = program()
    entry: dict[str, Any] = {"command": command, "args": [*arguments, "mcp"]}
    if not url:
        return entry
    if isinstance(client.format, Toml):
        return {**entry, "env": {"HEADROOM_BASE_URL": url}, "env_vars": ["HEADROOM_API_KEY", "HEADROOM_ADMIN_KEY"]}
    reference = "${env:HEADROOM_API_KEY}" if client.name == "cursor" else "${HEADROOM_API_KEY:-}"
    return {**entry, "env": {"HEADROOM_BASE_URL": url, "HEADROOM_API_KEY": reference}}


def program() -> list[str]:
    """The words that start this `headroom` from anywhere."""
    script = Path(sys.executable).with_name("headroom")
    if script.is_file():
        return [str(script)]
    return [sys.executable, "-c", "from headroom.cli.main import main; main(prog_name='headroom')"]


def install(client: Client, settings: Settings, url: str) -> bool:
    """Write the entry; False when it stands there already. Raises SettingsError, with the file as it was."""
    record = _read_record(client, settings)
    entry = entry_for(client, url)
    try:
        before = read(client.file)
        former = client.format.get(before or "", client.path)
        if former == entry:
            return False
        ours = record is not None and former == record.entry
        if record is not None and ours:
            before = _undone(client, before or "", record)
            former = record.former
        after = client.format.put(before or "", client.path, entry)
        _write_record(client, settings, _Record(str(client.file), before, after, entry, former))
        replace(client.file, after)
    except (ValueError, OSError) as failure:
        raise SettingsError(f"{client.file}: {_reason(failure)}; nothing was changed") from None
    return True


def uninstall(client: Client, settings: Settings) -> str:
    """Put back what was: "removed", "restored" (an entry that had stood there), or "absent" when there is nothing of ours."""
    record = _read_record(client, settings)
    try:
        now = read(client.file)
        entry = client.format.get(now or "", client.path)
        if now is None or not (entry == record.entry if record else _ours(entry)):
            _forget(client, settings)
            return "absent"
        then = _undone(client, now, record) if record else client.format.drop(now, client.path)
        if then is None:
            client.file.unlink()
        else:
            replace(client.file, then)
    except (ValueError, OSError) as failure:
        raise SettingsError(f"{client.file}: {_reason(failure)}; nothing was changed") from None
    _forget(client, settings)
    return "restored" if record and record.former else "removed"


def _undone(client: Client, now: str, record: _Record) -> str | None:
    """The file without what `install` did to it; None when there was none."""
    if now == record.after:
        return record.before
    if record.former is not None:
        return client.format.put(now, client.path, record.former)
    return client.format.drop(now, client.path)


def _ours(entry: Any) -> bool:
    """An entry of an installation that kept no record; with anything else in it, somebody made it their own."""
    if not isinstance(entry, Mapping) or not set(entry) <= _ENTRY:
        return False
    return Path(str(entry.get("command"))).name == NAME and entry.get("args") == ["mcp"]


def _reason(failure: ValueError | OSError) -> str:
    return failure.strerror or str(failure) if isinstance(failure, OSError) else str(failure)


def _record_file(client: Client, settings: Settings) -> Path:
    return settings.home / "mcp" / f"{client.name}.json"


def _read_record(client: Client, settings: Settings) -> _Record | None:
    """What was kept for this client and this file."""
    try:
        text = read(_record_file(client, settings))
        record = _Record(**json.loads(text)) if text else None
    except (ValueError, TypeError, OSError) as failure:
        raise SettingsError(f"{_record_file(client, settings)}: cannot be read ({failure}); remove it") from None
    return record if record and record.file == str(client.file) else None


def _write_record(client: Client, settings: Settings, record: _Record) -> None:
    file = _record_file(client, settings)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace(file, json.dumps(asdict(record)))


def _forget(client: Client, settings: Settings) -> None:
    _record_file(client, settings).unlink(missing_ok=True)
