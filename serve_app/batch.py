"""`headroom batch` on Ray Data: chunks stream through a pool of actors, each with a store of its own.

Run by `headroom batch`, or as a job: `ray job submit -- python -m serve_app.batch '{"source": ..., "out": ...}'`. Only
descriptions of chunks and what they came to pass through Ray; rows go from file to file, so memory stays flat. A chunk whose
actor or node is lost is done again elsewhere, which changes nothing: its files appear whole or not at all.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import ray
import ray.data

from headroom.batch import chunks
from headroom.batch.plan import BatchError, Chunk
from headroom.batch.run import Order, run
from headroom.batch.work import Work
from headroom.cli.batch import bar, tell
from headroom.cli.options import load
from headroom.errors import HeadroomError
from headroom.settings import Settings


class Compressor:
    """An actor of the pool. What it needs comes with every chunk, so that one which is started again needs nothing else."""

    def __init__(self) -> None:
        self._work: dict[str, tuple[str, str, Work]] = {}

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        done = []
        for chunk, told in zip(batch["chunk"], batch["order"], strict=True):
            if told not in self._work:
                asked = json.loads(told)
                work = Work(Settings.model_validate(asked["settings"]), embed=asked["embed"])
                self._work[told] = asked["out"], asked["model"], work
            out, model, work = self._work[told]
            done.append(json.dumps(chunks.do(Chunk(**json.loads(chunk)), out, work, model)))
        return {"mark": done}


def on_ray(workers: int | None) -> Any:
    """How chunks are worked on by that many actors, by default as many as the cluster has cores."""

    def work(left: Sequence[Chunk], order: Order, settings: Settings) -> Iterator[dict[str, Any]]:
        if not left:
            return
        cores = ray.cluster_resources().get("CPU", 1)  # type: ignore[no-untyped-call]
        count = min(workers or int(cores), len(left))
        told = {"out": order.out, "model": order.model, "embed": order.embed, "settings": settings.model_dump(mode="json")}
        items = [{"chunk": json.dumps(dataclasses.asdict(chunk)), "order": json.dumps(told)} for chunk in left]
        found = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            Compressor,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=1,
            num_gpus=_gpus(count, order, settings),
        )
        for row in found.iter_rows():
            yield json.loads(row["mark"])

    return work


def _gpus(count: int, order: Order, settings: Settings) -> float:
    """The share of a GPU that each of so many actors gets: of all there are, where a model may run on one."""
    lingua = settings.llmlingua.enabled and settings.llmlingua.device in ("auto", "cuda")
    vectors = order.embed and settings.scoring.device in ("auto", "cuda")
    there = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
    return float(min(1.0, there / count)) if lingua or vectors else 0.0


def main(asked: dict[str, Any]) -> None:
    """Raises HeadroomError."""
    config, flags, workers = asked.pop("config", None), asked.pop("flags", {}), asked.pop("workers", None)
    address, as_json = asked.pop("address", ""), asked.pop("json", False)
    settings = load(Path(config) if config else None, flags)
    order = Order(**asked)
    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its hints about itself
    known = address or os.environ.get("RAY_ADDRESS")  # noqa: TID251  Ray's own
    ray.init(
        known, log_to_driver=False, logging_level=logging.ERROR, **({} if known else {"num_cpus": workers, "include_dashboard": False})
    )
    with bar() as advance:
        total = run(order, settings, on_ray(workers), advance)
    tell(total, order.out, as_json)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except ray.exceptions.RayTaskError as failure:
        cause = failure.cause if isinstance(failure.cause, HeadroomError | OSError) else failure
        raise SystemExit(f"Error: {cause}") from None
    except (BatchError, HeadroomError, OSError) as failure:
        click.echo(f"Error: {failure}", err=True)
        raise SystemExit(1) from None
