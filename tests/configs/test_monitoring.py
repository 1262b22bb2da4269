"""Grafana dashboards and Prometheus rules name metrics that exist, with labels they have, and treat each as what it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import ray
import yaml
from prometheus_client.parser import text_string_to_metric_families

from headroom.stats.book import Book
from headroom.stats.places import Places
from tests.proxy.faces import HTTP, serving, settings_for
from tests.stats.made import rows

ROOT = Path(__file__).parents[2] / "configs"
DASHBOARDS = sorted((ROOT / "grafana").glob("*.json"))
RULES = ROOT / "prometheus" / "headroom.rules.yml"
_MACROS = {"$__range": "1h", "$__rate_interval": "5m"}
_SCRAPED = {"job", "instance"}  # labels that Prometheus adds
_GAUGES_THAT_END_IN_TOTAL = {"headroom_tokens_saved_total", "headroom_saved_usd_total"}  # signed, and their names are promised
_COUNTER_FUNCTIONS, _GAUGE_FUNCTIONS = {"rate", "increase", "irate"}, {"delta", "deriv", "idelta"}


@dataclass(slots=True)
class Known:
    """What a scrape shows: sample name -> (type of its family, labels)."""

    samples: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    help: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """/metrics of a running proxy, whose ledger holds some of everything."""
    home = tmp_path_factory.mktemp("monitored")
    book = Book(Places(home / "stats", str(home / "stats")), 90, home / "savings.json")
    book.start()
    book.append(rows(200))
    book.close()
    with serving(settings_for("http://127.0.0.1:9", home)) as url:
        text = HTTP.get(f"{url}/metrics").raise_for_status().text
    known = Known()
    for family in text_string_to_metric_families(text):
        assert family.samples, f"{family.name} has no sample: give the ledger of this test one"
        known.help[family.name] = family.documentation
        for sample in family.samples:
            _, labels = known.samples.get(sample.name, ("", frozenset()))
            known.samples[sample.name] = family.type, labels | set(sample.labels)
    return known


@pytest.fixture(scope="module")
def rays() -> dict[str, str]:
    """Metrics that the installed Ray declares, as its exporter names them: name -> type."""
    source = Path(ray.__file__).parent
    found = {}
    for file in (*source.glob("serve/**/*.py"), source / "dashboard" / "modules" / "reporter" / "reporter_agent.py"):
        for kind, name in re.findall(r"\b(Counter|Gauge|Histogram)\(\s*\"(\w+)\"", file.read_text()):
            match kind:
                case "Counter":
                    found[f"ray_{name.removesuffix('_total')}_total"] = "counter"
                case "Gauge":
                    found[f"ray_{name}"] = "gauge"
                case _:
                    found |= {f"ray_{name}_{part}": "histogram" for part in ("bucket", "sum", "count")}
    assert len(found) > 50
    return found


def panels(board: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in board["panels"]:
        yield panel
        yield from panels({"panels": panel.get("panels", [])})


def queries() -> Iterator[tuple[str, str]]:
    """(where it stands, PromQL)."""
    for file in DASHBOARDS:
        for panel in panels(json.loads(file.read_text())):
            for target in panel.get("targets", []):
                expression = target["expr"]
                for macro, value in _MACROS.items():
                    expression = expression.replace(macro, value)
                yield f"{file.name}: {panel['title']}", expression
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("record") or rule["alert"], rule["expr"]


def recorded() -> set[str]:
    return {rule["record"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if "record" in rule}


def selectors(node: Any, inside: str = "") -> Iterator[tuple[Any, str]]:
    """Each vector selector, and the function it is right inside of."""
    match node:
        case promql.VectorSelector():
            yield node, inside
        case promql.MatrixSelector():
            yield node.vector_selector, inside
        case promql.Call():
            for argument in node.args:
                yield from selectors(argument, node.func.name)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr():
            yield from selectors(node.expr, inside if isinstance(node, promql.ParenExpr) else "")
        case promql.BinaryExpr():
            yield from selectors(node.lhs)
            yield from selectors(node.rhs)
        case _:
            assert isinstance(node, promql.NumberLiteral | promql.StringLiteral), node


def grouped(node: Any) -> Iterator[str]:
    """Labels that aggregations keep."""
    if isinstance(node, promql.AggregateExpr):
        yield from (node.modifier.labels if node.modifier else ())
        yield from grouped(node.expr)
    elif isinstance(node, promql.BinaryExpr):
        yield from grouped(node.lhs)
        yield from grouped(node.rhs)
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from grouped(argument)
    elif isinstance(node, promql.ParenExpr):
        yield from grouped(node.expr)


@pytest.mark.parametrize(("where", "expression"), list(queries()), ids=lambda value: value[:60])
def test_a_query_asks_for_what_there_is(where: str, expression: str, ours: Known, rays: dict[str, str]) -> None:
    parsed = promql.parse(expression)
    found = list(selectors(parsed))
    assert found
    labels: set[str] = set()
    for selector, inside in found:
        name = selector.name
        if name == "up" or name in recorded():
            continue
        if name.startswith("ray_"):
            kind = rays[name]
        else:
            kind, own = ours.samples[name]
            labels |= own
            assert {matcher.name for matcher in selector.matchers.matchers} <= own | _SCRAPED, where
        if inside in _COUNTER_FUNCTIONS:
            assert kind in ("counter", "histogram"), f"{inside}({name}): a {kind}"
        if inside in _GAUGE_FUNCTIONS:
            assert kind == "gauge", f"{inside}({name}): a {kind}"
        if kind in ("counter", "histogram"):
            assert inside in _COUNTER_FUNCTIONS, f"{name} is a {kind}: its value alone says nothing"
    if labels:
        assert set(grouped(parsed)) <= labels | _SCRAPED, where


def test_every_metric_of_ours_is_shown(ours: Known) -> None:
    shown = {selector.name for _, expression in queries() for selector, _ in selectors(promql.parse(expression))}
    families = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in ours.samples}
    seen = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in shown}
    assert {name for name in families if not name.endswith("_created")} <= seen


def test_names_and_units_are_as_prometheus_wants_them(ours: Known) -> None:
    """https://prometheus.io/docs/practices/naming/: a prefix, base units, counters and only counters end in _total."""
    for name, (kind, labels) in ours.samples.items():
        assert re.fullmatch(r"headroom_[a-z][a-z0-9_]*", name), name
        assert not re.search(r"_(ms|us|milliseconds|microseconds|minutes|hours|kb|mb|percent|pct)(_|$)", name), f"{name}: no base unit"
        if kind == "counter":
            assert name.endswith(("_total", "_created")), name
        elif name not in _GAUGES_THAT_END_IN_TOTAL:
            assert not name.endswith("_total"), name
        assert not labels & {"team", "user", "caller", "request_id", "conversation", "client"}, f"{name}: a label for every caller"
    assert all(ours.help.values())


