"""The alerts and the dashboard speak of metrics and labels that the agent exports.

What the alerts do with them, promtool tries: `make test-rules`.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from mnp_core.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/mnp.rules.yml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in RULES for rule in group["rules"]}
TRIED = (ROOT / "tests/deploy/prometheus/mnp.test.yml").read_text()
DASHBOARD = json.loads((ROOT / "deploy/grafana/mnp-node.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}

SCRAPED = {"instance", "job"}
"""Labels that Prometheus adds to every series."""
WORDS = {"and", "by", "on", "or", "unless"}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}


def exported():
    """Labels by the name of a series."""
    found = {"up": SCRAPED}
    for collector in Metrics()._registry._collector_to_names:
        for family in collector.collect():
            labels = {*getattr(collector, "_labelnames", ())} | {
                label for sample in family.samples for label in sample.labels if family.type in {"info", "histogram"}
            }
            for suffix in SUFFIXES.get(family.type, ("",)):
                extra = {"le"} if suffix == "_bucket" else set()
                found[family.name + suffix] = (labels - {"le"}) | extra | SCRAPED
    return found


SERIES = exported()


def read(expression):
    """The series of an expression with the labels that it selects by, and the labels it groups or joins by."""
    text = re.sub(r"\[[^]]*\]", "", re.sub(r'"[^"]*"', '""', expression))
    grouping = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
    grouped = {label.strip() for labels in grouping.findall(text) for label in labels.split(",")}
    text = grouping.sub("", text)
    selected = []
    for name, labels in re.findall(r"\b([a-z_]+)\b(?!\s*\()\s*(?:\{([^}]*)\})?", re.sub(r"\d[\d.]*", "", text)):
        if name not in WORDS and not re.search(rf"[{{,]\s*{name}\s*[=!]", text):
            selected.append((name, {*re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)}))
    return selected, grouped


EXPRESSIONS = [(name, rule["expr"]) for name, rule in ALERTS.items()] + [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
]


def problems(expression):
    """The names of an expression that no agent exports."""
    selected, grouped = read(expression)
    assert selected, expression
    wrong = [name for name, _ in selected if name not in SERIES]
    wrong += [f"{name}.{label}" for name, labels in selected for label in labels - SERIES.get(name, labels)]
    return wrong + sorted(grouped - {label for name, _ in selected for label in SERIES.get(name, ())})


@pytest.mark.parametrize(("place", "expression"), EXPRESSIONS, ids=[place for place, _ in EXPRESSIONS])
def test_every_expression_is_about_series_that_agents_export(place, expression):
    assert problems(expression) == [], place


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("sum(mnp_nothing)", ["mnp_nothing"]),
        ('mnp_reports{cause="x"} > 0', ["mnp_reports.cause"]),
        ("sum by (instance, kind) (mnp_reports)", ["kind"]),
        ("rate(mnp_drift_mended[5m]) and on (instance) mnp_build_info", ["mnp_drift_mended"]),
        ('mnp_reports{instance=~"a"} / mnp_reports{reason="x", colour!="y"}', ["mnp_reports.colour"]),
    ],
)
def test_names_that_nobody_exports_are_found(expression, wrong):
    assert problems(expression) == wrong


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_is_tried_and_says_what_to_do(name):
    rule = ALERTS[name]
    assert f'alertname="{name}", alertstate="firing", severity="{rule["labels"]["severity"]}"' in TRIED
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert len(rule["annotations"]["runbook"]) > 100
    used = {*re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])}
    assert used <= left_by(rule["expr"])


def left_by(expression):
    """The labels of the result."""
    grouping = re.search(r"\bby \(([^)]*)\)", expression)
    if grouping:
        return {label.strip() for label in grouping[1].split(",")} - {"le"}
    selected, _ = read(expression)
    return SERIES[selected[0][0]]


def test_all_of_our_metrics_have_a_panel():
    shown = {name for title, expression in EXPRESSIONS if title in PANELS for name, _ in read(expression)[0]}
    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in SERIES if name.startswith("mnp_")}
    assert ours - {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} == {"mnp_policed_pods"}  # deprecated


def test_dashboard_can_be_imported():
    """Each panel has its own number, place and data source by variable; legends use labels of the result."""
    assert len({panel["id"] for panel in PANELS.values()}) == len(DASHBOARD["panels"]) == len(PANELS)
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["description"]
        for target in panel["targets"]:
            assert {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= left_by(target["expr"])
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]


def test_the_page_lists_the_alerts():
    page = (ROOT / "docs/operations.md").read_text()
    rows = re.findall(r"^\| `(Mnp\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert rows == [(name, rule["labels"]["severity"]) for name, rule in ALERTS.items()]
