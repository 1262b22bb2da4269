"""How Ray Serve 2.60 decides the number of a deployment's replicas: its default policy, on values.

The mean of what was queued or running over a window, over the target, is how many replicas are wanted; a wish must last before it is
followed. Handles report what they see from time to time, so that the controller decides on what was. Sans-I/O.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

CONTROL_LOOP_S = 0.1  # the controller's
_RECORDS = 0.2  # of the window, that lies between two records, unless reports are more frequent
_CLOSE_S = 1e-6


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
    """What the controller knows of a gauge: the records that were reported, and their mean over the window."""

    def __init__(self, scaling: Scaling) -> None:
        self.every_s = min(_RECORDS * scaling.look_back_period_s, scaling.metrics_interval_s)
        self._window_s, self._report_s = scaling.look_back_period_s, scaling.metrics_interval_s
        self._recorded: deque[tuple[float, float]] = deque()
        self._reported: list[tuple[float, float]] = []
        self._next = 0.0

    def record(self, now: float, value: float, *, opens: bool = False) -> None:
        """With a replica that had no record before the window opens anew: what was before it had no part of it."""
        if opens:
            self._recorded.clear()
        self._recorded.append((now, value))

    def mean(self, now: float) -> float:
        """Of what was reported so far: each record counts until the next one, the last one until now; 0 of nothing."""
        if now + _CLOSE_S >= self._next:
            while self._recorded and self._recorded[0][0] < now - self._window_s:
                self._recorded.popleft()
            self._reported, self._next = list(self._recorded), now + self._report_s
        if not self._reported:
            return 0.0
        ends = [at for at, _ in self._reported[1:]] + [max(now, self._reported[-1][0] + 1e-3)]
        spans = [(end - at, value) for (at, value), end in zip(self._reported, ends, strict=True)]
        return sum(span * value for span, value in spans) / sum(span for span, _ in spans)
