"""What docs/scale.md shows of the calculator: `python -m tests.unit.scale_page` puts it in anew."""

import json
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from server.capacity.demand import Fleet, Keep, Site
from server.capacity.needs import needs
from server.capacity.plan import most, plan
from server.capacity.walls import Wall, walls
from server.cli import app
from server.plan_cli import read_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scale.md"
RECORD = json.loads((ROOT / "server" / "capacity" / "coefficients.json").read_text())
SHOWN = re.compile(r"(```sh\npython3 dev\.py (plan .*?)\n```\n\n```text\n)(.*?)(```)", re.DOTALL)
MADE = re.compile(r"(<!-- (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
NODES = (1, 2, 4, 8, 16)
BATCHES = (5, 100)
FLEET = Fleet(devices=1_000, interval_s=10.0, metrics=5, rules=1_000, dashboards=100, alerts_per_hour=100)
KEEP = Keep(retention=90)
SITE = Site(connections_a_worker=19, max_connections=1_000, cached_series=1_000_000)


def page() -> str:
    """The page as it should be."""
    text = SHOWN.sub(lambda found: f"{found[1]}{output(found[2])}\n{found[4]}", PAGE.read_text())
    tables = {"coefficients": coefficients, "checks": checks, "nodes": nodes, "walls": ends}
    return MADE.sub(lambda found: f"{found[1]}{tables[found[2]]()}\n{found[4]}", text)


def output(command: str) -> str:
    """What `sluice …` prints."""
    done = CliRunner().invoke(app, shlex.split(command.replace("\\\n", " ")))
    assert done.exit_code == 0, done.output
    return "\n".join(line.rstrip() for line in done.output.strip().split("\n"))


def coefficients() -> str:
    """All of them."""
    rows = ["| coefficient | | measured by |", "|---|---|---|"]
    found = read_table().coefficients
    return "\n".join(
        rows
        + [f"| `{name}` | {found[name].value:,.4g} {found[name].unit} | `{found[name].by}` |" for name in sorted(found)]
    )


def checks() -> str:
    """What was predicted of sizes that nothing was fitted to."""
    rows = [
        "| readings a request, form | series in use | predicted µs a reading | measured | error |",
        "|---|---|---|---|---|",
    ]
    for each in RECORD["checks"]:
        told = f"{each['predicted_us']:.3g} | {each['measured_us']:.3g} | {each['error']:+.0%}"
        rows.append(f"| {each['batch']:,}, {each['form']} | {each['series']:,} | {told} |")
    return "\n".join(rows)


def nodes() -> str:
    """What nodes carry, as far as they are concerned, by how large the batches are."""
    rows = ["| nodes | readings/s, 5 a request | 100 a request | series, 5 a request | 100 a request | sockets |"]
    rows.append("|---" * 6 + "|")
    for count in NODES:
        site = replace(SITE, nodes=count, cached_series=1_000_000_000)  # as many as there are: memory says how many
        devices = [until(replace(FLEET, batch=batch), site, lambda wall: wall.by_nodes) for batch in BATCHES]
        per_s = " | ".join(thousands(each * FLEET.metrics / FLEET.interval_s) for each in devices)
        series = " | ".join(thousands(each * FLEET.metrics) for each in devices)
        sockets = plan(read_table().values(), FLEET, KEEP, site).sockets
        rows.append(f"| {count} | {per_s} | {series} | {thousands(sockets)} |")
    return "\n".join(rows)


def ends() -> str:
    """Where the walls are that nodes do not move, in readings a second."""
    rows = ["| wall | readings/s, 5 a request | 100 a request |", "|---|---|---|"]
    names = [wall.name for wall in found(FLEET, SITE) if not wall.by_nodes and wall.name != "alerts"]
    for name in sorted(names, key=str.lower):
        devices = [until(replace(FLEET, batch=batch), SITE, lambda wall: wall.name == name) for batch in BATCHES]  # noqa: B023
        rows.append(
            f"| {name} | {' | '.join(thousands(each * FLEET.metrics / FLEET.interval_s) for each in devices)} |"
        )
    return "\n".join(rows)


def found(fleet: Fleet, site: Site) -> list[Wall]:
    """The walls of a fleet."""
    table = read_table().values()
    return walls(table, fleet, site, needs(table, fleet, KEEP, site))


def until(fleet: Fleet, site: Site, concerned: Callable[[Wall], bool]) -> float:
    """Devices that there may be before one of these walls is reached."""

    def fits(times: float) -> bool:
        grown = replace(fleet, devices=max(1, round(fleet.devices * times)))
        return all(wall.share <= 1 for wall in found(grown, site) if concerned(wall))

    return fleet.devices * most(fits, 1e6)


def thousands(value: float) -> str:
    """Two digits that count."""
    step = 10 ** (int(math.log10(value)) - 1)
    return f"{round(value / step) * step:,.0f}"


if __name__ == "__main__":
    PAGE.write_text(page())
