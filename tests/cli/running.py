"""`headroom proxy` in a process of its own; it ends like a person ends it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

import httpx

HEADROOM = (sys.executable, "-c", "from headroom.cli.main import main; main(prog_name='headroom')")


class Proxy:
    """Answers at `url` once it is made; `banner` is what it printed, `said` what it printed after that until it was stopped."""

    said = ""

    def __init__(self, words: Sequence[str], env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        self.banner = ""
        assert self.process.stderr is not None
        while "Stop" not in self.banner:
            line = self.process.stderr.readline()
            assert line, self.banner
            self.banner += line
        self.url = re.findall(r"http://\S+", self.banner)[0]
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, trust_env=False) as client:
            assert client.get(f"{self.url}/health").status_code == 200

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        self.said = self.process.stderr.read()
        self.process.wait(timeout=30)
        return self.process.returncode
