"""What a load comes to: replicas, nodes, Redis and storage, from the costs in closed form, and from the simulated peak."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from headroom.capacity.costs import Costs
from headroom.capacity.load import Load
from headroom.capacity.rules import Scaling
from headroom.capacity.simulation import Course
from headroom.capacity.tiers import Tiers

FULL = 0.7  # of a core, a node, a Redis or a ledger, that a plan uses at most
_SPARE = 1.25  # replicas that may come, over those that the peak needs
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Node:
    cpus: float = 16.0
    memory_gb: float = 64.0


@dataclass(frozen=True, slots=True)
class Need:
    """A deployment at the peak: cores that it keeps busy, replicas that the peak needs, and `max_replicas` to allow."""

    cpus: float
    replicas: int
    allowed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`nodes` has one more than the peak needs, so that one may be lost. Bytes are those that are there at a time."""

    ingress: Need
    compressor: Need
    nodes: int
    stats_share: float
    redis_commands_s: float
    redis_share: float
    redis_bytes: float
    ledger_bytes_day: float
    warnings: tuple[str, ...]


def planned(load: Load, tiers: Tiers, costs: Costs, node: Node, ttl_hours: float) -> Plan:
    """The need of a load, the busiest minutes for what computes, whole days for what is kept."""
    body, new, rate = load.body_mb, load.new_mb, load.peak_rate
    ingress = _need(rate * costs.ingress.seconds(body, new), rate * load.answer_s / tiers.ingress.target_ongoing_requests)
    compressor = _need(rate * costs.compressor.seconds(body, new), 0.0)
    daily = load.hourly_rate * 3600 * load.hours_per_day
    kept = load.hourly_rate * 3600 * max(min(ttl_hours, load.hours_per_day), load.hours_per_day * ttl_hours / 24)
    parts = ((ingress, tiers.ingress, costs.ingress.replica_mb), (compressor, tiers.compressor, costs.compressor.replica_mb))
    stats, commands = rate * costs.stats.ms / 1000, rate * costs.store.commands
    return Plan(
        ingress=ingress,
        compressor=compressor,
        nodes=_nodes(parts, node, costs),
        stats_share=stats,
        redis_commands_s=commands,
        redis_share=commands / costs.store.commands_s,
        redis_bytes=kept * (costs.store.bytes + costs.store.bytes_per_new_mb * new),
        ledger_bytes_day=daily * costs.ledger_bytes,
        warnings=tuple(_warnings(tiers, ingress, compressor, stats, commands / costs.store.commands_s)),
    )


def allowing(tiers: Tiers, plan: Plan) -> Tiers:
    """The tiers with as many replicas allowed as the plan says, where they allow fewer."""

    def more(scaling: Scaling, need: Need) -> Scaling:
        return dataclasses.replace(scaling, max_replicas=max(scaling.max_replicas, need.allowed))

    return Tiers(more(tiers.ingress, plan.ingress), more(tiers.compressor, plan.compressor))


def settled(course: Course, name: str) -> float:
    """Replicas of a deployment at the simulated peak, on average."""
    found = [sample.replicas[name] for sample in course.at_peak()]
    return sum(found) / len(found) if found else 0.0


def _need(cpus: float, by_target: float) -> Need:
    replicas = max(1, math.ceil(max(cpus / FULL, by_target)))
    return Need(cpus, replicas, math.ceil(_SPARE * replicas) + 1)


def _nodes(parts: tuple[tuple[Need, Scaling, float], ...], node: Node, costs: Costs) -> int:
    """By what is busy, by what Ray reserves, and by memory; whichever needs most, and one more."""
    busy = sum(need.cpus for need, _, _ in parts) / (FULL * node.cpus)
    reserved = sum(need.replicas * scaling.num_cpus for need, scaling, _ in parts) / node.cpus
    memory = sum(need.replicas * size for need, _, size in parts) / max(1.0, FULL * 1000 * node.memory_gb - costs.ray_mb)
    return max(1, math.ceil(max(busy, reserved, memory))) + 1


def _warnings(tiers: Tiers, ingress: Need, compressor: Need, stats: float, redis: float) -> list[str]:
    found = []
    for name, scaling, need in (("ingress", tiers.ingress, ingress), ("compressor", tiers.compressor, compressor)):
        if need.replicas > scaling.max_replicas:
            found.append(f"{name}: max_replicas is {scaling.max_replicas}, the peak needs {need.replicas}: allow {need.allowed}")
        if scaling.min_replicas < 2:
            found.append(f"{name}: with `min_replicas: 2` there is another one when a node dies in quiet hours")
    if stats > FULL:
        found.append(f"stats: its one replica would be {stats:.0%} busy: set `stats: null`, a ledger for each node")
    if redis > FULL:
        found.append(f"Redis: one server would be {redis:.0%} busy: use a cluster of {math.ceil(redis / FULL)}")
    return found
