"""`headroom wrap` with a program in the tool's place that says what it sees: environment, arguments, terminal, signals."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from headroom.cli.main import main
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import serving, settings_for

HEADROOM = [sys.executable, "-c", "from headroom.cli.main import main; main(prog_name='headroom')"]
TOOL = f"""#!{sys.executable}
import json, os, signal, sys, urllib.request
base = os.environ.get("ANTHROPIC_BASE_URL") or os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
names = ("ANTHROPIC_", "OPENAI_", "HEADROOM_API_KEY", "HTTP_PROXY", "NO_PROXY", "no_proxy")
env = {{name: value for name, value in os.environ.items() if name.startswith(names)}}
def health():
    return urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(base + "/health").status
got = []
def note(number, _):
    got.append(int(number))
    print("signal", int(number), flush=True)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
    signal.signal(number, note)
print(json.dumps({{"args": sys.argv[1:], "tty": [os.isatty(n) for n in (0, 1, 2)], "health": health(), "env": env}}), flush=True)
what = sys.argv[-1]
if what.startswith("exit"):
    sys.exit(int(what[4:]))
if what == "die":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
if what == "wait":
    sys.stdin.readline()
    print("got", got, "then", health())
    sys.exit(7)
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home with claude, codex and aider on the PATH, and a project in it to work in."""
    user, programs = tmp_path / "user", tmp_path / "bin"
    (user / "project").mkdir(parents=True)
    programs.mkdir()
    for name in ("claude", "codex", "aider"):
        (programs / name).write_text(TOOL)
        (programs / name).chmod(0o755)
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "ANTHROPIC_", "CLAUDE_", "CODEX_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.chdir(user / "project")
    return user


@pytest.fixture
def port() -> Iterator[int]:
    """Free, and free again in the end: what `wrap` started has ended."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        number = int(trial.getsockname()[1])
    yield number
    wait_until(lambda: not listens(number))


def listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def wrap(*words: str, **variables: str) -> subprocess.Popen[str]:
    command = [*HEADROOM, "wrap", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **variables}, process_group=0)


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the tool printed when it started."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate(timeout=WAIT_S))
    seen = json.loads(line)
    assert isinstance(seen, dict)
    return seen


def done(*words: str, **variables: str) -> tuple[dict[str, Any], int]:
    process = wrap(*words, **variables)
    seen = told(process)
    process.communicate(timeout=WAIT_S)
    return seen, process.returncode


