"""`headroom capacity`: how many replicas and nodes, how much Redis and storage an organisation needs."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path

import click

from headroom.cli.options import Finite
from headroom.cli.options import load as settings_of

_MOST = 2_000_000  # requests that are simulated; more take too long


@click.command("capacity")
@click.option("--users", type=click.IntRange(1, 1_000_000_000), required=True, help="People, or agents, that work at once.")
@click.option("--requests-per-user-hour", type=Finite(0, 1_000_000, min_open=True), required=True, help="Of each, in the busiest hour.")
@click.option("--peak", type=Finite(1, 1_000_000), default=1.5, show_default=True, help="The busiest minutes over that hour.")
@click.option("--prompt-tokens", type=click.IntRange(1, 1_000_000_000), default=30_000, show_default=True, help="Of a request, on average.")
@click.option("--new-tokens", type=click.IntRange(0), default=2_000, show_default=True, help="Of them, those in no request before.")
@click.option("--answer-s", type=Finite(0, 1_000_000), default=15.0, show_default=True, help="Seconds that an answer streams.")
@click.option("--spread", type=Finite(0, 5), default=1.0, show_default=True, help="Of sizes: standard deviation over mean.")
@click.option("--hours-per-day", type=Finite(0, 24, min_open=True), default=8.0, show_default=True, help="Busy hours of a day.")
@click.option("--node-cpus", type=Finite(1, 1_000_000), default=16.0, show_default=True, help="Cores of a node.")
@click.option("--node-gb", type=Finite(1, 1_000_000), default=64.0, show_default=True, help="Memory of a node.")
@click.option("--ttl-hours", type=Finite(0, 1_000_000, min_open=True), help="Lifetime of originals  [HEADROOM_STORE_TTL_HOURS]")
@click.option("--serve-config", type=click.Path(path_type=Path), metavar="FILE", help="YAML with the tiers  [as configs/prod.yaml]")
@click.option("--costs", "costs_file", type=click.Path(path_type=Path), metavar="FILE", help="Table of costs  [as measured]")
@click.option("--minutes", type=Finite(1, 600), default=20.0, show_default=True, help="Minutes to simulate.")
@click.option("--no-failure", is_flag=True, help="No node dies in the middle of the peak.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the simulation; the same seed, the same course.")
@click.option("--courses", type=click.IntRange(1, 1000), default=5, show_default=True, help="How often, with seeds that follow.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw its course, as .svg, .png or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print figures for machines, as one JSON object.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(
    users: int,
    requests_per_user_hour: float,
    peak: float,
    prompt_tokens: int,
    new_tokens: int,
    answer_s: float,
    spread: float,
    hours_per_day: float,
    node_cpus: float,
    node_gb: float,
    ttl_hours: float | None,
    serve_config: Path | None,
    costs_file: Path | None,
    minutes: float,
    no_failure: bool,
    seed: int,
    courses: int,
    plot: Path | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Tell how many replicas and nodes, how much Redis and storage so many people need.

    What a request costs each tier was measured; Ray Serve's rules for adding and removing replicas are simulated over the busiest
    minutes, in which a node dies. docs/capacity.md says what is counted and how near to measured runs it comes.
    """
    if new_tokens > prompt_tokens:
        raise click.BadParameter(f"{new_tokens:,} of {prompt_tokens:,} tokens cannot be new.", param_hint="--new-tokens")
    _needs("simpy", "capacity")
    from headroom.capacity import costs as tables
    from headroom.capacity import tiers as described
    from headroom.capacity.load import Load
    from headroom.capacity.outcomes import several
    from headroom.capacity.plan import Node, allowing, planned
    from headroom.capacity.simulation import simulated
    from headroom.cli.capacity_report import as_object, drawn, screen

    if plot:
        _needs("matplotlib", "notebooks")
    costs = tables.read(costs_file)
    tiers = described.read(serve_config) if serve_config else described.Tiers()
    load = Load(users, requests_per_user_hour, peak, prompt_tokens, new_tokens, answer_s, spread, hours_per_day)
    if load.peak_rate * 60 * minutes > _MOST:
        fits = _MOST / load.peak_rate / 60
        raise click.BadParameter(f"more than {_MOST:,} requests to simulate; {fits:.1f} minutes would do.", param_hint="--minutes")
    lifetime = ttl_hours or settings_of(config).store.ttl_hours
    plan = planned(load, tiers, costs, Node(node_cpus, node_gb), lifetime)
    requests = load.peak_rate * 40 * minutes
    if sys.stderr.isatty():
        click.echo(f"simulating {minutes:g} minutes, about {requests:,.0f} requests, {courses} times ...", err=True)
    allowed = allowing(tiers, plan)
    run = partial(simulated, load, allowed, costs, nodes=plan.nodes, seconds=60 * minutes, failure=not no_failure)
    course, outcomes = several(run, range(seed, seed + courses), requests)
    if plot:
        drawn(course, plot)
    if as_json:
        click.echo(as_object(load, plan, course, outcomes, costs))
        return
    screen(load, plan, course, outcomes, costs, lifetime)


def _needs(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise click.ClickException(f"{module} is not installed: pip install 'headroom[{extra}]'.")
