"""Plots as SVG, drawn here: a report has to open anywhere, in a mail or a build server that runs no scripts. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 26
LINES = 5
"""Of the grid, about."""


@dataclass(frozen=True, slots=True)
class Line:
    """One course: values at equal distances; None where there is none."""

    name: str
    values: Sequence[float | None]
    dashed: bool = False


def plot(lines: Sequence[Line], seconds: float, unit: str, *, log: bool = False) -> str:
    """All lines over the time, as an `<svg>` with its legend below; classes `c0`, `c1` … give the colours."""
    known = [value for line in lines for value in line.values if value is not None and (value > 0 or not log)]
    if not known:
        return "<p class='none'>none</p>"
    low, high, ticks = _scale(known, log=log)

    def y(value: float) -> float:
        place = _log(value) if log else value
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (place - low) / (high - low))

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(_told(lines, unit))}">']
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        anchor = "end" if share == 1 else "middle"
        label = clock(share * seconds)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{label}</text>')
    for number, line in enumerate(lines):
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<path class="line c{number}"{dashes} d="{_path(line.values, y, log=log)}"/>')
    parts.append("</svg><p class='legend'>")
    parts += [f'<span class="k{number}">{escape(line.name)}</span>' for number, line in enumerate(lines)]
    return "".join([*parts, f"<span class='unit'>{escape(unit)}</span></p>"])


def _path(values: Sequence[float | None], y: object, *, log: bool) -> str:
    """The line, in pieces where something is missing; a value alone is a short dash."""
    assert callable(y)  # noqa: S101 - for mypy
    step = (WIDTH - LEFT - RIGHT) / max(1, len(values))
    parts, pen = [], False
    for number, value in enumerate(values):
        if value is None or (log and value <= 0):
            pen = False
            continue
        x = LEFT + (number + 0.5) * step
        parts.append(f"{'L' if pen else 'M'}{x:.1f} {y(value):.1f}" + ("" if pen else "h0.1"))
        pen = True
    return "".join(parts)


def _scale(known: Sequence[float], *, log: bool) -> tuple[float, float, list[float]]:
    """Bounds of the axis, and where it is marked."""
    if log:
        low, high = math.floor(_log(min(known))), math.ceil(_log(max(known)))
        high = max(high, low + 1)
        return low, high, [10.0**power for power in range(low, high + 1)]
    top = max(*known, 1e-9)
    rough = top / LINES
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    count = math.ceil(top / step - 1e-9)
    return 0.0, count * step, [number * step for number in range(count + 1)]


def _log(value: float) -> float:
    return math.log10(value)


def _told(lines: Sequence[Line], unit: str) -> str:
    """What the plot shows, for those who do not see it."""
    ends = []
    for line in lines:
        if known := [value for value in line.values if value is not None]:
            ends.append(f"{line.name} from {short(min(known))} to {short(max(known))}")
    return f"{unit}: {'; '.join(ends)}"


def short(value: float) -> str:
    """A number on a scale: 0, 0.5, 20, 1.5k, 3M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def clock(seconds: float) -> str:
    """Minutes and seconds: 0:05; hours before them: 1:00:00."""
    whole = round(seconds)
    minutes = f"{whole // 60 % 60:02}:{whole % 60:02}" if whole >= 3_600 else f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3_600}:{minutes}" if whole >= 3_600 else minutes
