"""Every YAML of `configs/` against Ray Serve's schema, ours and the builder; no cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray._common.utils import import_attr
from ray.serve import Application
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from headroom.errors import SettingsError
from headroom.settings import Settings
from serve_app.args import AppArgs, LLMLinguaArgs, ScorerArgs, SemanticCacheArgs

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
NAMES = [path.stem for path in CONFIGS]


def raw(path: Path) -> dict[str, Any]:
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(config, dict)
    return config


def application(path: Path, name: str = "headroom") -> ServeApplicationSchema:
    (found,) = [app for app in ServeDeploySchema.model_validate(raw(path)).applications if app.name == name]
    return found


def named(name: str) -> AppArgs:
    return AppArgs.model_validate(application(CONFIGS[NAMES.index(name)]).args)


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path))
    for name in ("HEADROOM_CALLERS", "HEADROOM_ADMIN_KEY", "ANTHROPIC_TARGET_API_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("path", CONFIGS, ids=NAMES)
def test_the_builder_takes_it(path: Path) -> None:
    for config in ServeDeploySchema.model_validate(raw(path)).applications:
        assert isinstance(call_user_app_builder_with_args_if_necessary(import_attr(config.import_path), config.args), Application)


@pytest.mark.parametrize("path", CONFIGS, ids=NAMES)
def test_every_key_means_something(path: Path) -> None:
    """Ray Serve's schema lets unknown keys pass."""
    config, schema = raw(path), ServeDeploySchema.model_validate(raw(path))
    assert set(config) <= set(ServeDeploySchema.model_fields)
    assert set(config["http_options"]) <= set(type(schema.http_options).model_fields)
    for app in config["applications"]:
        assert set(app) <= set(ServeApplicationSchema.model_fields)


@pytest.mark.parametrize("name", ["prod", "gpu"])
def test_the_model_of_prose_is_an_application_of_its_own(name: str) -> None:
    config = application(CONFIGS[NAMES.index(name)], "llmlingua")
    args = LLMLinguaArgs.model_validate(config.args)
    options = args.options()
    scaling = options["autoscaling_config"]
    assert config.route_prefix is None
    assert named(name).llmlingua.application == config.name
    assert 0 < options["ray_actor_options"]["num_gpus"] <= 1
    assert args.settings.llmlingua.memory_fraction <= options["ray_actor_options"]["num_gpus"]
    assert scaling["min_replicas"] == scaling["initial_replicas"] == (0 if name == "prod" else 1)
    assert options["max_queued_requests"] == 32
    assert named(name).resolved().llmlingua.enabled == (name == "gpu")


@pytest.mark.parametrize("path", CONFIGS, ids=NAMES)
def test_it_fits_two_cores(path: Path) -> None:
    args = AppArgs.model_validate(application(path).args)
    needed = 0.0
    optional = (args.scorer or ScorerArgs(num_replicas=1), args.semantic_cache, args.stats)
    for deployment in filter(None, (args.ingress, args.compressor, *optional)):
        scale = deployment.autoscaling
        replicas = scale.min_replicas if scale else deployment.num_replicas or 1
        needed += replicas * (deployment.ray_actor_options.num_cpus or 0)
    assert needed <= 2


@pytest.mark.parametrize("path", CONFIGS, ids=NAMES)
def test_streams_are_not_cut_and_access_is_told_apart_off_loopback(path: Path) -> None:
    options = ServeDeploySchema.model_validate(raw(path)).http_options
    assert options.request_timeout_s is None
    assert AppArgs.model_validate(application(path).args).resolved().open_access == (options.host == "127.0.0.1")