def headroom(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def files(root: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_claude(machine: Path, port: int) -> None:
    (machine / ".claude.json").write_text("{}")
    before = files(machine)
    seen, code = done("claude", "--port", str(port), "--", "-p", "two  words", "exit3", ANTHROPIC_API_KEY="mine")
    assert code == 3
    assert seen["args"] == ["-p", "two  words", "exit3"]
    assert seen["env"] == {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_API_KEY": "mine"}
    assert seen["health"] == 200
    assert files(machine) == before


@pytest.mark.parametrize("given", [{}, {"OPENAI_API_KEY": "mine"}])
def test_codex(given: dict[str, str], machine: Path, port: int) -> None:
    seen, code = done("codex", "--port", str(port), "--", "exec", "exit0", **given)
    assert code == 0
    url = f"http://127.0.0.1:{port}/v1"
    assert seen["env"] == {"OPENAI_BASE_URL": url, **given}
    assert seen["args"] == [
        *("-c", 'model_provider="headroom"'),
        *("-c", 'model_providers.headroom.name="Headroom"'),
        *("-c", f'model_providers.headroom.base_url="{url}"'),
        *("-c", 'model_providers.headroom.wire_api="responses"'),
        *("-c", 'model_providers.headroom.env_key="OPENAI_API_KEY"' if given else "model_providers.headroom.requires_openai_auth=true"),
        "exec",
        "exit0",
    ]
    assert files(machine) == {}


def test_aider(machine: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    seen, code = done("aider", "--port", str(port), "--", "exit0", OPENAI_API_KEY="mine", HTTP_PROXY="http://proxy:3128", NO_PROXY="a.b")
    assert code == 0
    assert seen["env"] == {
        "OPENAI_API_BASE": f"{url}/v1",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_BASE": url,
        "OPENAI_API_KEY": "mine",
        "HTTP_PROXY": "http://proxy:3128",
        "NO_PROXY": "a.b,127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
    }


def test_a_shared_headroom(machine: Path, provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as url:
        seen, _ = done("claude", "--url", f"{url}/", "--api-key", "hr-1", "--", "exit0", ANTHROPIC_API_KEY="mine")
        assert seen["env"] == {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_AUTH_TOKEN": "hr-1"}
        seen, _ = done("codex", "--", "exit0", HEADROOM_BASE_URL=f"{url}/v1", HEADROOM_API_KEY="hr-2")
        assert seen["env"]["HEADROOM_API_KEY"] == "hr-2"
        assert 'model_providers.headroom.env_key="HEADROOM_API_KEY"' in seen["args"]
        seen, _ = done("aider", "--url", url, "--api-key", "hr-3", "--", "exit0")
        assert seen["env"]["OPENAI_API_KEY"] == seen["env"]["ANTHROPIC_API_KEY"] == "hr-3"
        assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
    refused = headroom("wrap", "claude", "--url", url)
    assert refused.exit_code == 2
    assert f"no Headroom answers at {url}" in refused.stderr


def test_a_base_url_in_claudes_own_settings_gives_way(machine: Path, port: int) -> None:
    (machine / ".claude").mkdir()
    settings = machine / ".claude" / "settings.json"
    settings.write_text('{"env": {"ANTHROPIC_BASE_URL": "http://other.example"}}')
    seen, _ = done("claude", "--port", str(port), "--", "exit0")
    assert seen["args"] == ["--settings", json.dumps({"env": {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}"}}), "exit0"]
    assert "other.example" in settings.read_text()


def test_the_end_by_a_signal_is_128_and_its_number(machine: Path, port: int) -> None:
    assert done("claude", "--port", str(port), "--", "die")[1] == 128 + signal.SIGTERM


def test_signals_are_passed_on(machine: Path, port: int) -> None:
    process = wrap("claude", "--port", str(port), "--", "wait")
    told(process)
    assert process.stdout is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        process.send_signal(number)
        assert process.stdout.readline() == f"signal {int(number)}\n"
    out, _ = process.communicate("\n", timeout=WAIT_S)
    assert process.returncode == 7
    assert out == f"got {[int(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)]} then 200\n"


def test_the_tool_has_the_terminal(machine: Path, port: int) -> None:
    """A real terminal: Ctrl-C typed in it reaches the tool once, and does not end what runs it."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [*HEADROOM, "wrap", "claude", "--port", str(port), "--", "wait"])
    shown = read_terminal(terminal, rb"\}\r\n")
    assert json.loads(re.findall(rb"\{.*\}", shown)[0])["tty"] == [True, True, True]
    os.write(terminal, b"\x03")
    read_terminal(terminal, rb"signal 2\r\n")
    os.kill(child, signal.SIGUSR1)  # passed on behind a Ctrl-C that were passed on
    read_terminal(terminal, rb"signal 10\r\n")
    os.write(terminal, b"\n")
    assert f"got {[int(signal.SIGINT), int(signal.SIGUSR1)]} then 200".encode() in read_terminal(terminal, rb"then \d+")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    os.close(terminal)


def read_terminal(terminal: int, until: bytes) -> bytes:
    shown = b""
    while not re.search(until, shown):
        assert select.select([terminal], [], [], WAIT_S)[0], shown
        shown += os.read(terminal, 4096)
    while select.select([terminal], [], [], 0)[0]:
        try:
            shown += os.read(terminal, 4096)
        except OSError:
            break
    return shown


def test_the_proxy_lives_as_long_as_one_of_them_uses_it(machine: Path, port: int) -> None:
    first = wrap("claude", "--port", str(port), "--", "wait")
    told(first)
    second = wrap("codex", "--port", str(port), "--", "wait")
    told(second)
    first.communicate("\n", timeout=WAIT_S)
    out, _ = second.communicate("\n", timeout=WAIT_S)
    assert out.endswith("then 200\n")
    wait_until(lambda: not listens(port))


def test_a_wrap_that_is_killed_leaves_no_proxy(machine: Path, port: int) -> None:
    process = wrap("claude", "--port", str(port), "--", "wait")
    told(process)
    process.kill()
    process.wait()
    wait_until(lambda: not listens(port))
    process.communicate()


def test_the_users_own_proxy_stays(machine: Path, provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as url:
        seen, _ = done("claude", "--port", url.rpartition(":")[2], "--", "exit0")
        assert seen["env"]["ANTHROPIC_BASE_URL"] == url
        assert httpx.get(f"{url}/health", trust_env=False).status_code == 200


def test_refusals(machine: Path, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        refused = headroom("wrap", "claude", "--port", str(taken.getsockname()[1]))
        assert refused.exit_code == 2
        assert "the proxy did not start" in refused.stderr
        assert "is in use" in refused.stderr
    refused = headroom("wrap", "claude", "--resume")
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    assert "go behind --" in refused.stderr
    assert "give one of them" in headroom("wrap", "claude", "--port", "1", "--url", "http://h").stderr
    (machine.parent / "bin" / "aider").unlink()
    missing = wrap("aider", "--port", str(port))
    _, said = missing.communicate(timeout=WAIT_S)
    assert missing.returncode == 127
    assert "aider was not found" in said


def test_cursor_is_told_what_to_set(machine: Path, port: int) -> None:
    process = wrap("cursor", "--port", str(port))
    assert process.stdout is not None
    assert process.stderr is not None
    assert "Settings > Models" in process.stdout.readline()
    assert f"http://127.0.0.1:{port}/v1" in process.stdout.readline() + process.stdout.readline()
    assert "Ctrl-C" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == 0


def test_doctor_and_unwrap_say_where_tools_go(machine: Path, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / ".codex").mkdir()
    with serving(settings_for(provider, tmp_path)) as url:
        (machine / ".codex" / "config.toml").write_text(f'openai_base_url = "{url}/v1"\n')
        monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
        told = headroom("doctor", "--offline").stdout
        assert re.search(rf"ok  claude +goes through Headroom at {url} \(ANTHROPIC_BASE_URL\)", told)
        assert re.search(rf"ok  codex +goes through Headroom at {url}/v1 \(openai_base_url in .*config.toml\)", told)
        assert re.search(rf"ok  saved +0 tokens in 0 requests \(0.0 %\) at {url}", told)
        assert f"ANTHROPIC_BASE_URL still names {url}" in headroom("unwrap", "claude").stdout
        assert f"config.toml still names {url}/v1" in headroom("unwrap", "codex").stdout
    broken = headroom("doctor", "--offline")
    assert broken.exit_code == 1
    assert "where no Headroom answers" in broken.stdout
    monkeypatch.delenv("ANTHROPIC_BASE_URL")
    assert re.search(r"--  aider +goes to its provider\n +-> `headroom wrap aider`", headroom("doctor", "--offline").stdout)
    headroom("mcp", "install", "--client", "claude")
    assert "the MCP server is out of" in headroom("unwrap", "claude").stdout
    assert headroom("unwrap", "claude").stdout == "claude: nothing sends it to Headroom\n"
    assert not (machine / ".claude.json").exists()
