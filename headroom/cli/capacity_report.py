"""How a plan looks: on a screen, for machines, and as a drawing of the simulated course."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from headroom.capacity.costs import Costs
from headroom.capacity.load import Load
from headroom.capacity.outcomes import PERCENTS, Outcome, Range
from headroom.capacity.plan import Need, Plan
from headroom.capacity.simulation import Course
from headroom.cli.terminal import console, sparkline

_WIDTH = 120  # of what is no terminal
_BARS = 60
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB"))


def screen(load: Load, plan: Plan, course: Course, outcomes: Sequence[Outcome], costs: Costs, ttl_hours: float) -> None:
    out = console()
    if not out.is_terminal:
        out.width = _WIDTH
    rates = f"{load.hourly_rate:,.1f} requests a second in the busiest hour, {load.peak_rate:,.1f} at its peak"
    out.print(f"{load.users:,} users, {rates}", style="bold")
    out.print(_replicas(plan, outcomes))
    out.print(_rest(plan, ttl_hours))
    for line in _told(course, outcomes):
        out.print(line)
    for warning in plan.warnings:
        out.print(f"! {warning}", style="yellow")
    out.print(f"costs: {costs.measured}", style="dim")


def _replicas(plan: Plan, outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("tier")
    for name in ("busy cores at the peak", "replicas needed", "replicas simulated", "max_replicas to allow"):
        table.add_column(name, justify="right")
    for name, need in _needs(plan):
        simulated = spread(_of_replicas(outcomes, name), "{:.1f}")
        table.add_row(name, f"{need.cpus:.1f}", f"{need.replicas:,}", simulated, f"{need.allowed:,}")
    return table


def _needs(plan: Plan) -> Iterator[tuple[str, Need]]:
    yield "ingress", plan.ingress
    yield "compressor", plan.compressor


def _of_replicas(outcomes: Sequence[Outcome], name: str) -> Range:
    return Range.of(outcomes, lambda outcome: outcome.replicas[name])


def _waits_ms(outcomes: Sequence[Outcome]) -> dict[int, Range]:
    def wait_ms(percent: int) -> Range:
        return Range.of(outcomes, lambda outcome: 1000 * outcome.wait_s[percent])

    return {percent: wait_ms(percent) for percent in PERCENTS}


def spread(found: Range, shape: str) -> str:
    """`12.0 (9.0 to 16.0)`; the middle alone where all look the same."""
    middle, least, most = (shape.format(value) for value in (found.median, found.least, found.most))
    return middle if least == most else f"{middle} ({least} to {most})"


def _rest(plan: Plan, ttl_hours: float) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("what")
    table.add_column("how much", justify="right")
    table.add_column("")
    table.add_row("nodes", f"{plan.nodes:,}", "one of them may be lost")
    table.add_row("Redis, commands a second", f"{plan.redis_commands_s:,.0f}", f"{plan.redis_share:.0%} of one server")
    table.add_row("Redis, memory", size(plan.redis_bytes), f"originals of {ttl_hours:g} hours")
    table.add_row("ledger, a day", size(plan.ledger_bytes_day), f"{size(365 * plan.ledger_bytes_day)} a year")
    table.add_row("stats", f"{plan.stats_share:.0%}", "of its one replica")
    return table


def _told(course: Course, outcomes: Sequence[Outcome]) -> Iterator[str]:
    shown = course.samples[:: max(1, len(course.samples) // _BARS)]
    minutes = course.seconds / 60
    yield f"requests a second      {sparkline([one.asked for one in shown])}  over {minutes:g} simulated minutes"
    for name in ("ingress", "compressor"):
        counts = [one.replicas[name] for one in shown]
        yield f"{name + ' replicas':22} {sparkline(counts)}  {min(counts, default=0)} to {max(counts, default=0)}"
    waits = ", ".join(f"p{percent} {spread(found, '{:,.0f}')} ms" for percent, found in _waits_ms(outcomes).items())
    yield f"wait for a compressor at the peak: {waits}"
    without = spread(Range.of(outcomes, lambda outcome: outcome.uncompressed), "{:.2%}")
    lost = f", {course.cut_off:,} streams cut off when a node died at {course.died_s / 60:.0f} min" if course.died_s is not None else ""
    yield f"{without} of {course.asked:,} requests went on uncompressed, {course.refused:,} were refused{lost}"
    if len(outcomes) > 1:
        yield f"drawn is the first of {len(outcomes)} courses; figures are their middle one and what they range over"


def size(count: float) -> str:
    """`3.2 GB`."""
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if count >= scale), (1.0, "bytes"))
    return f"{count / scale:,.1f} {unit}"


def as_object(load: Load, plan: Plan, course: Course, outcomes: Sequence[Outcome], costs: Costs) -> str:
    """All figures as JSON: those of the first course, and the middle, least and most of all."""
    first = outcomes[0]
    waits = {f"p{percent}": _rounded(found, 1) for percent, found in _waits_ms(outcomes).items()}
    told = {
        "load": dataclasses.asdict(load) | {"hourly_rate": load.hourly_rate, "peak_rate": load.peak_rate},
        "plan": dataclasses.asdict(plan),
        "simulated": {
            "requests": course.asked,
            "uncompressed": course.uncompressed,
            "refused": course.refused,
            "cut_off": course.cut_off,
            "wait_ms": {f"p{percent}": round(1000 * first.wait_s[percent], 1) for percent in PERCENTS},
            "replicas": {name: round(first.replicas[name], 2) for name, _ in _needs(plan)},
            "courses": {
                "count": len(outcomes),
                "wait_ms": waits,
                "replicas": {name: _rounded(_of_replicas(outcomes, name), 2) for name, _ in _needs(plan)},
            },
            "samples": [dataclasses.asdict(sample) for sample in course.samples],
        },
        "costs": costs.measured,
    }
    return json.dumps(told)


def _rounded(found: Range, digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in dataclasses.asdict(found).items()}


def drawn(course: Course, file: Path) -> None:
    """Requests, replicas and waits over time. Raises ClickException where the file cannot be."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "headroom"  # the same course, the same file
    from matplotlib import pyplot as plt

    minutes = [sample.at_s / 60 for sample in course.samples]
    figure, (rates, replicas, waits) = plt.subplots(3, 1, sharex=True, figsize=(8, 7), layout="constrained")
    rates.plot(minutes, [sample.asked for sample in course.samples], label="asked", color="#888888")
    rates.plot(minutes, [sample.done for sample in course.samples], label="answered", color="#1f77b4")
    rates.set_ylabel("requests a second")
    for name, colour in (("ingress", "#2ca02c"), ("compressor", "#d62728")):
        replicas.step(minutes, [sample.replicas[name] for sample in course.samples], where="post", label=name, color=colour)
    replicas.set_ylabel("replicas")
    span = course.samples[0].at_s if course.samples else 1.0
    late = [1000 * course.wait_s(95, (sample.at_s - span, sample.at_s)) for sample in course.samples]
    waits.plot(minutes, late, label="p95", color="#9467bd")
    waits.set_yscale("symlog", linthresh=10)
    waits.set_ylabel("wait for a compressor, ms")
    waits.set_xlabel("minutes")
    for axis in (rates, replicas, waits):
        if course.died_s is not None:
            axis.axvline(course.died_s / 60, color="black", linestyle=":", linewidth=1, label="a node dies")
        axis.set_ylim(bottom=0)
        axis.legend(loc="upper right", frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    except (OSError, ValueError) as failure:
        raise click.ClickException(f"{file}: cannot be drawn ({failure})") from None
    finally:
        plt.close(figure)
