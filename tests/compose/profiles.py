"""What each profile of docker-compose.yml has to show: a reading goes in, an alert comes out; and what is its own."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.compose.podman import ComposeError, podman
from tests.compose.stack import PROJECT, Stack, free_port
from tests.compose.visit import inside, on_host, visit

LOAD_WORKERS = 2
LOAD_S = 600.0
REPORTED = ("scenario", "passed", "seconds", "processes", "readings", "alerts")
SCRAPED_S = 90.0
COUNTED = {
    "devices": "DISTINCT device) FROM telemetry",
    "nodes_of_citus": "*) FROM pg_dist_node",
    "distributed_tables": "*) FROM pg_dist_partition",
}
NODES = ("node-1", "node-2", "node-3")


def require(true: bool, what: str) -> None:
    """Raises ComposeError."""
    if not true:
        raise ComposeError(what)


def first_key(stack: Stack, service: str = "sluice") -> str:
    """As README.md says it."""
    return stack.inside(service, "sluice", "key", "create", "admin", "--scope", "admin").strip()


def key(stack: Stack, name: str, scope: str) -> str:
    """One more."""
    return stack.inside("sluice", "sluice", "key", "create", name, "--scope", scope).strip()


def default(stack: Stack) -> dict[str, Any]:
    """Two workers, PostgreSQL, Valkey: alerts, a restart that loses nothing, a stop in time."""
    stack.up("sluice")
    admin = first_key(stack)
    here = on_host(stack.url, admin)
    seen: dict[str, Any] = visit("try", [here], [here], count=5)
    began = time.monotonic()
    stack.compose("stop", "sluice")
    seen["stop_s"] = round(time.monotonic() - began, 1)
    require(seen["stop_s"] < 15, "it promises to be gone after 10 s")
    stack.compose("restart", "valkey", "postgres")
    stack.compose("start", "sluice")
    stack.settle("sluice")
    devices = ask(f"{stack.url}/v1/devices?limit=100", admin)["items"]
    seen["devices_after_a_restart"] = len(devices)
    require(len(devices) == 5, "a restart lost devices")
    doctor = stack.inside("sluice", "sluice", "doctor")
    seen["doctor"] = [line for line in doctor.splitlines() if "fsync" in line or "synchronous_commit" in line]
    return seen


def load(stack: Stack) -> dict[str, Any]:
    """Locust's master and two workers load it for a minute; its verdict is the exit code and in the report."""
    stack.up("sluice")
    stack.configure(SLUICE_KEY=first_key(stack), SLUICE_MINUTES="1", SLUICE_SCALE="0.2")
    stack.configure(LOCUST_EXPECT_WORKERS=str(LOAD_WORKERS))
    stack.up("load-master")
    stack.up("load-worker", scale=LOAD_WORKERS)
    code = stack.ended("load-master", LOAD_S)
    folder = Path(podman("volume", "inspect", "--format", "{{.Mountpoint}}", f"{PROJECT}_reports").strip())
    require((folder / "steady.html").exists(), f"load-master ended with {code}:\n{stack.log('load-master')}")
    report = json.loads((folder / "steady.json").read_text())
    # What is lost or doubled is wrong on any machine; what is slow may be so for its sake: told, not judged.
    failed = [check["name"] for check in report["checks"] if not check["passed"]]
    require(all("p99" in name for name in failed), f"failed: {failed}\n{stack.log('load-master')}")
    require(bool(failed) == bool(code), f"failed: {failed}, and the exit code is {code}")
    return {"exit_code": code, "failed": failed, "report": {key: report[key] for key in report if key in REPORTED}}


def mqtt(stack: Stack) -> dict[str, Any]:
    """A message to the broker ends as an alert on /ws."""
    stack.up("sluice")
    admin = first_key(stack)
    stack.configure(SLUICE_MQTT_PASSWORD="of-devices", SLUICE_MQTT_KEY=key(stack, "mqtt", "ingest"))
    stack.configure(SLUICE_MQTT_TOPICS="sensors/{device}/{metric}")
    stack.up("mqtt")
    here = on_host(stack.url, admin)

    def publish(prefix: str) -> dict[str, float]:
        at = {}
        for number in range(3):
            device = f"{prefix}-{number}"
            for value in ("50.0", "75.0"):
                at[device] = time.time()
                words = ["--username", "sluice", "--pw", "of-devices", "--topic", f"sensors/{device}/temperature"]
                stack.inside("mosquitto", "mosquitto_pub", "--qos", "1", *words, "--message", value)
        return at

    return visit("mqtt", [here], publish, count=3)


