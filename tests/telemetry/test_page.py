"""docs/operations.md lists all metrics, reasons and endpoints."""

import json
import re
from pathlib import Path

import pytest

from mnp_core.api import Failure, Outcome, Result
from mnp_core.model import LoggedVerdict, ObjectName, Reason
from mnp_core.telemetry.events.event import DRIFT_MENDED, EventResult
from mnp_core.telemetry.health import Unready
from mnp_core.telemetry.httpserver import SETTING
from mnp_core.telemetry.logs import LogFormat, LogLevel
from mnp_core.telemetry.metrics import OPEN_REASONS, Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def table(heading, number=0):
    """The code in the first cell of each row of a section's table."""
    section = re.split(r"\n##+ ", PAGE.partition(f"# {heading}\n")[2])[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return re.findall(r"^\| `([^`]+)` ", tables[number].partition("\n|---")[2], re.MULTILINE)


def test_metrics():
    metrics = Metrics()
    exported = re.findall(r"^# TYPE (\w+) (\w+)$", metrics.text().decode(), re.MULTILINE)
    assert table("Metrics") == sorted(name for name, _ in exported)
    for name, kind in exported:
        assert f"| `{name}` | {kind} |" in PAGE


def test_labels():
    metrics = Metrics()
    metrics.outcome(Outcome(pod=ObjectName("a", "b"), result=Result.FAILED, backend="nftables"))
    metrics.watch_restarted("Pod", "gone")
    metrics.listed("Pod", 1)
    metrics.refused("Pod", "no")
    metrics.event("created")
    metrics.denied("demo")
    written = dict(re.findall(r"^\| `(mnp_\w+)` \| \w+ \|([^|]*)\|", PAGE, re.MULTILINE))
    for name, labels in re.findall(r"^(mnp_\w+)\{(.*)\} ", metrics.text().decode(), re.MULTILINE):
        exported = set(re.findall(r'(\w+)="', labels)) - {"le"}
        assert exported == set(re.findall(r"`(\w+)`", written[re.sub(r"_(bucket|count|sum)$", "", name)]))


@pytest.mark.parametrize(
    ("heading", "number", "words"),
    [("Health", 0, Unready), ("Failures", 0, Failure)],
)
def test_words(heading, number, words):
    assert table(heading, number) == [word.value for word in words]


def test_results_of_events():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.partition("| `result` in `mnp_kubernetes_events_total`")[2], re.MULTILINE)
    assert rows[: len(EventResult)] == [fate.value for fate in EventResult]


def test_reasons_of_open_interfaces():
    [row] = re.findall(r"^\| `mnp_unenforceable_attachments`.*", PAGE, re.MULTILINE)
    assert re.findall(r"`([A-Z]\w+)`", row) == [reason.value for reason in OPEN_REASONS]


def test_events_beside_reports_have_a_reason_of_their_own():
    assert table("Kubernetes Events", 0) == [DRIFT_MENDED]
    assert DRIFT_MENDED not in {reason.value for reason in Reason}


def test_results_of_attempts():
    [row] = re.findall(r"^\| `mnp_apply_duration_seconds`.*", PAGE, re.MULTILINE)
    assert {result.value for result in Result} <= set(re.findall(r"`(\w+)`", row))


def test_messages_of_the_log():
    source, files = (
        Path(__file__).parents[2] / "mnp_core",
        ("telemetry/change_log", "telemetry/events/sender", "telemetry/publisher", "node/denied", "node/status/server"),
    )
    text = "".join((source / f"{name}.py").read_text() for name in files)
    said = set(re.findall(r'_log\.(?:info|warning|error)\(\s*"([^"]+)"', text))
    said |= set(re.findall(r'_say\("\w+", "([^"]+)"', text))
    said |= {f"rules {result.value}" for result in (Result.APPLIED, Result.REMOVED)}
    said |= {f"packet {verdict}" for verdict in LoggedVerdict}
    assert set(table("Logs")) == said


def test_flags_and_settings():
    assert all(f"`{word}`" in PAGE for word in (SETTING, *LogLevel, LogFormat.JSON))


def test_examples_of_lines():
    [text] = re.findall(r"```text\n(time=.*?)```", PAGE.partition("\n## Logs")[2], re.DOTALL)
    [line] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert [word.partition("=")[0] for word in re.sub(r'"[^"]*"', "", text.splitlines()[0]).split()] == [
        *json.loads(line)
    ]
