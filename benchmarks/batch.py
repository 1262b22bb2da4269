"""How fast `headroom batch` is, and whether it survives: `python -m benchmarks.batch --rows 100000 [--data CORPUS] [--kills 5]`.

The rows are the conversations of a corpus (a folder of JSON lines with `messages`), or generated ones with tool outputs of about
`--records` records, repeated with changes until there are so many. They go through a plain loop over `headroom.compress()` in one
process, through `--workers 0`, through one actor and through two; then once more while the whole group of processes is killed at random
and started again, and what comes out is compared with the undisturbed output, file by file, and id by id with the input.

Rows a second are those of the time in which chunks ended, so that the start of Ray, some seconds, is not in them. CPU time is that of
our own processes, of those of Ray not. Memory is the resident set of the same processes, at its highest. On a machine that does
other things meanwhile compare CPU time, and repeat one and two actors (`--repeat`): the best of each counts.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.batch.test_batch import talk

_PROGRAM = "from headroom.cli.main import main; main(prog_name='headroom')"
_LOOP = """
import itertools, json, sys
from headroom import compress
with open(sys.argv[1]) as source, open(sys.argv[2], "w") as out:
    for line in itertools.islice(source, int(sys.argv[3])):
        row = json.loads(line)
        done = compress(row["messages"])
        out.write(json.dumps({**row, "messages": done.messages, "tokens_before": done.tokens_before}, ensure_ascii=False) + "\\n")
"""
_SIGNS = (b"prog_name='headroom'", b"MapWorker", b"serve_app.batch", b"import itertools, json, sys")
_TICKS = os.sysconf("SC_CLK_TCK")


def conversations(data: Path | None, records: int) -> Iterator[dict[str, Any]]:
    """Without end, no two alike."""
    known = [json.loads(line) for file in sorted(data.rglob("*.jsonl")) for line in file.open()] if data else []
    for number in itertools.count():
        if not known:
            yield talk(number, records // 2 + number % records)
            continue
        record = known[number % len(known)]
        text = json.dumps({"id": f"{number}", "messages": record["messages"]})
        yield json.loads(text.replace("2024", f"{2000 + number % 97}").replace("info", f"info{number % 89}"))


class Watch(threading.Thread):
    """What our processes need: the highest resident set of all together, in MB, and their CPU seconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[float] = []
        self._cpu: dict[str, float] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.3):
            used = [(process.name, told) for process in Path("/proc").iterdir() if process.name.isdigit() and (told := _used(process))]
            self._cpu |= {name: cpu for name, (_, cpu) in used}
            self.samples.append(sum(memory for _, (memory, _) in used))

    def stop(self) -> None:
        self._over.set()
        self.join()

    @property
    def cpu(self) -> float:
        return sum(self._cpu.values())

    @property
    def slope(self) -> float:
        """The mean of the last quarter over that of the second: 1 is flat."""
        quarter = len(self.samples) // 4
        if not quarter:
            return 1.0
        return sum(self.samples[-quarter:]) / max(1.0, sum(self.samples[quarter : 2 * quarter]))


def _used(process: Path) -> tuple[float, float] | None:
    """Megabytes and CPU seconds of one of ours, Ray's own left out."""
    try:
        words = (process / "cmdline").read_bytes()
        if not any(sign in words for sign in _SIGNS) or not _below(process):
            return None
        memory = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        return memory, (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError, ValueError):
        return None


def _below(process: Path) -> bool:
    """Whether this process has started it, or what started it. Raises OSError when it is gone."""
    while (parent := int((process / "stat").read_text().rpartition(")")[2].split()[1])) > 1:
        if parent == os.getpid():
            return True
        process = process.with_name(str(parent))
    return False


@dataclass(frozen=True)
class Measured:
    rows_s: float
    cpu_ms: float  # of a row

    def told(self, name: str, watch: Watch, seconds: float, workers: int) -> str:
        size = f"memory {max(watch.samples, default=0):5.0f} MB at most, last quarter / second {watch.slope:.2f}"
        speed = f"{self.rows_s:8.1f} rows/s {self.rows_s / max(1, workers):8.1f} per worker {self.cpu_ms:7.3f} ms CPU a row"
        return f"{name:12} {seconds:7.1f} s {speed}   {size}"


def started(source: Path, out: Path, workers: int, *more: str) -> subprocess.Popen[bytes]:
    words = ["batch", str(source), str(out), "--workers", str(workers), "--max-errors", "1", "--chunk-mb", "2", "--json", *more]
    environ = {**os.environ, "HEADROOM_HOME": f"{out}-home"}
    return subprocess.Popen([sys.executable, "-c", _PROGRAM, *words], stdout=subprocess.PIPE, start_new_session=True, env=environ)