def prometheus(stack: Stack) -> dict[str, Any]:
    """It scrapes Sluice, knows every rule, answers every query of the dashboard, and sees that an instance is gone."""
    stack.up("sluice")
    admin = first_key(stack)
    port = free_port()
    stack.configure(SLUICE_PROMETHEUS_KEY=key(stack, "prometheus", "read"))
    stack.configure(SLUICE_PROMETHEUS_PUBLISH=f"127.0.0.1:{port}")
    stack.up("prometheus")
    here = on_host(stack.url, admin)
    seen: dict[str, Any] = visit("prometheus", [here], [here], count=2)
    url = f"http://127.0.0.1:{port}/api/v1"
    seen["up_after_s"] = until(lambda: value(url, 'up{job="sluice"}') == 1.0, SCRAPED_S, "it does not scrape Sluice")
    stored = "sum(sluice_batches_stored_total)"
    until(lambda: (value(url, stored) or 0) >= 4, SCRAPED_S, "what was stored is not told")
    groups = ask(f"{url}/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    seen["rules"], bad = len(rules), [rule["name"] for rule in rules if rule["health"] == "err"]
    require(len(rules) > 15 and not bad, f"rules that do not work: {bad}")
    board = json.loads((stack.folder / "server/deploy/grafana/dashboards/operation.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    for query in queries:
        words = query.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")
        require(ask(f"{url}/query?query={urllib.parse.quote(words)}")["status"] == "success", query)
    seen["queries_of_the_dashboard"] = len(queries)
    stack.compose("stop", "sluice")
    down = 'ALERTS{alertname="SluiceDown"}'
    seen["noticed_down_after_s"] = until(lambda: value(url, down) == 1.0, SCRAPED_S, "SluiceDown does not even begin")
    return seen


def grafana(stack: Stack) -> dict[str, Any]:
    """As far as it goes without Grafana's image: the role that reads is made, reads, and reads nothing else."""
    stack.configure(SLUICE_GRAFANA_PASSWORD="of-admin", SLUICE_GRAFANA_DB_PASSWORD="of-reader")
    stack.up("grafana-reader")
    here = on_host(stack.url, first_key(stack))
    seen: dict[str, Any] = visit("grafana", [here], [here], count=1)
    url = "postgresql://sluice_reader:of-reader@127.0.0.1/sluice"
    seen["read"] = int(
        stack.inside("postgres", "psql", url, "--tuples-only", "--command=SELECT count(*) FROM telemetry")
    )
    require(seen["read"] == 2, "the role does not read what is stored")
    for statement in ("SELECT * FROM keys", "DELETE FROM readings"):
        try:
            stack.inside("postgres", "psql", url, f"--command={statement}")
        except ComposeError as error:
            require("ERROR" in str(error), str(error))
        else:
            raise ComposeError(f"the role may {statement}")
    return seen


def cluster(stack: Stack) -> dict[str, Any]:
    """Alerts cross three nodes, through nginx; without one node, and without a primary of Valkey."""
    stack.up("nginx")
    admin = first_key(stack, "node-1")
    front = on_host(stack.url, admin)
    nodes = [inside(stack, name, admin) for name in NODES]
    seen: dict[str, Any] = {"healthy": visit("all", [front, *nodes], [front, *nodes], count=3)}
    before = [node.run("stored", "")["batches"] for node in nodes]
    front.run("send", "spread", "6")
    seen["batches_through_nginx"] = [
        node.run("stored", "")["batches"] - was for node, was in zip(nodes, before, strict=True)
    ]
    require(all(seen["batches_through_nginx"]), "nginx does not spread what comes")
    seen["valkey"] = primaries(stack)
    lost = next(iter(seen["valkey"]))
    podman("stop", "--time=0", stack.container(lost))  # SIGKILL; what is killed otherwise comes back
    seen["without_a_primary"] = visit("bell", [front, *nodes], nodes, count=2)
    podman("stop", "--time=0", stack.container("node-2"))
    seen["without_a_node"] = visit("node", [front, nodes[0]], [front, nodes[2]], count=3)
    stack.compose("start", "node-2", lost)
    for name in ("node-2", lost):
        stack.settle(name)
    seen["all_back"] = visit("back", [front, *nodes], [front, *nodes], count=2)
    stack.down(volumes=False)
    stack.up("nginx")  # everybody has another address, and the cluster its old members
    nodes = [inside(stack, name, admin) for name in NODES]
    seen["made_anew"] = visit("anew", [front, *nodes], [front, *nodes], count=2)
    psql = ["psql", "--host=127.0.0.1", "--username=sluice", "--tuples-only", "--no-align", "sluice"]
    for about, counted in COUNTED.items():
        seen[about] = int(stack.inside("citus", *psql, f"--command=SELECT count({counted}"))
    require(seen["nodes_of_citus"] == 3 and seen["distributed_tables"] > 2, f"nothing is distributed: {seen}")
    return seen


def primaries(stack: Stack) -> dict[str, int]:
    """Service → slots, of those that have some."""
    found = {}
    for number in range(1, 7):
        name = f"valkey-{number}"
        said = stack.inside(name, "sh", "-c", 'REDISCLI_AUTH="$VALKEY_PASSWORD" valkey-cli cluster nodes')
        [own] = [line for line in said.splitlines() if "myself" in line]
        spans = [span.split("-") for span in own.split()[8:]]
        if spans:
            found[name] = sum(int(span[-1]) - int(span[0]) + 1 for span in spans)
    require(len(found) == 3 and sum(found.values()) == 16_384, f"no cluster of three primaries: {found}")
    return found


def ask(url: str, admin: str = "") -> Any:
    """GET, as JSON."""
    headers = {"Authorization": f"Bearer {admin}"} if admin else {}
    asked = urllib.request.Request(url, headers=headers)  # noqa: S310 - of ours
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def value(url: str, query: str) -> float | None:
    """The one value of a query to Prometheus, now; None without one."""
    found = ask(f"{url}/query?query={urllib.parse.quote(query)}")["data"]["result"]
    return float(found[0]["value"][1]) if found else None


def until(true: Callable[[], bool], patience_s: float, otherwise: str) -> float:
    """Wait for a condition; returns the seconds that it took. Raises ComposeError."""
    began = time.monotonic()
    while not true():
        require(time.monotonic() - began < patience_s, otherwise)
        time.sleep(0.5)
    return round(time.monotonic() - began, 1)


PROFILES: dict[str, Callable[[Stack], dict[str, Any]]] = {
    "default": default,
    "load": load,
    "mqtt": mqtt,
    "prometheus": prometheus,
    "grafana": grafana,
    "cluster": cluster,
}
