"""The deployments whose number of replicas the model knows, with Serve's settings: those of `configs/prod.yaml`, or of another YAML."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headroom.capacity.costs import CapacityError
from headroom.capacity.rules import Scaling

INGRESS = Scaling(
    max_replicas=8,
    target_ongoing_requests=64,
    upscale_delay_s=5,
    downscale_delay_s=300,
    metrics_interval_s=2,
    max_ongoing_requests=256,
    max_queued_requests=256,
    num_cpus=0.25,
)
COMPRESSOR = Scaling(
    max_replicas=16,
    target_ongoing_requests=2,
    upscale_delay_s=5,
    downscale_delay_s=300,
    metrics_interval_s=2,
    max_ongoing_requests=4,
    max_queued_requests=64,
    num_cpus=0.5,
)
_NAMES = {field.name for field in dataclasses.fields(Scaling)}


@dataclass(frozen=True, slots=True)
class Tiers:
    ingress: Scaling = INGRESS
    compressor: Scaling = COMPRESSOR


def read(path: Path) -> Tiers:
    """The tiers of a YAML for `serve run`. Raises CapacityError."""
    import yaml

    try:
        told = yaml.safe_load(path.read_text())
    except OSError as failure:
        raise CapacityError(f"{path}: cannot be read ({failure.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as failure:
        raise CapacityError(f"{path}: not YAML: {failure}") from None
    applications = told.get("applications") if isinstance(told, dict) else None
    found = next((one for one in applications or [] if isinstance(one, dict) and one.get("import_path") == "serve_app.app:build"), None)
    if found is None:
        raise CapacityError(f"{path}: has no application with `import_path: serve_app.app:build`")
    args = found.get("args") or {}
    return Tiers(*(_scaling(path, name, args.get(name) or {}, usual) for name, usual in (("ingress", INGRESS), ("compressor", COMPRESSOR))))


def _scaling(path: Path, name: str, told: dict[str, Any], usual: Scaling) -> Scaling:
    fixed = told.get("num_replicas")
    scaled = dict(told.get("autoscaling_config") or ({} if fixed is None else {"min_replicas": fixed, "max_replicas": fixed}))
    scaled |= {key: told[key] for key in ("max_ongoing_requests", "max_queued_requests") if key in told}
    scaled |= {"num_cpus": (told.get("ray_actor_options") or {}).get("num_cpus", usual.num_cpus)}
    known = {key: value for key, value in scaled.items() if key in _NAMES}
    if not all(isinstance(value, int | float) for value in known.values()):
        raise CapacityError(f"{path}: {name}: its scaling must be numbers")
    if not told.get("autoscaling_config") and fixed is None:
        known |= {"min_replicas": 1, "max_replicas": 1}
    made = dataclasses.replace(usual, **known)
    if not 0 <= made.min_replicas <= made.max_replicas or made.max_replicas < 1 or made.target_ongoing_requests <= 0:
        raise CapacityError(f"{path}: {name}: needs 0 <= min_replicas <= max_replicas and a target_ongoing_requests above 0")
    return made
