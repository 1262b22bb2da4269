"""What `args:` of the YAML may say. A key that is not a field is an error, and every default stands here or in `Settings`.

The options of a deployment bear the names that Ray Serve gives them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from ray.serve.config import AutoscalingConfig, RequestRouterConfig
from ray.serve.schema import RayActorOptionsSchema

from headroom.settings import Settings, fields, load

# What a setting of the embedded proxy is called here.
_ELSEWHERE = {
    ("host",): "http_options.host",
    ("port",): "http_options.port",
    ("workers",): "ingress.num_replicas",
    ("compression", "processes"): "compressor.num_replicas",
    ("access", "admin_key"): "HEADROOM_ADMIN_KEY in the environment, because Ray shows and logs args",
}


_BY_SESSION = "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"


class _Args(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Autoscaling(AutoscalingConfig):
    """Ray Serve's `autoscaling_config`, without unknown keys."""

    model_config = ConfigDict(extra="forbid")


class ActorOptions(RayActorOptionsSchema):
    """Ray Serve's `ray_actor_options`, without unknown keys."""

    model_config = ConfigDict(extra="forbid")

    num_cpus: float | None = Field(default=0.5, ge=0)


def _target(scaling: Autoscaling) -> float:
    return scaling.target_ongoing_requests or 0.0


class DeploymentArgs(_Args):
    """One deployment: a fixed number of replicas or autoscaling; `scales` without either, one replica without that."""

    scales: ClassVar[Autoscaling | None] = None

    num_replicas: PositiveInt | None = None
    autoscaling_config: Autoscaling | None = None
    ray_actor_options: ActorOptions = ActorOptions()
    max_ongoing_requests: PositiveInt
    max_queued_requests: int = Field(ge=-1)
    retry_after_s: NonNegativeFloat = 1.0  # said to a client who is refused because of max_queued_requests
    graceful_shutdown_timeout_s: NonNegativeFloat
    health_check_period_s: PositiveFloat = 10.0
    health_check_timeout_s: PositiveFloat = 30.0

    @model_validator(mode="after")
    def _one_way_to_scale(self) -> Self:
        if self.num_replicas is not None and self.autoscaling_config is not None:
            raise ValueError("num_replicas and autoscaling_config exclude each other")
        return self

    @model_validator(mode="after")
    def _more_before_requests_wait(self) -> Self:
        own = self.autoscaling_config
        if own and "target_ongoing_requests" in own.model_fields_set and _target(own) > self.max_ongoing_requests:
            raise ValueError(
                f"target_ongoing_requests ({_target(own):g}) is above max_ongoing_requests ({self.max_ongoing_requests}):"
                " no replica has so many, and more would be added only when requests wait already"
            )
        return self

    @property
    def autoscaling(self) -> Autoscaling | None:
        """What holds, None when the number of replicas is fixed; a target that nobody set is at most what a replica may have."""
        found = self.autoscaling_config or (None if self.num_replicas else self.scales)
        if found is None or _target(found) <= self.max_ongoing_requests:
            return found
        return found.model_copy(update={"target_ongoing_requests": float(self.max_ongoing_requests)})

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `Deployment.options`."""
        actor = self.ray_actor_options
        scale: dict[str, Any] = {"num_replicas": self.num_replicas or 1}
        if self.autoscaling:
            scale = {"autoscaling_config": self.autoscaling.model_dump(exclude_unset=True)}
        return scale | {
            "ray_actor_options": actor.model_dump(exclude_unset=True) | {"num_cpus": actor.num_cpus},
            "max_ongoing_requests": self.max_ongoing_requests,
            "max_queued_requests": self.max_queued_requests,
            "backpressure_config": {"status_code": 503, "retry_after_s": self.retry_after_s},
            "graceful_shutdown_timeout_s": self.graceful_shutdown_timeout_s,
            "health_check_period_s": self.health_check_period_s,
            "health_check_timeout_s": self.health_check_timeout_s,
        }


class TierArgs(_Args):
    """How a caller deals with a deployment that fails or is late."""

    budget_s: PositiveFloat = 60.0  # no call takes longer, whatever its own deadline
    failures: PositiveInt = 5  # in a row, and the deployment is left alone
    probe_after_s: PositiveFloat = 10.0  # then, one call tries whether it works again


class IngressArgs(DeploymentArgs):
    """Forwards streams: many requests at a time, and an end that waits for the longest of them."""

    max_ongoing_requests: PositiveInt = 256
    max_queued_requests: int = Field(default=256, ge=-1)
    graceful_shutdown_timeout_s: NonNegativeFloat = 660.0


class CompressorArgs(DeploymentArgs):
    """Computes: few jobs at a time, each on a thread; what cannot be queued is forwarded uncompressed."""

    max_ongoing_requests: PositiveInt = 4
    max_queued_requests: int = Field(default=64, ge=-1)
    graceful_shutdown_timeout_s: NonNegativeFloat = 30.0
    tier: TierArgs = TierArgs()


class ScorerArgs(DeploymentArgs):
    """Computes in batches; a target of a full batch, so that batches fill before replicas are added."""

    scales: ClassVar[Autoscaling | None] = Autoscaling(
        min_replicas=1, initial_replicas=1, max_replicas=4, target_ongoing_requests=16, upscale_delay_s=5, downscale_delay_s=300
    )

    max_ongoing_requests: PositiveInt = 64
    max_queued_requests: int = Field(default=256, ge=-1)
    graceful_shutdown_timeout_s: NonNegativeFloat = 30.0
    tier: TierArgs = TierArgs(budget_s=10.0)

    @property
    def pinged(self) -> bool:
        """Whether there is always a replica, so that asking for one at the start wakes none."""
        return self.autoscaling is None or self.autoscaling.min_replicas > 0


class SemanticCacheArgs(DeploymentArgs):
    """Looks up in memory, a millisecond a question; goes down slowly, because a new replica has the whole index to load."""

    scales: ClassVar[Autoscaling | None] = Autoscaling(
        min_replicas=1, initial_replicas=1, max_replicas=4, target_ongoing_requests=16, upscale_delay_s=15, downscale_delay_s=1800
    )

    routing: Literal["namespace", "any"] = "namespace"  # the same namespace to the same replica, or to any
    max_ongoing_requests: PositiveInt = 64
    max_queued_requests: int = Field(default=128, ge=-1)
    graceful_shutdown_timeout_s: NonNegativeFloat = 30.0
    tier: TierArgs = TierArgs(budget_s=1.0, failures=20, probe_after_s=2.0)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `Deployment.options`."""
        if self.routing == "any":
            return super().options()
        return super().options() | {"request_router_config": RequestRouterConfig.model_validate({"request_router_class": _BY_SESSION})}


