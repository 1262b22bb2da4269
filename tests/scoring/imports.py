"""What a program imports."""

from __future__ import annotations

import json
import subprocess
import sys


def imported(code: str, modules: set[str]) -> set[str]:
    """Those of the modules that a new Python has imported once it has run this code."""
    told = f"{code}\nimport json, sys\nprint(json.dumps([name for name in {modules!r} if name in sys.modules]))"
    return set(json.loads(subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True).stdout))
