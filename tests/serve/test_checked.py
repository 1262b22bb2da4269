"""What `headroom serve` says of a YAML before it starts Ray; no cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.serve import scripts

from serve_app import run
from serve_app.args import ScorerArgs
from serve_app.checked import check

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
BELOW = {"target_ongoing_requests": 300}


def of(args: Any, path: str = "serve_app.app:build") -> list[dict[str, Any]]:
    return [{"name": "gateway", "import_path": path, "args": args}]


def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], applications: Any) -> str:
    """What is said behind the file's name, when the command ends before Ray starts."""
    started: list[Any] = []
    monkeypatch.setattr(ray, "init", lambda **_: started.append("ray"))
    monkeypatch.setattr(scripts.run, "main", lambda *_, **__: started.append("serve run"))
    file, temporary = tmp_path / "config.yaml", tmp_path / "temporary"
    temporary.mkdir()
    file.write_text(yaml.safe_dump({"applications": applications}))
    monkeypatch.setattr(sys, "argv", ["serve_app.run", str(file), str(temporary)])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert (ended.value.code, started, temporary.exists()) == (2, [], False)
    return capsys.readouterr().err.removeprefix(f"Error: {file}: ")


@pytest.mark.parametrize(
    ("applications", "says"),
    [
        (3, "applications: Input should be a valid list\n"),
        ([{"name": "a"}], "applications.0.import_path: Field required\n"),
        (of(3), "applications.0.args: Input should be a valid dictionary\n"),
        (of({}, "serve_app.app:bild"), "there is no serve_app.app:bild; did you mean serve_app.app:build?\n"),
        (of({}, "serve_app.ap:build"), "there is no serve_app.ap:build; did you mean serve_app.app:build?\n"),
        (of({"setings": {}}), "application gateway: args.setings: there is no such key; did you mean settings?\n"),
        (
            of({"x": {}}),
            "args.x: there is no such key; here may stand settings, ingress, compressor, scorer, llmlingua, semantic_cache, stats\n",
        ),
        (
            of({"scorer": {"autoscaling_config": {"max_replica": 2}}}),
            "args.scorer.autoscaling_config.max_replica: there is no such key; did you",
        ),
        (
            of({"settings": {"compression": {"fidelty": "off"}}}),
            "args.settings.compression.fidelty: there is no such setting; did you mean c",
        ),
        (of({"settings": {"port": 9000}}), "gateway: args: settings.port does not apply here: use http_options.port\n"),
        (of({"compressor": {"num_replicas": "many"}}), "args.compressor.num_replicas: Input should be a valid integer"),
        (
            of({"ingress": {"autoscaling_config": BELOW}}),
            "args.ingress: target_ongoing_requests (300) is above max_ongoing_requests (256): no",
        ),
        (
            of({"max_ongoing_requests": 8, "autoscaling_config": {"target_ongoing_requests": 9}}, "serve_app.llmlingua:build"),
            "args: target_ongoing_requests (9) is above max_ongoing_requests (8)",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_line_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], applications: Any, says: str
) -> None:
    said = refused(tmp_path, monkeypatch, capsys, applications)
    assert says in said
    assert said.count("\n") == 1


def test_each_thing_that_is_wrong_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(tmp_path, monkeypatch, capsys, of({"a": 1, "ingress": {"num_replica": 1}}))
    assert [line.partition("args.")[2].partition(":")[0] for line in said.splitlines()] == ["ingress.num_replica", "a"]


def test_a_target_that_nobody_set_is_at_most_what_a_replica_may_have() -> None:
    scaling = ScorerArgs(max_ongoing_requests=8).autoscaling
    assert scaling
    assert scaling.target_ongoing_requests == 8
    assert (scaling.min_replicas, scaling.max_replicas) == (1, 4)
    assert ScorerArgs(max_ongoing_requests=8).options()["autoscaling_config"]["target_ongoing_requests"] == 8


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_ours_pass_without_a_word(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(path)
    assert capsys.readouterr() == ("", "")


def test_an_application_of_ones_own_is_left_to_ray(tmp_path: Path) -> None:
    own = [{"name": "own", "route_prefix": "/own", "import_path": "absent_here.app:build", "args": {"a": 1}}]
    elsewhere = [{**of({"a": 1})[0], "runtime_env": {"working_dir": "https://example.com/code.zip"}}]
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"applications": own + elsewhere}))
    check(file)
