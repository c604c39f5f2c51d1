"""The benchmark's results: their lines, tables, comparisons and picture."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from load.bench.against import table as against_table
from load.bench.plot import batch_of, plot
from load.bench.result import Result, compare, load, median_of, table


def result(case: str = "100-rows", total: float = 3.0, subject: str = "sluice", **more: object) -> Result:
    made = Result(
        case=case,
        subject=subject,
        readings=100_000,
        requests=1_000,
        seconds=0.5,
        readings_per_s=200_000.0,
        requests_per_s=2_000.0,
        cpu_us={"server": total / 2, "postgres": total / 2, "total": total},
        postgres_us={"backend": total / 2},
        after_us=0.1,
        memory_mb={"rss": 90.0, "peak": 100.0, "pss": 80.0},
        closed_ms={"p50": 1.0},
        statuses={"200": 1_000},
        generator_cpu=0.1,
        ceiling=1e6,
        others_cpu=0.0,
        connections=32,
        pinned=True,
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_a_result_survives_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(result(open_ms={"p99": 4.5}).as_json() + "\n")
    line = json.loads(path.read_text())
    assert line["limit_us"] is None
    [again] = load(path)
    assert again.open_ms == {"p99": 4.5}
    assert math.isnan(again.limit_us)


def test_compare_is_case_by_case() -> None:
    lines = compare([result(total=1.5), result("new")], [result(total=3.0), result("gone")]).splitlines()
    assert len(lines) == 2
    assert lines[1].split()[:5] == ["100-rows", "1.00", "3", "1.5", "0.50"]


def test_tables() -> None:
    text = table([result(limit_us=1.5, group_rows=950, faults=["closed loop: 3 × 503"])])
    assert "!! closed loop: 3 × 503" in text
    assert text.splitlines()[1].split()[:3] == ["100-rows", "200,000", "2,000"]
    rounds = [result(total=total) for total in (4.0, 3.0, 9.0)] + [result(total=2.0, subject="influxdb")]
    assert against_table(rounds, "influxdb").splitlines()[1].split()[:4] == ["100-rows", "4", "2", "2.00"]
    assert [one.total_us for one in median_of(rounds)] == [4.0, 2.0]


def test_the_picture_is_one(tmp_path: Path) -> None:
    results = [result(), result("1000-rows", limit_us=1.0), result("1-rows", 50.0, doubts=["others"])]
    plot(results, tmp_path / "deep" / "run.png")
    with Image.open(tmp_path / "deep" / "run.png") as image:
        assert image.size[0] > 1_000
        assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 5
    assert batch_of(results[0]) == 100
