"""What is deployed otherwise than by `headroom proxy`: the image, compose, Kubernetes, systemd, and what they install."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from headroom import settings
from headroom.cli.serve import ALWAYS, FAST

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
COMPOSE = yaml.safe_load((CONFIGS / "compose" / "compose.yaml").read_text())
OURS = {settings.extra(info, "env") for _, info in settings.fields()} | {"HEADROOM_HOME"}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CONFIGS / "kubernetes" / name).read_text()))


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    (found,) = [document for document in documents("rayservice.yaml") if document["kind"] == "RayService"]
    return found


def groups(service: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cluster = service["spec"]["rayClusterConfig"]
    yield cluster["headGroupSpec"]
    yield from cluster["workerGroupSpecs"]


def test_kubernetes_runs_the_application_of_prod_yaml(service: dict[str, Any]) -> None:
    assert yaml.safe_load(service["spec"]["serveConfigV2"]) == yaml.safe_load((CONFIGS / "prod.yaml").read_text())


def test_ray_finds_the_fast_profile_on_every_node_and_in_the_image(service: dict[str, Any]) -> None:
    for group in groups(service):
        (container,) = group["template"]["spec"]["containers"]
        said = {entry["name"]: entry["value"] for entry in container["env"]}
        assert {name: value for name, value in said.items() if name.startswith("RAY_")} == ALWAYS | FAST
        assert {name for name in said if name.startswith("HEADROOM_")} <= OURS
    image = re.findall(r"(RAY_\w+)=(\S+)", (ROOT / "Dockerfile").read_text())
    assert dict(image) == ALWAYS | FAST


def test_streams_end_before_their_pod_does(service: dict[str, Any]) -> None:
    (proxy, _) = yaml.safe_load((CONFIGS / "prod.yaml").read_text())["applications"]
    drained = float(ALWAYS["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])  # by `ray start --block`, which then ends what is left
    assert drained > proxy["args"]["ingress"]["graceful_shutdown_timeout_s"]
    for group in groups(service):
        assert group["template"]["spec"]["terminationGracePeriodSeconds"] > drained


def test_another_image_cuts_no_stream_and_finds_the_ledger(service: dict[str, Any]) -> None:
    """KubeRay starts a second cluster: its head must come to the machine that has the volume, the first one must outlast its streams."""
    spec = service["spec"]
    (proxy, _) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    assert spec["upgradeStrategy"] == {"type": "NewCluster"}
    assert spec["rayClusterDeletionDelaySeconds"] > proxy["args"]["ingress"]["graceful_shutdown_timeout_s"]
    head = spec["rayClusterConfig"]["headGroupSpec"]["template"]
    claims = {document["metadata"]["name"]: document for document in documents("rayservice.yaml")}
    (claim,) = [volume["persistentVolumeClaim"]["claimName"] for volume in head["spec"]["volumes"]]
    assert claims[claim]["spec"]["accessModes"] == ["ReadWriteOnce"]
    (near,) = head["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert near["topologyKey"] == "kubernetes.io/hostname"
    assert near["labelSelector"]["matchLabels"] == head["metadata"]["labels"]
    for group in spec["rayClusterConfig"]["workerGroupSpecs"]:
        assert not set(head["metadata"]["labels"]) & set(group["template"].get("metadata", {}).get("labels", {}))


def test_ray_has_the_version_of_the_lock(service: dict[str, Any]) -> None:
    assert service["spec"]["rayClusterConfig"]["rayVersion"] == pins(CONFIGS / "locks" / "serve.txt")["ray"]


def test_redis_says_that_it_is_full_before_kubernetes_ends_it() -> None:
    """Without `maxmemory` a policy means nothing, and Redis knows nothing of its pod's limit."""
    (server,) = [document for document in documents("redis.yaml") if document["kind"] == "StatefulSet"]
    (container,) = server["spec"]["template"]["spec"]["containers"]
    given = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    most = int(given["--maxmemory"].removesuffix("mb")) * 2**20
    wanted = settings.Settings()
    assert most > 1_000_000 * (wanted.store.max_mb + wanted.cache.max_mb)
    assert most < 0.8 * int(container["resources"]["limits"]["memory"].removesuffix("Gi")) * 2**30


def test_what_kubernetes_is_given_has_its_form(service: dict[str, Any]) -> None:
    given = [document for name in ("redis.yaml", "rayservice.yaml") for document in documents(name) if document["kind"] != "RayService"]
    pods = [group["template"] for group in groups(service)]
    given += [{"apiVersion": "v1", "kind": "Pod", **pod, "metadata": {"name": "node", **pod.get("metadata", {})}} for pod in pods]
    for document in given:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_compose_mounts_what_is_there_and_sets_what_we_read() -> None:
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in COMPOSE["volumes"] or (CONFIGS / "compose" / source).exists(), mount
        if "build" in service:
            assert (CONFIGS / "compose" / service["build"]["context"] / "Dockerfile").is_file()
    assert set(COMPOSE["services"]["headroom"]["environment"]) <= OURS


def test_grafana_and_prometheus_find_each_other() -> None:
    (source,) = yaml.safe_load((CONFIGS / "compose" / "grafana.yml").read_text())["datasources"]
    assert source["url"].removeprefix("http://").split(":")[0] in COMPOSE["services"]
    (scrape,) = yaml.safe_load((CONFIGS / "compose" / "prometheus.yml").read_text())["scrape_configs"]
    (target,) = scrape["static_configs"][0]["targets"]
    assert target.split(":")[0] in COMPOSE["services"]
    assert Path(scrape["authorization"]["credentials_file"]).name in COMPOSE["services"]["prometheus"]["secrets"]


def test_systemd_sets_what_we_read() -> None:
    unit = (CONFIGS / "systemd" / "headroom.service").read_text()
    assert set(re.findall(r"(HEADROOM_\w+)=", unit.split("[Service]")[1])) <= OURS


def test_the_image_passes_hadolint() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, "--format", "json", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("name", ["proxy", "serve"])
def test_locks_hold_the_tested_versions_each_by_its_hash(name: str) -> None:
    locked, tested = pins(CONFIGS / "locks" / f"{name}.txt"), pins(ROOT / "constraints.txt")
    assert {"fastapi", "httpx", "toktok-rs", "uvicorn"} <= locked.keys()
    needed_by_settings = {"cryptography", "opentelemetry-exporter-otlp-proto-http", "pyjwt", "redis"}
    assert needed_by_settings <= locked.keys()
    assert {package: version for package, version in locked.items() if tested.get(package, version) != version} == {}, "make lock"


def pins(file: Path) -> dict[str, str]:
    """The version of every requirement."""
    found = re.finditer(r"^([\w.-]+)==([^\s;\\]+)", file.read_text(), re.MULTILINE)
    return {match[1].lower().replace("_", "-"): match[2] for match in found}
