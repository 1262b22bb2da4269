"""Coverage-guided fuzzing of everything that reads what others send: `python -m benchmarks.fuzz --minutes 60`.

libFuzzer, driven by atheris (`pip install 'headroom[fuzz]'`), looks for inputs that reach new code, in each target in turn:

- requests: the application in memory is sent mutated requests of every dialect. A 5xx can only be ours, a refusal has the form of an
  error, and what failed inside and was forwarded as it came counts too.
- answers: a provider streams mutated answers to requests that may call `headroom_retrieve`. The client gets 200, and an answer that does
  not call us byte for byte.
- texts: tool outputs and prompts go through the compressors, twice. No compressor fails, both times give the same bytes, and every hash
  that we put in redeems exactly what stood there.
- parsers: content encodings, event streams however they are cut, transcripts, policies. Nothing but the errors that they promise.

What was found lies in --found, one file each; `--target NAME --again FILE` runs it again. Exit status 1 when anything was.
"""

from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.fuzz_targets import TARGETS, Loud

_MOST_BYTES = 60_000
_MOST_S = 30  # for one input
_MOST_MB = 4000
_DONE = re.compile(r"Done (\d+) (?:runs )?in (\d+) second")
_REACHED = re.compile(r"cov: (\d+)")


def fuzz(name: str, seconds: int, found: Path, again: Path | None) -> None:
    """Feeds one target until the time is over or something is found; does not return."""
    import atheris

    instrumented = atheris.instrument_imports(include=["headroom"])  # also what a target imports when it is first fed
    with instrumented, tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as corpus:
        target = TARGETS[name](Path(home))
        for number, seed in enumerate(target.seeds):
            Path(corpus, f"{number:04}").write_bytes(seed)
        logging.getLogger().addHandler(Loud(logging.ERROR))
        logging.getLogger("headroom").setLevel(logging.ERROR)
        options = [f"-max_len={_MOST_BYTES}", f"-timeout={_MOST_S}", f"-rss_limit_mb={_MOST_MB}", f"-artifact_prefix={found}/{name}-"]
        places = [str(again)] if again else [corpus, f"-max_total_time={seconds}"]
        atheris.Setup([sys.argv[0], *places, *options], target.feed, custom_mutator=target.mutate)
        atheris.Fuzz()


def run(name: str, seconds: int, found: Path) -> bool:
    """Whether nothing was found, in a process of its own, which libFuzzer ends."""
    command = [sys.executable, "-m", "benchmarks.fuzz", "--target", name, "--minutes", str(seconds / 60), "--found", str(found), "--inside"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    (found / f"{name}.log").write_text(done.stdout)
    runs, reached = _DONE.findall(done.stdout), _REACHED.findall(done.stdout)
    inputs, took = runs[-1] if runs else ("?", "?")
    print(f"{name:10} {inputs:>9} inputs in {took} s; {reached[-1] if reached else '?'} places in the code reached", end="; ", flush=True)
    print("nothing found" if not done.returncode else f"FOUND: {found / name}*, exit status {done.returncode}", flush=True)
    return not done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="of all targets together")
    parser.add_argument("--target", choices=TARGETS, help="only this one")
    parser.add_argument("--found", type=Path, default=Path("fuzz"), help="folder for what is found")
    parser.add_argument("--again", type=Path, metavar="FILE", help="feed this to --target, once")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.found.mkdir(parents=True, exist_ok=True)
    names = [options.target] if options.target else list(TARGETS)
    seconds = int(60 * options.minutes / len(names))
    if options.inside or options.again:
        if not options.target:
            parser.error("--again needs --target")
        fuzz(options.target, seconds, options.found.resolve(), options.again)
    clean = [run(name, seconds, options.found.resolve()) for name in names]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
