"""`headroom mcp`, by the official SDK's own client: over stdio, over HTTP, and against a running proxy; and its entry in clients' files."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from headroom.cli import mcp_clients
from headroom.cli.main import main
from headroom.cli.mcp_server import build, source_of
from headroom.cli.samples import payments
from headroom.learning import Learning
from headroom.model import LOCAL
from headroom.settings import Settings, load
from headroom.store import open_store
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import invoice_turns, middle, serving, settings_for
from tests.redis_server import free_port

SAMPLE = payments()
PROGRAM = ["-c", "from headroom.cli.main import main; main(prog_name='headroom')"]


def headroom(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


async def use(server: Any) -> dict[str, Any]:
    """Every tool once, as an agent would: compress, read back, search, ask for a hash that nobody stored."""

    async def call(name: str, **arguments: Any) -> tuple[bool, list[str]]:
        result = await client.call_tool(name, arguments)
        return bool(result.is_error), [block.text for block in result.content if isinstance(block, TextContent)]

    async with Client(server) as client:
        tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
        compressed = await call("headroom_compress", content=SAMPLE.output, question=SAMPLE.question, tool=SAMPLE.tool)
        digest = compressed[1][-1].rpartition("hash=")[2].rstrip("]")
        return {
            "tools": tools,
            "compressed": compressed,
            "small": await call("headroom_compress", content="three short words"),
            "whole": await call("headroom_retrieve", hash=f"hash={digest}]"),
            "found": await call("headroom_retrieve", hash=digest, query=SAMPLE.needle),
            "nothing": await call("headroom_retrieve", hash=digest, query="zyzzyva"),
            "unknown": await call("headroom_retrieve", hash="0123456789abcdef"),
            "stats": await call("headroom_stats"),
        }


def check(seen: dict[str, Any]) -> None:
    assert set(seen["tools"]) == {"headroom_compress", "headroom_retrieve", "headroom_stats"}
    assert seen["tools"]["headroom_retrieve"]["required"] == ["hash"]
    failed, (smaller, figures) = seen["compressed"]
    assert not failed
    assert len(smaller) < len(SAMPLE.output) / 10
    assert SAMPLE.needle in smaller
    assert " tokens; router:" in figures
    assert seen["small"] == (False, ["three short words", seen["small"][1][1]])
    assert "kept as they are: too_small" in seen["small"][1][1]
    assert seen["whole"] == (False, [SAMPLE.output])
    failed, (found,) = seen["found"]
    assert not failed
    assert SAMPLE.needle in found
    assert len(found) < len(SAMPLE.output) / 10
    assert seen["nothing"][1][0].startswith("Nothing in ")
    failed, (unknown,) = seen["unknown"]
    assert failed
    assert "0123456789abcdef" in unknown


def test_over_stdio_without_a_proxy(home: Path) -> None:
    env = {"HEADROOM_HOME": str(home), "HEADROOM_PORT": str(free_port())}
    seen = asyncio.run(use(StdioServerParameters(command=sys.executable, args=[*PROGRAM, "mcp"], env=env)))
    check(seen)
    failed, (stats,) = seen["stats"]
    assert not failed
    assert json.loads(stats)["compression"] == {"ccr_entries": 1, "ccr_retrievals": 3}
    assert "none answers" in json.loads(stats)["proxy"]


def test_against_a_running_proxy(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as url:
        seen = asyncio.run(use(build(source_of(load(env={"HEADROOM_BASE_URL": url, "HEADROOM_HOME": str(tmp_path / "other")})))))
    check(seen)
    assert "tokens" in json.loads(seen["stats"][1][0])
    assert not (tmp_path / "other").exists()


def test_a_proxy_that_is_gone_is_told(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    seen = asyncio.run(use(build(source_of(Settings.model_validate({"home": tmp_path, "client": {"base_url": url}})))))
    for name in ("compressed", "whole", "stats"):
        failed, (said, *_) = seen[name]
        assert failed
        assert f"no answer from {url}" in said


def await_port(port: int) -> None:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise AssertionError("nobody listens")


@contextmanager
def over_http(home: Path) -> Iterator[str]:
    port = free_port()
    env = {"HEADROOM_HOME": str(home), "PATH": "/usr/bin:/bin"}
    program = [sys.executable, *PROGRAM, "mcp", "--http", "--port", str(port)]
    with subprocess.Popen(program, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert f"http://127.0.0.1:{port}/mcp" in process.stderr.readline()
            await_port(port)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()
            process.stderr.read()


def test_over_streamable_http(home: Path) -> None:
    with over_http(home) as url:
        check(asyncio.run(use(url)))


def test_not_for_other_machines() -> None:
    refused = headroom("mcp", "--http", "--host", "0.0.0.0")
    assert refused.exit_code == 2
    assert "an address of this machine" in refused.stderr


def test_an_address_that_cannot_be_had_is_told_before_it_is_named() -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        refused = headroom("mcp", "--http", "--port", str(port))
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"Error: port {port} is in use; `HEADROOM_PORT={port} headroom doctor` says by what")
    assert "listens" not in refused.stderr


@pytest.mark.parametrize(("host", "begins"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_the_url_is_one_that_a_client_takes(host: str, begins: str, home: Path) -> None:
    program = [sys.executable, *PROGRAM, "mcp", "--http", "--host", host, "--port", "0"]
    env = {"HEADROOM_HOME": str(home), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(program, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        try:
            assert url.startswith(begins)
            assert url.removesuffix("/mcp").rpartition(":")[2] != "0"
        finally:
            process.terminate()
            process.stderr.read()


# --- install, uninstall


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with none of the clients in it, and none on the PATH."""
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "user"


