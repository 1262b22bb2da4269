"""A reader's machine: a home with transcripts and a log in it, the programs that the pages call, and the proxy of the README, running.

What the pages call besides Headroom (claude, codex, aider, kubectl, open) is stood in for by a few lines of shell, which send one request
where they were pointed and fail if it is not answered.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from headroom.cli.samples import payments, samples
from tests.cli.running import HEADROOM, Proxy
from tests.docs.grammar import HERE
from tests.docs.pages import ROOT, Step
from tests.provider import WAIT_S, stand_in
from tests.transcripts import samples as transcripts

_ASK = "exec curl --silent --show-error --fail --output /dev/null --header 'content-type: application/json' --header 'x-api-key: mine'"
_MESSAGE = '{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}'
_PROGRAMS = {
    "headroom": f'exec {shlex.join(HEADROOM)} "$@"',
    "python": f'exec {shlex.quote(sys.executable)} "$@"',
    "claude": f"{_ASK} --data '{_MESSAGE}' \"$ANTHROPIC_BASE_URL/v1/messages\"",
    # it reads no variable, but its configuration
    "codex": 'for word in "$@"; do case $word in openai_base_url=*|*.base_url=*) url=$(echo "${word#*=}" | tr -d \'"\');; esac; done\n'
    f'{_ASK} --data \'{{"model": "gpt-5", "input": "hello"}}\' "$url/responses"',
    "aider": f"case $2 in\nanthropic/*) {_ASK} --data '{_MESSAGE}' \"$ANTHROPIC_BASE_URL/v1/messages\";;\n"
    f"openai/*) {_ASK} --data '{_MESSAGE}' \"$OPENAI_API_BASE/chat/completions\";;\nesac\nexit 2",
    "kubectl": 'test "$1" = logs && exec cat "$HOME/api.txt"',
    "open": f'{_ASK} "$1"',
}


@dataclass(frozen=True)
class Machine:
    """`digest` is of an original that can be read back; `env` what its programs see."""

    folder: Path
    env: dict[str, str]
    url: str
    digest: str

    def run(self, steps: Sequence[Step]) -> list[str]:
        """Run the lines one after the other in one shell, in a folder of their own; what failed, with what it said."""
        work = self.folder / re.sub(r"\W+", "-", steps[0].page)
        work.mkdir()
        (work / "configs").symlink_to(ROOT / "configs")
        lines = ["set -o pipefail"]
        for number, step in enumerate(steps):
            lines.append(f"{{ {self._filled(step.text)}\n}} >{number}.txt 2>&1 </dev/null\necho $? >>ends.txt")
        shell = subprocess.run(
            ["bash", "-c", "\n".join(lines)], cwd=work, env=self.env, timeout=2 * WAIT_S, capture_output=True, check=False
        )
        ends = (work / "ends.txt").read_text().split()
        assert len(ends) == len(steps), f"{steps[len(ends)]}: the shell ended here: {shell.stderr.decode()}"
        return [
            f"{step}\n    exit status {end}: {(work / f'{number}.txt').read_text()[-2000:]}"
            for number, (step, end) in enumerate(zip(steps, ends, strict=True))
            if end != "0"
        ]

    def _filled(self, text: str) -> str:
        """With the addresses and names of this machine in place of those that the pages make up."""
        first_key = "$(headroom keys list | head -n 1 | cut -d' ' -f 1)"
        for said, here in ((HERE, self.url), ("HASH", self.digest), ("[QUERY]", "failed"), ("key_0123456789ab", first_key)):
            text = text.replace(said, here)
        return text


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """One with the README's `headroom proxy` running on a free port, a stand-in for the providers behind it."""
    env = _made(folder)
    with stand_in() as provider:
        env |= {"ANTHROPIC_TARGET_API_URL": provider.url, "OPENAI_TARGET_API_URL": provider.url}
        proxy = Proxy((str(folder / "bin" / "headroom"), "proxy"), {**env, "HEADROOM_PORT": "0"})
        try:
            env["HEADROOM_PORT"] = proxy.url.rpartition(":")[2]
            body = {"model": "gpt-4o", "messages": payments().messages}
            told = httpx.post(f"{proxy.url}/v1/compress", json=body, trust_env=False, timeout=WAIT_S).json()
            yield Machine(folder, env, proxy.url, told["ccr_hashes"][0])
        finally:
            assert proxy.stop() == 0


def _made(folder: Path) -> dict[str, str]:
    programs, home = folder / "bin", folder / "user"
    programs.mkdir()
    for name, text in _PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    past = home / ".claude" / "projects" / "nodes" / "s-1.jsonl"
    past.parent.mkdir(parents=True)
    past.write_text("".join(json.dumps(line) + "\n" for line in transcripts.claude_code()))
    (home / "api.txt").write_text(next(made.output for made in samples() if "log" in made.title.lower()))
    return {
        "HOME": str(home),
        "PATH": f"{programs}:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "ANTHROPIC_API_KEY": "mine",
        "OPENAI_API_KEY": "mine",
        "HF_HUB_OFFLINE": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        **{name: value for name, value in os.environ.items() if name.startswith(("LANG", "LC_", "TIKTOKEN_"))},
    }