def test_production_drains_longer_than_a_stream_and_refuses_politely() -> None:
    settings, options = Settings(), named("prod").ingress.options()
    assert options["graceful_shutdown_timeout_s"] > settings.upstream.idle_timeout_s
    assert options["backpressure_config"] == {"status_code": 503, "retry_after_s": 1.0}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"setings": {}}, "setings"),
        ({"settings": {"compression": {"fidelty": "off"}}}, "fidelty"),
        ({"ingress": {"max_ongoing_request": 1}}, "max_ongoing_request"),
        ({"ingress": {"autoscaling_config": {"max_replica": 2}}}, "max_replica"),
        ({"compressor": {"ray_actor_options": {"num_cpu": 1}}}, "num_cpu"),
        ({"compressor": {"tier": {"budget": 1}}}, "budget"),
        ({"compressor": {"num_replicas": 2, "autoscaling_config": {"max_replicas": 2}}}, "exclude each other"),
        ({"scorer": {"num_replica": 1}}, "num_replica"),
        ({"settings": {"port": 9000}}, "http_options.port"),
        ({"settings": {"workers": 2}}, "ingress.num_replicas"),
        ({"settings": {"access": {"admin_key": "k"}}}, "HEADROOM_ADMIN_KEY"),
    ],
)
def test_a_key_that_has_no_effect_is_an_error(args: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        AppArgs.model_validate(args)


def test_yaml_over_environment_over_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTHROPIC_TARGET_API_URL", "http://environment")
    monkeypatch.setenv("HEADROOM_MIN_TOKENS", "77")
    monkeypatch.setenv("HEADROOM_ADMIN_KEY", "from-environment")
    args = AppArgs.model_validate({"settings": {"compression": {"min_tokens": 150}}})
    settings = args.resolved()
    assert settings.upstream.anthropic_api_url == "http://environment"
    assert settings.compression.min_tokens == 150
    assert settings.home == tmp_path
    assert settings.access.admin_key == "from-environment"
    assert settings.upstream.openai_api_url == Settings().upstream.openai_api_url


def test_who_reaches_serve_is_not_known_so_callers_are_told_apart() -> None:
    assert not AppArgs().resolved().open_access


def test_a_bad_environment_stops_the_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_MIN_TOKENS", "none")
    with pytest.raises(SettingsError, match="HEADROOM_MIN_TOKENS"):
        AppArgs().resolved()


def test_options_of_a_deployment() -> None:
    given = {
        "ingress": {"num_replicas": 3, "ray_actor_options": {"memory": 1e9}, "retry_after_s": 2},
        "compressor": {"autoscaling_config": {"min_replicas": 1, "max_replicas": 4}},
    }
    args = AppArgs.model_validate(given)
    ingress, compressor = args.ingress.options(), args.compressor.options()
    assert (ingress["num_replicas"], ingress["ray_actor_options"]) == (3, {"memory": 1e9, "num_cpus": 0.5})
    assert ingress["backpressure_config"]["retry_after_s"] == 2
    assert compressor["autoscaling_config"] == {"min_replicas": 1, "max_replicas": 4}
    assert "num_replicas" not in compressor


def test_the_scorer_scales_unless_told_otherwise() -> None:
    scorer = AppArgs.model_validate({"scorer": {}}).scorer
    assert scorer is not None
    assert scorer.options()["autoscaling_config"]["max_replicas"] == 4
    assert scorer.options()["max_ongoing_requests"] >= 2 * scorer.options()["autoscaling_config"]["target_ongoing_requests"]
    assert scorer.pinged
    fixed = ScorerArgs(num_replicas=2)
    assert fixed.options()["num_replicas"] == 2
    assert "autoscaling_config" not in fixed.options()
    assert AppArgs().scorer is None


def test_the_semantic_cache_routes_by_namespace_unless_told_otherwise() -> None:
    args = named("prod").semantic_cache
    assert args is not None
    assert "ConsistentHashRouter" in str(args.options()["request_router_config"].request_router_class)
    assert "request_router_config" not in SemanticCacheArgs(routing="any").options()
    assert AppArgs().semantic_cache is None


def test_on_one_machine_the_scorer_starts_when_it_is_needed() -> None:
    local, prod = named("local").scorer, named("prod").scorer
    assert local is not None
    assert not local.pinged
    assert prod is not None
    assert prod.pinged
