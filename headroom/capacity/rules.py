"""How Ray Serve 2.60 decides the number of a deployment's replicas: its default policy, on values.

The mean of what was queued or running over a window, over the target, is how many replicas are wanted; a wish must last before it is
followed. Handles report what they see from time to time, so that the controller decides on what was. Sans-I/O.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

CONTROL_LOOP_S = 0.1  # the controller's
QUEUED = -1  # the gauge of what waits at the handle; the others are of replicas, by their number
Gauges = Mapping[int, float]
_RECORDS = 0.2  # of the window, that lies between two records, unless reports are more frequent
_CLOSE_S = 1e-6
_LEAST_S = 1e-3  # that the latest value counts


@dataclass(frozen=True, slots=True)
class Scaling:
    """A deployment's `autoscaling_config` and limits, by Serve's names. `lanes` are the requests of a replica that make progress at once.

    Handles report every `metrics_interval_s`, which Serve calls deprecated and goes by all the same.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    target_ongoing_requests: float = 2.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    downscale_to_zero_delay_s: float | None = None
    look_back_period_s: float = 30.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0
    metrics_interval_s: float = 10.0
    max_ongoing_requests: int = 5
    max_queued_requests: int = -1
    lanes: int = 1
    num_cpus: float = 1.0


class Policy:
    """Decides, again and again, about one deployment."""

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling
        self._wish = 0  # 1 for more, -1 for fewer, 0 for neither
        self._since = 0.0

    def decide(self, now: float, total: float, running: int, target: int) -> int:
        """The new target, from requests queued or running, replicas that run, and the target so far; `now` in seconds."""
        scaling = self._scaling
        if running:
            decided = self._delayed(now, self._wanted(total, running), target)
        else:  # from nothing at once, whatever the delays
            decided = max(math.ceil(scaling.upscaling_factor), target) if total > 0 else target
        return min(max(decided, scaling.min_replicas), scaling.max_replicas)

    def _wanted(self, total: float, running: int) -> int:
        scaling = self._scaling
        change = total / scaling.target_ongoing_requests - running
        wanted = math.ceil(running + (scaling.upscaling_factor if change > 0 else scaling.downscaling_factor) * change)
        stuck = math.ceil(running + change) < running and wanted == running
        return max(0, wanted - stuck)

    def _delayed(self, now: float, wanted: int, target: int) -> int:
        wish = (wanted > target) - (wanted < target)
        if wish != self._wish:
            self._wish, self._since = wish, now
        scaling = self._scaling
        delay = scaling.upscale_delay_s if wish > 0 else scaling.downscale_delay_s
        if wish < 0 and target == 1 and scaling.downscale_to_zero_delay_s is not None:
            delay = scaling.downscale_to_zero_delay_s
        if not wish or now - self._since + _CLOSE_S < delay:
            return target
        self._wish = 0
        return wanted if wish > 0 or target == 1 else max(1, wanted)


class Seen:
    """What the controller knows of a deployment: gauges of what is queued and of what runs on each replica, and their mean over a window.

    A handle records them and reports its records, both for the first time at `first_s`: where that lies is chance, in Serve as well.
    """

    def __init__(self, scaling: Scaling, first_s: float = 0.0) -> None:
        self._record_s = min(_RECORDS * scaling.look_back_period_s, scaling.metrics_interval_s)
        self._window_s, self._report_s = scaling.look_back_period_s, scaling.metrics_interval_s
        self._next_record = self._next_report = first_s
        self._recorded: deque[tuple[float, Gauges]] = deque()
        self._reported: list[tuple[float, Gauges]] = []
        self._running: frozenset[int] | None = None  # of which the sums below are
        self._opened_s, self._changed_s, self._last_s = 0.0, 0.0, 0.0
        self._area, self._latest = 0.0, 0.0

    def look(self, now: float, gauges: Callable[[], Gauges]) -> None:
        """Record and report where it is time. `gauges` has `QUEUED` and each replica that was ever asked."""
        if now + _CLOSE_S >= self._next_record:
            self._recorded.append((now, gauges()))
            self._next_record = now + self._record_s
        if now + _CLOSE_S >= self._next_report:
            while self._recorded and self._recorded[0][0] <= now - self._window_s:
                self._recorded.popleft()
            known = {key for _, values in self._recorded for key in values}
            unknown = {key: value for key, value in gauges().items() if key not in known}
            self._reported = [*self._recorded, *([(now, unknown)] if unknown else [])]
            self._next_report, self._running = now + self._report_s, None

    def mean(self, now: float, running: frozenset[int]) -> float:
        """Of queued and running requests in what was reported so far, the last values until now; 0 of nothing."""
        if running != self._running:
            self._running = running
            self._sum(running)
        end = max(now, self._changed_s + _LEAST_S)
        return (self._area + self._latest * (end - self._last_s)) / (end - self._opened_s)

    def _sum(self, running: frozenset[int]) -> None:
        """The window opens when all gauges have a value and one of them is not 0; replicas that no longer run are no part of it."""
        values: dict[int, float] = {}
        first: dict[int, float] = {}
        totals: list[tuple[float, float]] = []
        changes: list[float] = []
        for at, told in self._reported:
            for key, value in told.items():
                if key == QUEUED or key in running:
                    first.setdefault(key, at)
                    if value != values.get(key, 0.0):
                        changes.append(at)
                    values[key] = value
            totals.append((at, sum(values.values())))
        self._area, self._latest = 0.0, totals[-1][1] if totals else 0.0
        self._opened_s = self._changed_s = self._last_s = totals[-1][0] if totals else 0.0
        if not changes:
            return
        opened = max(first.values())
        if len(first) == 1:  # taken as it is
            self._opened_s = totals[0][0]
        else:
            self._opened_s = max(opened, changes[0]) if opened <= changes[-1] else changes[0]
            self._changed_s = changes[-1]
        for (at, total), (end, _) in itertools.pairwise(totals):
            self._area += total * max(0.0, end - max(at, self._opened_s))
