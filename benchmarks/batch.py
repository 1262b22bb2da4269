"""How fast `headroom batch` is, and whether it survives: `python -m benchmarks.batch --rows 100000 [--data CORPUS] [--kills 5]`.

The rows are the conversations of a corpus (a folder of JSON lines with `messages`), or generated ones, repeated with changes until
there are so many. They go through one process without Ray, through one actor and through two; then once more while the whole group of
processes is killed at random and started again, and what comes out is compared with the undisturbed output, file by file.
Memory is the resident set of all processes but Ray's own, at its highest. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.batch.test_batch import talk

_PROGRAM = "from headroom.cli.main import main; main(prog_name='headroom')"


def conversations(data: Path | None) -> Iterator[dict[str, Any]]:
    """Without end, no two alike."""
    known = [json.loads(line) for file in sorted(data.rglob("*.jsonl")) for line in file.open()] if data else []
    for number in itertools.count():
        if not known:
            yield talk(number, 20 + number % 80)
            continue
        record = known[number % len(known)]
        text = json.dumps({"id": f"{number}", "messages": record["messages"]})
        yield json.loads(text.replace("2024", f"{2000 + number % 97}").replace("info", f"info{number % 89}"))


class Memory(threading.Thread):
    """The highest resident set of our processes, in MB: the command's own and the actors."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0
        self.samples: list[float] = []
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.5):
            used = sum(_resident(pid) for pid in Path("/proc").iterdir() if pid.name.isdigit())
            self.samples.append(used)
            self.most = max(self.most, used)

    def stop(self) -> None:
        self._over.set()
        self.join()

    @property
    def slope(self) -> float:
        """The mean of the last quarter over that of the second: 1 is flat."""
        quarter = len(self.samples) // 4
        if not quarter:
            return 1.0
        return sum(self.samples[-quarter:]) / max(1.0, sum(self.samples[quarter : 2 * quarter]))


def _resident(process: Path) -> float:
    try:
        words = (process / "cmdline").read_bytes()
        if b"prog_name='headroom'" not in words and b"Compressor" not in words and b"serve_app.batch" not in words:
            return 0.0
        return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError, ValueError):
        return 0.0


def started(source: Path, out: Path, workers: int, *more: str) -> subprocess.Popen[bytes]:
    words = [
        sys.executable,
        "-c",
        _PROGRAM,
        "batch",
        str(source),
        str(out),
        "--workers",
        str(workers),
        "--max-errors",
        "1",
        "--json",
        *more,
    ]
    return subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True)


def measured(source: Path, out: Path, workers: int, rows: int) -> float:
    memory, began = Memory(), time.perf_counter()
    memory.start()
    process = started(source, out, workers)
    told, _ = process.communicate()
    seconds = time.perf_counter() - began
    memory.stop()
    assert process.returncode == 0
    summary = json.loads(told.splitlines()[-1])
    name = f"Ray, {workers} actors" if workers else "one process"
    speed = f"{seconds:8.1f} s {rows / seconds:8.1f} rows/s {rows / seconds / max(1, workers):8.1f} per core"
    size = f"memory {memory.most:6.0f} MB at most, last quarter / second {memory.slope:.2f}"
    print(f"{name:15} {speed}   {size}   {summary['rows']} rows, {summary['errors']} errors")
    return seconds


def outputs(out: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.glob("part-*"))}


def killed(source: Path, out: Path, workers: int, kills: int, seconds: float) -> None:
    draw = random.Random(0)
    for done in range(kills + 1):
        process = started(source, out, workers, *(["--resume"] if (out / "_state").exists() else []))
        if done == kills:
            process.communicate()
            assert process.returncode == 0
            return
        time.sleep(draw.uniform(0.4, 0.9) * seconds / kills + (8 if workers else 1))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        print(f"killed after {len(outputs(out))} files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--data", type=Path, help="folder with a corpus")
    parser.add_argument("--kills", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADROOM_HOME"] = f"{folder}/home"
        source, whole = Path(folder) / "in.jsonl", Path(folder) / "whole"
        with source.open("w") as file:
            for record in itertools.islice(conversations(args.data), args.rows):
                file.write(json.dumps(record) + "\n")
        print(f"{args.rows:,} conversations, {source.stat().st_size / 1e6:.0f} MB")
        measured(source, whole, 0, args.rows)
        one, two = (measured(source, Path(folder) / f"ray{workers}", workers, args.rows) for workers in (1, 2))
        print(f"two actors are {one / two:.2f} times as fast as one, Ray's start (some seconds) included")
        killed(source, Path(folder) / "killed", 2, args.kills, two)
        same = [outputs(Path(folder) / name) == outputs(whole) for name in ("ray1", "ray2", "killed")]
        print(f"outputs equal to those of one process: one actor {same[0]}, two {same[1]}, killed {args.kills} times {same[2]}")


if __name__ == "__main__":
    main()