class StatsArgs(DeploymentArgs):
    """Keeps the ledger: one replica, which writes what it is given and answers from memory."""

    num_replicas: Literal[1] = 1
    max_ongoing_requests: PositiveInt = 64
    max_queued_requests: int = Field(default=256, ge=-1)
    graceful_shutdown_timeout_s: NonNegativeFloat = 10.0
    tier: TierArgs = TierArgs(budget_s=10.0, failures=3, probe_after_s=2.0)


class LLMLinguaArgs(DeploymentArgs):
    """The application of the model that leaves words out; none of its replicas is kept while nobody asks.

    A target of the requests that fill a batch, so that batches fill before replicas are added.
    """

    scales: ClassVar[Autoscaling | None] = Autoscaling(
        min_replicas=0,
        initial_replicas=0,
        max_replicas=2,
        target_ongoing_requests=16,
        upscale_delay_s=2,
        downscale_delay_s=300,
        downscale_to_zero_delay_s=900,
    )

    settings: Settings = Settings()
    max_ongoing_requests: PositiveInt = 64
    max_queued_requests: int = Field(default=32, ge=-1)
    graceful_shutdown_timeout_s: NonNegativeFloat = 10.0

    def resolved(self) -> Settings:
        """The settings, as those of the other application. Raises SettingsError."""
        return resolve(self.settings)


class LLMLinguaTierArgs(TierArgs):
    """How requests deal with the application of that name; used where `settings.llmlingua.enabled`."""

    application: str = "llmlingua"
    budget_s: PositiveFloat = 0.3
    failures: PositiveInt = 3


class AppArgs(_Args):
    """The application."""

    settings: Settings = Settings()
    ingress: IngressArgs = IngressArgs()
    compressor: CompressorArgs = CompressorArgs()
    scorer: ScorerArgs | None = None  # without it texts are compared by their words alone
    llmlingua: LLMLinguaTierArgs = LLMLinguaTierArgs()
    semantic_cache: SemanticCacheArgs | None = None  # without it, and with a scorer, each ingress holds the index itself
    stats: StatsArgs | None = StatsArgs()  # without it each node has a ledger of its own

    @model_validator(mode="after")
    def _settings_that_apply(self) -> Self:
        for path, _ in fields():
            if path in _ELSEWHERE and _said(self.settings, path) is not None:
                raise ValueError(f"settings.{'.'.join(path)} does not apply here: use {_ELSEWHERE[path]}")
        return self

    def resolved(self) -> Settings:
        """The settings: YAML over environment over config.toml over default. Raises SettingsError.

        Who may reach Serve is not known here, therefore `access.callers: auto` means credential.
        """
        return resolve(self.settings).model_copy(update={"host": "0.0.0.0"})


def resolve(settings: Settings) -> Settings:
    """What was said in the YAML over environment over config.toml over default. Raises SettingsError."""
    return load({path: value for path, _ in fields() if (value := _said(settings, path)) is not None})


def _said(settings: BaseModel, path: tuple[str, ...]) -> Any:
    """What was given for a field, None when nothing was."""
    value: Any = settings
    for name in path:
        if name not in value.model_fields_set:
            return None
        value = getattr(value, name)
    return value
