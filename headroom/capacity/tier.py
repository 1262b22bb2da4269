"""One deployment in simulated time: a queue, a router, replicas that come, go and die.

As in Ray Serve: a request waits in the order of arrival until one of two replicas, drawn at random, has room; who finds none tries
again after 25 ms, then after twice that, up to half a second. A replica takes `max_ongoing_requests` and works on `lanes` of them at
once, in order. One router stands for those of all callers.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Generator
from typing import Any

import simpy

from headroom.capacity.rules import CONTROL_LOOP_S, QUEUED, Gauges, Policy, Scaling, Seen

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.025, 0.5
_MOST_ROUTING = 50
_DRAWN = 2

Steps = Generator[simpy.Event, Any, Any]


class Replica:
    """`lanes` holds when each lane is free again."""

    __slots__ = ("asked", "died", "lanes", "node", "number", "ongoing")

    def __init__(self, number: int, node: int, lanes: int) -> None:
        self.number, self.node = number, node
        self.asked = False
        self.lanes = [0.0] * lanes
        self.ongoing = 0
        self.died = math.inf


class Tier:
    """`start_s` is how long a new replica takes until it serves, `nodes` among how many machines they are spread."""

    def __init__(self, env: simpy.Environment, scaling: Scaling, draw: random.Random, start_s: float = 0.0, nodes: int = 1) -> None:
        self.scaling = scaling
        self.replicas: list[Replica] = []
        self.target = scaling.min_replicas
        self.refused = 0
        self.busy_s = 0.0  # of all lanes so far
        self._env, self._draw, self._start_s, self._nodes = env, draw, start_s, nodes
        self._starting = 0
        self._made = 0
        self._waiting: deque[simpy.Event] = deque()
        self._routing = 0
        self._ongoing = 0
        self._came = env.event()
        for _ in range(self.target):
            self._add()
        env.process(self._scaled())

    @property
    def load(self) -> int:
        """Requests queued or running."""
        return len(self._waiting) + self._ongoing

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def enter(self) -> Steps:
        """Wait for a replica with room; gives it, or None where the queue is full. Whoever has it must `leave`."""
        most = self.scaling.max_queued_requests
        if 0 <= most <= len(self._waiting) and not self._free():
            self.refused += 1
            return None
        ticket = self._env.event()
        self._waiting.append(ticket)
        if self._routing < min(len(self._waiting), _MOST_ROUTING, max(1, _DRAWN * len(self.replicas))):
            self._routing += 1
            self._env.process(self._route())
        return (yield ticket)

    def work(self, replica: Replica, seconds: float) -> Steps:
        """Compute on a lane of the replica, in turn; gives the seconds of waiting for it."""
        begin = max(self._env.now, replica.lanes[0])
        heapq.heapreplace(replica.lanes, begin + seconds)
        self.busy_s += seconds
        waited = begin - self._env.now
        yield self._env.timeout(waited + seconds)
        return waited

    def leave(self, replica: Replica) -> bool:
        """Give the room back; whether the replica lived until now."""
        if self._env.now < replica.died:
            replica.ongoing -= 1
            self._ongoing -= 1
            return True
        return False

    def kill(self, node: int) -> None:
        """All replicas of a machine end at once, and are started again elsewhere."""
        for replica in [one for one in self.replicas if one.node == node]:
            replica.died = self._env.now
            self._ongoing -= replica.ongoing
            self.replicas.remove(replica)

    def _free(self) -> bool:
        return any(replica.ongoing < self.scaling.max_ongoing_requests for replica in self.replicas)

    def _add(self) -> None:
        self.replicas.append(Replica(self._made, self._made % self._nodes, self.scaling.lanes))
        self._made += 1
        came, self._came = self._came, self._env.event()
        came.succeed()

    def _route(self) -> Steps:
        """Serve's routing task: gives a replica to whoever has waited longest, until nobody waits."""
        while self._waiting:
            attempt = -1
            while self._waiting:
                found = self._choice()
                if found:
                    found.ongoing += 1
                    found.asked = True
                    self._ongoing += 1
                    self._waiting.popleft().succeed(found)
                    break
                if not self.replicas:
                    yield self._came
                    continue
                if attempt >= 0:
                    yield self._env.timeout(min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S))
                attempt += 1
        self._routing -= 1

    def _choice(self) -> Replica | None:
        drawn = self._draw.sample(self.replicas, _DRAWN) if len(self.replicas) > _DRAWN else self.replicas
        best = min(drawn, key=lambda replica: replica.ongoing, default=None)
        return best if best and best.ongoing < self.scaling.max_ongoing_requests else None

    def _gauges(self) -> Gauges:
        return {QUEUED: len(self._waiting)} | {replica.number: replica.ongoing for replica in self.replicas if replica.asked}

    def _scaled(self) -> Steps:
        """The controller."""
        policy, seen = Policy(self.scaling), Seen(self.scaling, self._draw.uniform(0, self.scaling.metrics_interval_s))
        while True:
            now = self._env.now
            if self.scaling.max_replicas > self.scaling.min_replicas:
                seen.look(now, self._gauges)
                running = frozenset(replica.number for replica in self.replicas)
                self.target = policy.decide(now, seen.mean(now, running), len(running), self.target)
            for _ in range(self.target - len(self.replicas) - self._starting):
                self._starting += 1
                self._env.process(self._started())
            while len(self.replicas) > self.target:
                self.replicas.remove(min(self.replicas, key=lambda replica: replica.ongoing))
            yield self._env.timeout(CONTROL_LOOP_S)

    def _started(self) -> Steps:
        yield self._env.timeout(self._start_s)
        self._starting -= 1
        if len(self.replicas) < self.target:
            self._add()