FILES = {"claude": ".claude.json", "codex": ".codex/config.toml", "cursor": ".cursor/mcp.json"}
BEFORE = {
    "claude": '{"numStartups": 3, "mcpServers": {"other": {"command": "x"}},\n "a": "kept,  as it is"}',
    "codex": '# mine\nmodel = "gpt"   # fast\n[mcp_servers.other]\ncommand = "x"\n',
    "cursor": '{\n\t"mcpServers": {}\n}\n',
}


def parsed(file: Path) -> Any:
    return (tomllib.loads if file.suffix == ".toml" else json.loads)(file.read_text())


def servers(file: Path) -> Any:
    return parsed(file).get("mcp_servers" if file.suffix == ".toml" else "mcpServers")


@pytest.mark.parametrize("client", FILES)
@pytest.mark.parametrize("before", [None, "", "full"])
def test_install_and_back(client: str, before: str | None, user: Path) -> None:
    file = user / FILES[client]
    text = BEFORE[client] if before == "full" else before
    if text is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o640)
    done = headroom("mcp", "install", "--client", client)
    assert done.stdout == f"{client}: installed in {file}\n"
    entry = servers(file)["headroom"]
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][-1] == "mcp"
    assert set(servers(file)) == ({"other", "headroom"} if before == "full" and client != "cursor" else {"headroom"})
    assert headroom("mcp", "install", "--client", client).stdout == f"{client}: already in {file}\n"
    assert headroom("mcp", "uninstall", "--client", client).stdout == f"{client}: removed from {file}\n"
    if text is None:
        assert not file.exists()
    else:
        assert file.read_text() == text
        assert file.stat().st_mode & 0o777 == 0o640
    assert "no entry" in headroom("mcp", "uninstall", "--client", client).stdout


@pytest.mark.parametrize("client", FILES)
def test_what_was_written_in_between_stays(client: str, user: Path) -> None:
    file = user / FILES[client]
    file.parent.mkdir(exist_ok=True)
    file.write_text(BEFORE[client])
    headroom("mcp", "install", "--client", client)
    line = '\n[later]\nadded = "by hand"\n' if client == "codex" else '{"later": 1, '
    now = file.read_text()
    file.write_text(now + line if client == "codex" else line + now.removeprefix("{"))
    headroom("mcp", "uninstall", "--client", client)
    assert "later" in parsed(file)
    assert "headroom" not in (servers(file) or {})
    assert "kept,  as it is" in file.read_text() or client != "claude"
    assert "# fast" in file.read_text() or client != "codex"