def measured(source: Path, out: Path, workers: int, rows: int) -> Measured:
    shutil.rmtree(out, ignore_errors=True)
    watch, began = Watch(), time.perf_counter()
    watch.start()
    process = started(source, out, workers)
    told, _ = process.communicate()
    seconds = time.perf_counter() - began
    watch.stop()
    assert process.returncode == 0
    summary = json.loads(told.splitlines()[-1])
    assert (summary["rows"], summary["errors"]) == (rows, 0), summary
    found = Measured(steady(out), 1000 * watch.cpu / rows)
    print(found.told(f"{workers} actors" if workers else "one process", watch, seconds, workers), flush=True)
    shutil.rmtree(f"{out}-home")
    return found


def steady(out: Path) -> float:
    """Rows a second between the end of the first chunk and that of the last."""
    marks = [(file.stat().st_mtime, json.loads(file.read_text())["rows"]) for file in (out / "_state" / "done").iterdir()]
    first, last = min(marks)[0], max(marks)[0]
    return sum(rows for at, rows in marks if at > first) / max(1e-9, last - first)


def looped(source: Path, folder: Path, rows: int) -> Measured:
    environ = {**os.environ, "HEADROOM_HOME": str(folder / "loop-home")}
    watch, began = Watch(), time.perf_counter()
    watch.start()
    subprocess.run([sys.executable, "-c", _LOOP, source, folder / "loop.jsonl", str(rows)], env=environ, check=True)
    seconds = time.perf_counter() - began
    watch.stop()
    found = Measured(rows / seconds, 1000 * watch.cpu / rows)
    print(found.told("plain loop", watch, seconds, 1), flush=True)
    shutil.rmtree(folder / "loop-home")
    return found


def outputs(out: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.glob("part-*"))}


def ids(files: list[Path]) -> list[str]:
    return [json.loads(line)["id"] for file in sorted(files) for line in file.open()]


def killed(source: Path, out: Path, workers: int, kills: int, seconds: float) -> None:
    draw, done, went_on = random.Random(0), 0, False
    while True:
        process = started(source, out, workers, *(["--resume"] if went_on else []))
        time.sleep(draw.uniform(0.3, 0.9) * seconds / kills + (8 if workers else 1))
        went_on = (out / "_state" / "plan.json").exists()
        if done == kills or process.poll() is not None:
            process.communicate()
            assert process.returncode == 0
            print(f"killed {done} times", flush=True)
            return
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        done += 1
        print(f"killed after {len(outputs(out))} files", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=60, help="of a generated conversation, on average")
    parser.add_argument("--data", type=Path, help="folder with a corpus")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=1, help="how often one and two actors are measured, in turns; 0: two, once")
    parser.add_argument("--loop-rows", type=int, default=10_000, help="of them, those that the plain loop does")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        source = folder / "in.jsonl"
        with source.open("w") as file:
            for record in itertools.islice(conversations(args.data, args.records), args.rows):
                file.write(json.dumps(record) + "\n")
        print(f"{args.rows:,} conversations, {source.stat().st_size / 1e6:.0f} MB", flush=True)
        loop = looped(source, folder, min(args.rows, args.loop_rows))
        whole = measured(source, folder / "whole", 0, args.rows)
        print(f"one process costs {whole.cpu_ms / loop.cpu_ms:.2f} times the CPU of the plain loop")
        counts = (1, 2) if args.repeat else (2,)
        runs = [[measured(source, folder / f"ray{count}", count, args.rows) for count in counts] for _ in range(args.repeat or 1)]
        one, two = (max((run[place] for run in runs), key=lambda found: found.rows_s) for place in (0, -1))
        if args.repeat:
            print(
                f"two actors are {two.rows_s / one.rows_s:.2f} times as fast as one, at {two.cpu_ms / one.cpu_ms:.2f} times the CPU a row"
            )
        print(f"an actor costs {one.cpu_ms / loop.cpu_ms:.2f} times the CPU of the plain loop, Ray's start included")
        if args.kills:
            killed(source, folder / "killed", 2, args.kills, args.rows / two.rows_s)
        expected = outputs(folder / "whole")
        for name in (*(f"ray{count}" for count in counts), *(["killed"] if args.kills else [])):
            print(f"{name}: outputs equal to those of one process: {outputs(folder / name) == expected}")
        found = ids(list((folder / ("killed" if args.kills else "whole")).glob("part-*.jsonl")))
        print(f"each row exactly once: {found == ids([source])} ({len(found):,} rows)")


if __name__ == "__main__":
    main()
