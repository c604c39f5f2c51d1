"""The report of a run: a page without scripts or anything from elsewhere, the same as JSON, and as lines."""

import json
import math
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from load.scenarios.outcome import LATENCIES, Outcome
from load.scenarios.plot import Line, clock, plot

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --pale: #5c6675; --ground: #fff; --card: #f6f7f9; --rule: #dfe3e8;
  --good: #17734a; --bad: #b3261e; --c0: #2563eb; --c1: #c2410c; --c2: #0f766e; --c3: #7c3aed; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --pale: #98a2b3; --ground: #12161d; --card: #1a202a;
  --rule: #2c3440; --good: #4ade80; --bad: #ff8a80; --c0: #7aa8ff; --c1: #fb923c; --c2: #2dd4bf; --c3: #c4a7ff; } }
body { margin: 0 auto; max-width: 1180px; padding: 28px 20px 60px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 15px; margin: 0 0 8px; } p { margin: 4px 0; }
.about, .legend, .none, .unit, caption, th { color: var(--pale); }
.verdict { display: inline-block; margin: 14px 0; padding: 4px 12px; border-radius: 6px; border: 1px solid; }
.good { color: var(--good); } .bad { color: var(--bad); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 16px; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: 14px 16px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 500; }
td, th { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--rule); } .n { text-align: right; }
svg { display: block; width: 100%; height: auto; } .grid { stroke: var(--rule); fill: none; }
.tick { fill: var(--pale); font-size: 11px; } .line { fill: none; stroke-width: 1.8; stroke-linecap: round; }
.legend { font-size: 13px; } .legend span { margin-right: 16px; }
.legend span[class^=k]::before { content: ""; display: inline-block; width: 14px; height: 3px; margin-right: 6px;
  vertical-align: middle; background: currentcolor; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.k0 { color: var(--c0); } .k1 { color: var(--c1); } .k2 { color: var(--c2); } .k3 { color: var(--c3); }
li, td { overflow-wrap: anywhere; }
"""
TITLES = {
    "write": "From sending a batch to its answer",
    "alert": "From a reading to its alert on a dashboard",
    "crowd": "From a reading to the last dashboard of a crowd",
    "resume": "From losing a socket to being back, nothing missed",
    "connect": "To connect and subscribe",
}


def write(outcome: Outcome, folder: Path) -> Path:
    """Write both files; returns the page's path. Raises OSError where that cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    document = outcome.document()
    path = folder / f"{outcome.scenario.name}.html"
    path.write_text(page(outcome, document), encoding="utf-8")
    path.with_suffix(".json").write_text(
        json.dumps(_plain(document), indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    return path


def _plain(value: Any) -> Any:
    """Without NaN and infinities, which JSON has not; a number in six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def page(outcome: Outcome, document: dict[str, Any]) -> str:
    """The HTML."""
    began = datetime.fromtimestamp(outcome.recorder.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    verdict, kind = ("passed", "good") if outcome.passed else ("failed", "bad")
    head = (
        f"<h1>Load: {escape(outcome.scenario.name)}</h1>"
        f"<p class='about'>{escape(outcome.scenario.about)} · {escape(outcome.url)} · {began} · "
        f"{clock(outcome.loaded_s)} · {outcome.books.processes} process(es)</p>"
        f"<p class='verdict {kind}'>{'✓' if outcome.passed else '✗'} {verdict}</p>"
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{escape(outcome.scenario.name)}: {verdict}</title><style>{STYLE}</style>"
        f"<body>{head}{_list(outcome.remarks)}<div class='cards'>{_checks(outcome)}{_latencies(document)}"
        f"{''.join(_plots(outcome))}{_steps(document)}{_errors(document)}</div></body></html>\n"
    )


def _list(texts: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>" if texts else ""


def _checks(outcome: Outcome) -> str:
    rows = []
    for check in outcome.checks:
        found = "nothing measured" if check.document()["found"] is None else f"{check.found:,g}{check.unit}"
        bound = f"{'≥' if check.at_least else '≤'} {check.limit:,g}{check.unit}"
        mark = "<td class='good'>✓ held" if check.passed else "<td class='bad'>✗ not held"
        rows.append(
            f"<tr>{mark}</td><td>{escape(check.name)}</td><td class='n'>{found}</td><td class='n'>{bound}</td></tr>"
        )
    head = "<tr><th>verdict<th>what<th class='n'>found<th class='n'>allowed</tr>"
    return f"<section><h2>Held to</h2><table>{head}{''.join(rows)}</table></section>"


def _latencies(document: dict[str, Any]) -> str:
    rows = [
        f"<tr><td>{TITLES[name]}</td>{''.join(f'<td class=n>{ms:,.1f}</td>' for ms in spread.values())}</tr>"
        for name, spread in document["latency_ms"].items()
    ]
    totals = document["totals"]
    text = (
        f"{totals['readings']:,} readings stored of {totals['intended']:,} intended, "
        f"in {totals['requests']:,} requests, "
        f"{totals['errors']:,} of them with an error; {document['readings']['acknowledged']:,} looked up afterwards; "
        f"{document['alerts']['expected']:,} alert transitions expected"
    )
    head = "<tr><th>ms<th class='n'>p50<th class='n'>p95<th class='n'>p99</tr>"
    return f"<section><h2>Latency</h2><table>{head}{''.join(rows)}</table><p class='about'>{text}</p></section>"


def _plots(outcome: Outcome) -> list[str]:
    recorder, slots, seconds = outcome.recorder, outcome.slots, outcome.loaded_s

    def counted(*names: str) -> list[Line]:
        courses = [(name, recorder.course(name, slots)) for name in names]
        return [Line(name, values, dashed=name == "intended") for name, values in courses if any(values)]

    made = [("Readings a second", plot(counted("intended", "readings"), seconds, "readings/s"))]
    for name in LATENCIES[:4]:
        if recorder.histogram(name):
            lines = [Line(f"p{share * 100:g}", recorder.quantiles(name, share, slots)) for share in (0.5, 0.99)]
            made.append((TITLES[name], plot(lines, seconds, "ms, logarithmic", log=True)))
    made.append(("Requests with an error, a second", plot(counted("errors"), seconds, "1/s")))
    made.append(("Users and sockets", plot(counted("users", "sockets"), seconds, "at once")))
    made.append(("CPU of the busiest process that makes load", plot(counted("cpu"), seconds, "% of a core")))
    return [f"<section><h2>{escape(title)}</h2>{drawn}</section>" for title, drawn in made]


def _steps(document: dict[str, Any]) -> str:
    if not document["steps"]:
        return ""
    rows = [
        f"<tr><td class='n'>{step['users']:,}<td class='n'>{step['seen']['intended']:,.0f}"
        f"<td class='n'>{step['seen']['achieved']:,.0f}<td class='n'>{step['seen']['p99_ms']:,.1f}"
        f"<td class='n'>{step['seen']['cpu']:.0f}<td class='{'good' if step['held'] else 'bad'}'>"
        f"{'✓ held' if step['held'] else '✗ bent'}</tr>"
        for step in document["steps"]
    ]
    heads = ("users", "intended/s", "stored/s", "p99 ms", "CPU %")
    head = "".join(f"<th class='n'>{name}" for name in heads)
    return f"<section><h2>Steps to the knee</h2><table><tr>{head}<th></tr>{''.join(rows)}</table></section>"


def _errors(document: dict[str, Any]) -> str:
    rows = [f"<tr><td class='n'>{count:,}<td>{escape(text)}</tr>" for text, count in document["errors"].items()]
    if not rows and not document["examples"]:
        return ""
    found = _list(document["examples"])
    return f"<section><h2>What went wrong</h2>{found}<table>{''.join(rows)}</table></section>"


def summary(outcome: Outcome) -> str:
    """Lines for a terminal."""
    document = outcome.document()
    lines = [str(check) for check in outcome.checks]
    lines += [f"note  {text}" for text in outcome.remarks]
    lines += [f"      {text}" for text in document["examples"]]
    lines += [f"      {count:,} × {text}" for text, count in list(document["errors"].items())[:5]]
    return "\n".join(lines)