def test_the_users_own_entry_comes_back(user: Path) -> None:
    file = user / ".claude.json"
    own = '{"mcpServers": {"headroom": {"command": "my-headroom"}}, "x": 1}'
    file.write_text(own)
    headroom("mcp", "install", "--client", "claude")
    assert servers(file)["headroom"]["args"][-1] == "mcp"
    headroom("mcp", "install", "--client", "claude", "--url", "http://headroom.example")
    entry = servers(file)["headroom"]
    assert entry["env"] == {"HEADROOM_BASE_URL": "http://headroom.example", "HEADROOM_API_KEY": "${HEADROOM_API_KEY:-}"}
    file.write_text(file.read_text().replace('"x": 1', '"x": 2'))
    assert "former entry is back" in headroom("mcp", "uninstall", "--client", "claude").stdout
    assert parsed(file) == {"mcpServers": {"headroom": {"command": "my-headroom"}}, "x": 2}


def test_an_entry_changed_by_hand_is_not_ours(user: Path) -> None:
    file = user / ".claude.json"
    headroom("mcp", "install", "--client", "claude")
    file.write_text(file.read_text().replace('"mcp"', '"mcp", "--http"'))
    mine = file.read_text()
    assert "no entry of Headroom's" in headroom("mcp", "uninstall", "--client", "claude").stdout
    assert file.read_text() == mine


def test_settings_below_dotted_keys_stay_the_users(user: Path) -> None:
    file = user / FILES["codex"]
    file.parent.mkdir()
    text = 'mcp_servers.github.command = "gh-mcp"\nmodel = "gpt"\napproval_policy = "never"\n\n[projects."/x"]\ntrust_level = "trusted"\n'
    file.write_text(text)
    headroom("mcp", "install", "--client", "codex")
    assert {**parsed(file), "mcp_servers": {"github": {"command": "gh-mcp"}}} == tomllib.loads(text)
    file.write_text('later = "by hand"\n' + file.read_text())
    assert "removed from" in headroom("mcp", "uninstall", "--client", "codex").stdout
    assert parsed(file) == {"later": "by hand", **tomllib.loads(text)}


def test_a_table_that_holds_more_than_the_entry_is_not_ours(user: Path) -> None:
    file = user / FILES["codex"]
    file.parent.mkdir()
    file.write_text('[mcp_servers.headroom]\ncommand = "/bin/headroom"\nargs = ["mcp"]\nmodel = "gpt"\n')
    assert "no entry of Headroom's" in headroom("mcp", "uninstall", "--client", "codex").stdout
    assert parsed(file)["mcp_servers"]["headroom"]["model"] == "gpt"


def test_an_unreadable_file_is_left_alone(user: Path) -> None:
    file = user / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text("// my servers\n{}")
    refused = headroom("mcp", "install", "--client", "cursor")
    assert refused.exit_code == 2
    assert f"{file}: not valid JSON" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert file.read_text() == "// my servers\n{}"


def test_all_that_are_found(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = headroom("mcp", "install")
    assert refused.exit_code == 2
    assert "none of claude, codex, cursor was found here" in refused.stderr
    (user / ".codex").mkdir()
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(user / "elsewhere"))
    (user / "elsewhere").mkdir()
    done = headroom("mcp", "install")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["claude", "codex"]
    assert (user / "elsewhere" / ".claude.json").exists()


def test_the_entry_starts_the_server(user: Path, home: Path) -> None:
    """What a client would run, run."""
    headroom("mcp", "install", "--client", "codex")
    entry = servers(user / ".codex" / "config.toml")["headroom"]
    check(asyncio.run(use(StdioServerParameters(command=entry["command"], args=entry["args"], env={"HEADROOM_HOME": str(home)}))))
    assert entry == mcp_clients.entry_for(mcp_clients.clients(load())["codex"], "")


def test_what_a_model_reads_back_teaches(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    source = source_of(settings)
    digest = source.compress(invoice_turns([1]), "m")["ccr_hashes"][0]
    source.retrieve(digest, middle(1)[0])
    learned, until = Learning(open_store(settings)), time.monotonic() + WAIT_S
    while not learned.learned(LOCAL.scope).patterns:
        assert time.monotonic() < until
        time.sleep(0.05)
    (counts,) = learned.learned(LOCAL.scope).patterns.values()
    assert (counts["asked"], counts["at:5"]) == (1, 1)
