"""The agents that people run: how each is started for one task, and the script of the provider behind it.

The task is the same for all: read a long listing, write what was asked for into `answer.txt`, say that it is done.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clients.dialog import Dialog, Step
from tests.provider import WAIT_S
from tests.proxy.faces import rows

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".clients"  # where `make clients` installs them
INSTALLED = (CLIENTS / ".installed").exists()
LISTING = rows(7, 90)  # Codex itself cuts what is longer than 10,000 bytes
PROMPT = "Which zone is node-3 in? List the nodes with the command that the project has, and write the zone into answer.txt."
ANSWER = "eu-1"
DONE = "script: it is written, the zone is eu-1"
HEADROOM = [sys.executable, "-c", "from headroom.cli.main import main; main(prog_name='headroom')"]
_CHECK = """import pathlib, sys
print(pathlib.Path("listing.json").read_text())
sys.exit(pathlib.Path("answer.txt").read_text().strip() != "eu-1")
"""


@dataclass(frozen=True, slots=True)
class Agent:
    """`words` starts it (without its program), `direct` points it at a base URL by hand: words in front, and variables."""

    program: str
    words: Sequence[str]
    dialog: Dialog
    path: str
    variables: Mapping[str, str]
    direct: tuple[Sequence[str], Mapping[str, str]]


_CLAUDE = Agent(
    program="claude",
    words=["-p", PROMPT, "--model", "claude-sonnet-4-5", "--allowedTools", "Bash", "Write"],
    dialog=Dialog(
        [
            Step("I list| the nodes.", "Bash", {"command": "cat listing.json", "description": "List the nodes"}),
            Step("I write| it.", "Bash", {"command": f"printf {ANSWER} > answer.txt", "description": "Write the zone"}),
            Step(DONE),
        ]
    ),
    path="/v1/messages",
    variables={
        "ANTHROPIC_API_KEY": "key-a",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    },
    direct=([], {"ANTHROPIC_BASE_URL": "{url}"}),
)
_CODEX = Agent(
    program="codex",
    words=["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "-m", "gpt-5.1", PROMPT],
    dialog=Dialog(
        [
            Step("I list| the nodes.", "exec_command", {"cmd": "cat listing.json"}),
            Step("I write| it.", "exec_command", {"cmd": f"printf {ANSWER} > answer.txt"}),
            Step(DONE),
        ]
    ),
    path="/v1/responses",
    variables={"OPENAI_API_KEY": "key-o", "CODEX_API_KEY": "key-o"},
    direct=(["-c", "openai_base_url={url}/v1"], {}),
)
_WHOLE = "script: so be it.\n\nanswer.txt\n```\n{zone}\n```\n"


def _aider(model: str, path: str, direct: Mapping[str, str]) -> Agent:
    """Aider calls no tools; it runs the project's check itself and shows what that prints until the check passes."""
    flags = "--edit-format whole --map-tokens 0 --no-git --yes-always --no-check-update --no-show-model-warnings --no-show-release-notes"
    quiet = "--max-chat-history-tokens 100000 --analytics-disable --no-pretty --no-fancy-input --no-detect-urls --auto-test"
    return Agent(
        program="aider",
        words=[*flags.split(), *quiet.split(), "--model", model, "--test-cmd", f"{sys.executable} check.py", "-m", PROMPT, "answer.txt"],
        dialog=Dialog([Step(_WHOLE.format(zone="us-1")), Step(_WHOLE.format(zone=ANSWER)), Step(DONE)]),
        path=path,
        variables={"OPENAI_API_KEY": "key-o", "ANTHROPIC_API_KEY": "key-a", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        direct=([], direct),
    )


AGENTS: Mapping[str, Agent] = {
    "claude": _CLAUDE,
    "codex": _CODEX,
    "aider-openai": _aider("openai/gpt-4o", "/v1/chat/completions", {"OPENAI_API_BASE": "{url}/v1"}),
    "aider-anthropic": _aider("anthropic/claude-sonnet-4-5", "/v1/messages", {"ANTHROPIC_BASE_URL": "{url}"}),
}


def prepare(project: Path) -> None:
    (project / "listing.json").write_text(LISTING)
    (project / "check.py").write_text(_CHECK)
    (project / "answer.txt").write_text("")


def environment(agent: Agent, project: Path, **more: str) -> dict[str, str]:
    """Nothing of the machine's own but where programs are."""
    paths = [CLIENTS / "node_modules" / ".bin", CLIENTS / "aider" / "bin"]
    home = project.parent / "user"
    kept = {name: os.environ[name] for name in ("TIKTOKEN_CACHE_DIR", "LANG") if name in os.environ}
    return {
        **kept,
        "PATH": ":".join([*map(str, paths), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(home),
        "CODEX_HOME": str(home),
        "HEADROOM_HOME": str(home / ".headroom"),
        **agent.variables,
        **more,
    }


def by_base_url(agent: Agent, project: Path, url: str) -> subprocess.CompletedProcess[str]:
    """The agent, pointed at a URL by hand."""
    words, variables = agent.direct
    more = {name: value.format(url=url) for name, value in variables.items()}
    return _run([agent.program, *(word.format(url=url) for word in words), *agent.words], project, environment(agent, project, **more))


def by_wrap(agent: Agent, project: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The agent, run by `headroom wrap`."""
    words = [*HEADROOM, "wrap", agent.program, *options, "--", *agent.words]
    return _run(words, project, environment(agent, project, **variables))


def _run(words: Sequence[str], project: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    prepare(project)
    program = next((str(Path(at) / words[0]) for at in environ["PATH"].split(":") if (Path(at) / words[0]).exists()), words[0])
    return subprocess.run(
        [program, *words[1:]],
        cwd=project,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
    )