def test_recording_rules_are_named_by_level_metric_and_operation() -> None:
    assert all(re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", name) for name in recorded())


def test_alerts_say_how_bad_and_what_is_wrong() -> None:
    alerts = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(alerts) > 10
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert alert["annotations"]["summary"]


def test_the_runbook_has_a_section_for_every_alert_and_no_other() -> None:
    alerts = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if "alert" in rule]
    text = (ROOT.parent / "docs" / "runbook.md").read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [alert["alert"] for alert in alerts]
    for alert in alerts:
        assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"


def test_the_ingress_is_called_full_at_nine_tenths_of_what_it_takes() -> None:
    (proxy, _) = yaml.safe_load((ROOT / "prod.yaml").read_text())["applications"]
    (full,) = re.findall(r"- alert: HeadroomIngressFull.*?> (\d+)$", RULES.read_text(), re.MULTILINE | re.DOTALL)
    assert int(full) == int(0.9 * proxy["args"]["ingress"]["max_ongoing_requests"])


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_whole(file: Path) -> None:
    """Unique ids, nothing over something else, the data source of a variable, a legend where lines are told apart by labels."""
    board = json.loads(file.read_text())
    found = [panel for panel in panels(board) if panel["type"] != "row"]
    assert board["uid"] == file.stem
    assert len({panel["id"] for panel in panels(board)}) == len(list(panels(board)))
    covered: set[tuple[int, int]] = set()
    for panel in panels(board):
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & covered, panel["title"]
        assert place["x"] + place["w"] <= 24
        covered |= cells
    for panel in found:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= set(re.findall(r"\w+", target["expr"])) | {
                "ip",
                "model",
                "reason",
            }
