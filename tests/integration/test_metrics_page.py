"""Metrics are documented, every query of the dashboard and every alert asks for one, every alert has its paragraph."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from tests.integration.metrics_page import PAGE, page, registry

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "server" / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "sluice.rules.yml").read_text())
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
BEHIND = ("_bucket", "_sum", "_count", "_total")


@pytest.fixture(scope="module")
async def found() -> CollectorRegistry:
    """Every metric of a machine."""
    return await registry()


def test_the_page_is_in_step(found: CollectorRegistry) -> None:
    assert PAGE.read_text() == page(found), "write it anew: python -m tests.integration.metrics_page"


def expressions() -> Iterator[str]:
    """Every query of the dashboard, of the rules and of the autoscaler."""
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "operation.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in board["templating"]["list"]:
        yield variable["query"]["query"]
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    for rule in yaml.safe_load((DEPLOY / "prometheus" / "adapter.yaml").read_text())["rules"]:
        yield from (rule["seriesQuery"], rule["metricsQuery"])


def names(found: CollectorRegistry) -> dict[str, set[str]]:
    """Every name that `/metrics` may show, with the labels it has."""
    shown: dict[str, set[str]] = {}
    for collector in dict.fromkeys(found._collector_to_names):
        [metric] = collector.collect()
        labels = {*getattr(collector, "_labelnames", ()), "job", "instance", "le", "pid", "namespace", "pod"}
        parts = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
        shown |= {metric.name + part: labels for part in parts}
    return shown


def test_queries_ask_for_what_there_is(found: CollectorRegistry) -> None:
    shown, queries = names(found), list(expressions())
    assert len(queries) > 60
    for query in queries:
        for name, matchers in re.findall(r"(?<![\w:])(sluice_\w+)(?:\{([^}]*)\})?", query):
            assert name in shown, query
            assert set(re.findall(r"(\w+)\s*=", matchers)) <= shown[name], query


def test_the_datasources_of_the_dashboard_are_provisioned() -> None:
    [source] = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    board: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "operation.json").read_text())
    assert set(re.findall(r'"uid": "([\w-]+)"', json.dumps(board["panels"] + board["templating"]["list"]))) == {
        source["uid"]
    }
    [variable] = re.findall(r"\$\{(\w+)\}", source["url"])
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert variable in compose["services"]["grafana"]["environment"]


def test_every_alert_has_its_paragraph_and_every_paragraph_its_alert() -> None:
    alerts = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}
    told = re.findall(r"^### (Sluice\w+)\n\n(.+?)\n(?:\n|$)", OPERATIONS, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in told] == list(alerts)  # in the same order
    for name, text in told:
        assert len(text) > 150, f"{name}: what it means, what to look at, what to do"
        assert alerts[name]["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert alerts[name]["labels"]["severity"] in {"critical", "warning", "info"}
