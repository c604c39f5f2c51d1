"""`sluice plan`, as a person starts it: no server, no settings, nothing to connect to."""

import json
from pathlib import Path

from tests.acceptance.sluice import sluice

WORDS = ["plan", "--devices", "100000", "--interval", "10", "--metrics", "5", "--retention", "90"]


async def test_the_calculator(tmp_path: Path) -> None:
    told, listed = await sluice(tmp_path, *WORDS, "--json"), await sluice(tmp_path, *WORDS)
    assert (told.code, told.err, listed.code, listed.err) == (0, "", 0, "")
    plan = json.loads(told.out)
    assert plan["fleet"]["readings_per_s"] == 50_000
    assert plan["fleet"]["series"] == 500_000
    assert plan["postgres"]["connections"] == 19 * plan["nodes"]["count"] * plan["nodes"]["workers_each"]
    assert {wall["name"] for wall in plan["walls"]} >= {
        "nodes", "PostgreSQL", "connections", "log", "index", "Redis", "sockets", "cardinality",
    }  # fmt: skip
    for wall in plan["walls"]:
        assert wall["name"] in listed.out
    assert f"{plan['postgres']['connections']} connections" in listed.out


async def test_what_cannot_be_planned_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(
        '{"machine": "m", "at": "now", "coefficients": {"server.tuple": {"value": "3"}}}'
    )
    for words, said in (
        (["--calibrate", "own.json"], "own.json is not what"),
        (["--protocol", "morse"], "no protocol"),
    ):
        done = await sluice(tmp_path, *WORDS, *words)
        assert done.code == 1
        assert said in done.err
        assert done.err.count("\n") == 1
