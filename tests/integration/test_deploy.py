"""The files under `server/deploy/`, and the one for Compose, each judged by a tool that knows its format."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from server.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "server" / "deploy"
KUBERNETES = "1.37"  # whose schemas the manifests are held against
MAX_EXPOSURE = 12  # tenths, of `systemd-analyze security`: 0 is safe, 100 is a plain service of root's
PATIENCE_S = 60
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def needs(tool: str) -> pytest.MarkDecorator:
    """Skip without a tool; where CI runs, that fails the run."""
    reason = f"{tool.upper()} IS ABSENT: the files that it knows were NOT tried"
    return pytest.mark.skipif(shutil.which(tool) is None, reason=reason)


def run(*words: str | Path, folder: Path = ROOT) -> str:
    """Run a tool that has to be content; returns what it said."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# -- systemd ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    text = (DEPLOY / "systemd" / "sluice@.service").read_text()
    assert "/opt/sluice/bin/sluice" in text
    path = tmp_path / "sluice@.service"
    path.write_text(text.replace("/opt/sluice/bin/sluice", str(Path(sys.executable).with_name("sluice"))))
    return path


@needs("systemd-analyze")
def test_the_unit_is_one(unit: Path) -> None:
    said = run("systemd-analyze", "verify", unit)
    assert not [line for line in said.splitlines() if unit.name in line], said


@needs("systemd-analyze")
def test_the_unit_is_hardened(unit: Path) -> None:
    command = ("systemd-analyze", "security", "--offline=true", "--no-pager")
    said = run(*command, f"--threshold={MAX_EXPOSURE}", unit)
    assert "Overall exposure level" in said


def test_what_the_unit_sets_are_settings() -> None:
    text = (DEPLOY / "systemd" / "sluice.env").read_text()
    assert_settings(re.findall(r"^(\w+)=", text, re.MULTILINE))


def assert_settings(names: list[str]) -> None:
    """Every one is read by somebody."""
    known = {f"SLUICE_{name.upper()}" for name in Settings.model_fields} | {"FORWARDED_ALLOW_IPS"}
    assert names
    assert set(names) <= known


# -- Kubernetes -------------------------------------------------------------------------------------------------------


def manifests() -> Iterator[dict[str, Any]]:
    """Every object, in the order in which kubectl applies them."""
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


MANIFESTS = list(manifests())


def manifest(kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    [found] = [each for each in MANIFESTS if each["kind"] == kind]
    return found


@pytest.mark.parametrize("document", MANIFESTS, ids=lambda each: each["kind"])
def test_manifests_fit_the_schemas_of_kubernetes(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_an_unknown_field_of_a_manifest_is_refused() -> None:
    """The judge of the others is awake."""
    broken = manifest("PodDisruptionBudget") | {"spec": {"minAvailabel": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_manifests_fit_together() -> None:
    deployment = manifest("Deployment")["spec"]
    pod = deployment["template"]
    labels = pod["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == manifest("Service")["spec"]["selector"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    target = manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", manifest("Deployment")["metadata"]["name"])
    assert {each["metadata"].get("namespace", "sluice") for each in MANIFESTS} == {"sluice"}
    [container] = pod["spec"]["containers"]
    [port] = container["ports"]
    assert manifest("Service")["spec"]["ports"][0]["targetPort"] == port["name"]
    assert manifest("NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]
    assert_settings(list(manifest("ConfigMap")["data"]))


def test_pods_hold_no_power() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001  # the image's
    assert f"--uid {pod['securityContext']['runAsUser']}" in (ROOT / "Dockerfile").read_text()
    assert not pod["automountServiceAccountToken"]
    for container in (*pod["initContainers"], *pod["containers"]):
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"]
        assert not confined["allowPrivilegeEscalation"]
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in container["resources"]


def test_the_autoscaler_asks_for_what_the_adapter_gives() -> None:
    metrics = manifest("HorizontalPodAutoscaler")["spec"]["metrics"]
    asked = {each["pods"]["metric"]["name"] for each in metrics if each["type"] == "Pods"}
    rules = yaml.safe_load((DEPLOY / "prometheus" / "adapter.yaml").read_text())["rules"]
    assert asked == {rule["name"]["as"] for rule in rules}


# -- Compose ----------------------------------------------------------------------------------------------------------


def test_the_compose_file_fits_its_schema(tmp_path: Path) -> None:
    judge = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    run(*judge, ROOT / "docker-compose.yml")
    broken = tmp_path / "docker-compose.yml"
    broken.write_text((ROOT / "docker-compose.yml").read_text().replace("stop_grace_period", "stop_grace_perio"))
    done = subprocess.run([*judge, broken], capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1


def test_nginx_of_the_profile_cluster_is_one_and_says_what_the_other_says(tmp_path: Path) -> None:
    text = (DEPLOY / "nginx" / "compose.conf").read_text()
    other = (DEPLOY / "nginx" / "sluice.conf").read_text()
    answers = re.findall(r"return \d{3} '\{.*\}';", text)
    assert len(answers) == 4
    assert all(answer in other for answer in answers)
    for limit in re.findall(r"^ +((?:client_\w+|keepalive)_(?:size|timeout)) +(\w+);", text, re.MULTILINE):
        assert re.search(rf"\b{limit[0]} +{limit[1]};", other), limit
    if NGINX is None:
        pytest.skip("NGINX IS ABSENT: the file for it was NOT tried")
    path = tmp_path / "nginx.conf"
    path.write_text(re.sub(r"node-\d:", "127.0.0.1:", text).replace("/tmp/", f"{tmp_path}/"))  # noqa: S108
    run(NGINX, "-t", "-c", path, "-p", tmp_path, "-e", tmp_path / "error.log")


# -- Prometheus -------------------------------------------------------------------------------------------------------


@needs("promtool")
def test_the_rules_of_prometheus_hold() -> None:
    folder = DEPLOY / "prometheus"
    run("promtool", "check", "config", "--syntax-only", "prometheus.yml", folder=folder)
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", "sluice.rules.yml", folder=folder)
    run("promtool", "test", "rules", "sluice.test.yml", folder=folder)


@needs("promtool")
def test_what_grafana_and_the_autoscaler_ask_prometheus_is_promql(tmp_path: Path) -> None:
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "operation.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    for rule in yaml.safe_load((DEPLOY / "prometheus" / "adapter.yaml").read_text())["rules"]:
        queries += [rule["seriesQuery"], rule["metricsQuery"]]
    for macro, filled in (("$__rate_interval", "1m"), ("<<.GroupBy>>", "pod"), ("<<.LabelMatchers>>", 'pod="a"')):
        queries = [query.replace(macro, filled) for query in queries]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    assert len(rules) > 40
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in run("promtool", "check", "rules", "--lint=none", path)


def test_every_alert_has_a_test() -> None:
    rules = (DEPLOY / "prometheus" / "sluice.rules.yml").read_text()
    tests = (DEPLOY / "prometheus" / "sluice.test.yml").read_text()
    alerts = set(re.findall(r"alert: (\w+)", rules))
    assert len(alerts) > 15
    assert alerts == set(re.findall(r"Sluice[A-Z]\w+", tests))
