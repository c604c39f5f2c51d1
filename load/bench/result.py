"""A result: what one case came to. One JSON line each; the table for people; and how two runs compare."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from load.bench.stats import ratio


@dataclass(slots=True)
class Result:
    """One case, measured once."""

    case: str
    subject: str
    readings: int
    requests: int
    seconds: float
    readings_per_s: float
    requests_per_s: float
    cpu_us: dict[str, float]
    """CPU µs a reading: server, postgres, redis, and total."""
    postgres_us: dict[str, float]
    """PostgreSQL's, by what its processes are for."""
    after_us: float
    """What was put off: CPU a reading of the checkpoint (InfluxDB: until it was idle) after the clock had stopped."""
    memory_mb: dict[str, float]
    """Of the largest worker: rss, peak, pss."""
    closed_ms: dict[str, float]
    statuses: dict[str, int]
    generator_cpu: float
    """Share of the time of its core or cores that the generator used."""
    ceiling: float
    """Readings/s of the same generator with the same bodies against a server that does nothing."""
    others_cpu: float
    """Cores that neither the server nor the generator used, but somebody did."""
    connections: int
    pinned: bool
    open_ms: dict[str, float] = field(default_factory=dict)
    """From the time each request was due, at `open_rate`."""
    open_late_ms: dict[str, float] = field(default_factory=dict)
    """By how much the generator itself was late, which is part of `open_ms`."""
    open_rate: float = 0.0
    """Requests/s: 0.6 of the closed loop's."""
    limit_us: float = math.nan
    """PostgreSQL's CPU a reading for the bare COPY of the same readings as plain rows."""
    limit_packed_us: float = math.nan
    """The same for the tuples that the server made of them: runs, and plain rows where it stored such."""
    group_rows: int = 0
    """Rows of the server's mean group, and of the bare COPY's."""
    decode_us: float = math.nan
    """What the server says its decoding took."""
    figures: dict[str, float] = field(default_factory=dict)
    """Other changes in what the server says of itself."""
    faults: list[str] = field(default_factory=list)
    """What went wrong: the result counts for nothing."""
    doubts: list[str] = field(default_factory=list)
    """What else went on: the result may be better than this."""
    at: str = ""
    axis: str = ""
    """Along which the cost was followed; empty: none, as in the other fields that say where."""
    point: int = 0
    """Where on the axis: rows, series, readings, workers or rules."""
    note: str = ""
    """What else was set there."""
    facts: dict[str, float] = field(default_factory=dict)
    """What getting there took: seconds, readings, runs."""

    @property
    def identity(self) -> tuple[str, str, int, str, str]:
        """What rounds of the same measurement have in common."""
        return self.subject, self.axis, self.point, self.note, self.case

    @property
    def total_us(self) -> float:
        """CPU a reading, server and storage together."""
        return self.cpu_us.get("total", math.nan)

    @property
    def marks(self) -> str:
        """Faults and doubts, for people."""
        return "; ".join([*(f"!! {fault}" for fault in self.faults), *(f"? {doubt}" for doubt in self.doubts)])

    def as_json(self) -> str:
        """One line; numbers in six digits, what is not known is null."""
        return json.dumps(_plain(asdict(self)), separators=(",", ":"))


def load(path: Path) -> list[Result]:
    """Read an earlier run."""
    results = []
    for line in path.read_text().splitlines():
        if line.startswith("{"):
            known: dict[str, Any] = json.loads(line)
            for name in [name for name, value in known.items() if value is None]:
                known[name] = math.nan
            results.append(Result(**known))
    return results


def median_of(results: Iterable[Result]) -> list[Result]:
    """Of each case's rounds the one in the middle by its cost (of an even number, the cheaper of the two)."""
    rounds: dict[tuple[str, str, int, str, str], list[Result]] = {}
    for result in results:
        rounds.setdefault(result.identity, []).append(result)
    return [sorted(same, key=lambda one: one.total_us)[(len(same) - 1) // 2] for same in rounds.values()]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def table(results: Iterable[Result]) -> str:
    """What people read. µs are CPU a reading, ms are at 0.6 of the knee."""
    head = [
        "case",
        "readings/s",
        "req/s",
        "server",
        "postgres",
        "redis",
        "= µs",
        "after",
        "COPY rows",
        "× rows",
        "COPY packed",
    ]
    head += ["p50 ms", "p95", "p99", "max", "MB", "gen CPU", "ceiling", "group", ""]
    rows = [head]
    for result in results:
        cpu, late = result.cpu_us, result.open_ms
        rows.append(
            [
                result.case if result.subject == "sluice" else f"{result.case} {result.subject}",
                f"{result.readings_per_s:,.0f}",
                f"{result.requests_per_s:,.0f}",
                *(number(cpu.get(part, math.nan)) for part in ("server", "postgres", "redis", "total")),
                number(result.after_us),
                number(result.limit_us),
                number(ratio(result.total_us, result.limit_us)),
                number(result.limit_packed_us),
                *(number(late.get(name, math.nan)) for name in ("p50", "p95", "p99", "max")),
                f"{result.memory_mb.get('peak', math.nan):.0f}",
                f"{result.generator_cpu:.0%}",
                f"{result.ceiling:,.0f}",
                f"{result.group_rows:,}",
                result.marks,
            ]
        )
    return align(rows)


def compare(now: Sequence[Result], before: Sequence[Result]) -> str:
    """Ratios now/before, case by case: below 1 is better, but for readings/s."""
    known = {result.identity: result for result in before}
    rows = [["case", "readings/s", "µs before", "µs now", "ratio", "server", "postgres", "COPY", "p99", "MB"]]
    for result in now:
        old = known.get(result.identity)
        if old is None:
            continue
        pairs = [(result.cpu_us.get(part, math.nan), old.cpu_us.get(part, math.nan)) for part in ("server", "postgres")]
        pairs += [
            (result.limit_us, old.limit_us),
            (result.open_ms.get("p99", math.nan), old.open_ms.get("p99", math.nan)),
            (result.memory_mb.get("peak", math.nan), old.memory_mb.get("peak", math.nan)),
        ]
        rows.append(
            [
                result.case,
                f"{ratio(result.readings_per_s, old.readings_per_s):.2f}",
                number(old.total_us),
                number(result.total_us),
                f"{ratio(result.total_us, old.total_us):.2f}",
                *(f"{ratio(new, was):.2f}" for new, was in pairs),
            ]
        )
    return align(rows)


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits, or a dash where there is none."""
    if math.isnan(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
