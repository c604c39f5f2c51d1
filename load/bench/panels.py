"""The chart of growth: one panel an axis, CPU a reading over what grows, both in powers of ten."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw

from load.bench.axis import UNITS, Axis
from load.bench.plot import INK, LIMITS, PALE, font
from load.bench.result import Result

CASES = ((61, 122, 191), (231, 145, 60))
"""Colours of an axis' cases, in order."""
MANY = (90, 90, 90)
"""Colour of the one line through all the cases of `batch`."""

WIDTH, HEIGHT, ABREAST, HEAD = 560, 330, 2, 78  # pixels: of a panel, panels beside each other, what stands above all
LEFT, RIGHT, TOP, BOTTOM = 58, 24, 40, 56  # of a panel: what is beside the field
NOTED = 0.5  # in powers of ten: a point with a note stands so far beside the one without

Place = tuple[float, float]


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw it."""
    axes = list(dict.fromkeys(result.axis for result in results))
    abreast = min(ABREAST, len(axes))
    lines = -(-len(axes) // abreast)
    image = Image.new("RGB", (max(abreast * WIDTH, 2 * WIDTH), HEAD + lines * HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    _draw_head(pen)
    for number, axis in enumerate(axes):
        corner = number % abreast * WIDTH, HEAD + number // abreast * HEIGHT
        _draw_panel(pen, [result for result in results if result.axis == axis], corner)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def columns(results: Sequence[Result]) -> dict[tuple[int, str], float]:
    """Where a panel's points stand, in powers of ten: 0 one step before the least other, notes beside their point."""
    keys = sorted({(result.point, result.note) for result in results})
    powers = [math.log10(point) for point, _ in keys if point]
    first = min(powers, default=1.0) - 1
    return {(point, note): (math.log10(point) if point else first) + (NOTED if note else 0) for point, note in keys}


def span(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten that enclose what is known of these; at least one apart."""
    powers = [math.log10(value) for value in values if value > 0]
    low, high = math.floor(min(powers, default=0)), math.ceil(max(powers, default=1))
    return low, max(high, low + 1)


def lines_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """A panel's lines: a case each, along `batch` one through all."""
    made: dict[str, list[Result]] = {}
    for result in results:
        name = "rows" if result.axis == Axis.BATCH else result.case.removesuffix(f"-{result.point}w")
        made.setdefault(name, []).append(result)
    return made


class _Field:
    """A panel's field: from powers of ten to pixels."""

    def __init__(self, results: Sequence[Result], corner: tuple[int, int]) -> None:
        self.corner = corner
        self.columns = columns(results)
        known = [us for result in results for us in (result.total_us, result.limit_us, result.limit_packed_us)]
        self.low, self.high = span(known)
        self._first, self._last = min(self.columns.values()), max(self.columns.values())

    def x(self, result: Result) -> float:
        share = (self.columns[result.point, result.note] - self._first) / ((self._last - self._first) or 1)
        return self.corner[0] + LEFT + 20 + share * (WIDTH - LEFT - RIGHT - 50)

    def y(self, us: float) -> float:
        share = (math.log10(us) - self.low) / (self.high - self.low)
        return self.corner[1] + HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _draw_head(pen: ImageDraw.ImageDraw) -> None:
    pen.text((20, 12), "How it grows: CPU microseconds a durable reading", INK, font(20))
    x = 20
    for name, colour in {"100 rows": CASES[0], "1 row": CASES[1], **LIMITS}.items():
        pen.rectangle((x, 48, x + 14, 62), colour)
        pen.text((x + 20, 47), name, INK, font(13))
        x += 44 + 8 * len(name)
    pen.text((x, 47), "thin: PostgreSQL's part;  below: MB of a worker", PALE, font(13))


def _draw_panel(pen: ImageDraw.ImageDraw, results: Sequence[Result], corner: tuple[int, int]) -> None:
    field = _Field(results, corner)
    _draw_scales(pen, field, results)
    for line, shade_of_case in zip(lines_of(results).values(), CASES, strict=False):
        colour = MANY if line[0].axis == Axis.BATCH else shade_of_case
        for limit, shade in zip(("limit_us", "limit_packed_us"), LIMITS.values(), strict=True):
            _draw_line(pen, [(field.x(one), field.y(us)) for one in line if (us := getattr(one, limit)) > 0], shade, 1)
        storage = [(one, one.cpu_us.get("postgres", 0.0)) for one in line]
        _draw_line(pen, [(field.x(one), field.y(us)) for one, us in storage if us > 0], colour, 1)
        known = [one for one in line if one.total_us > 0]
        _draw_line(pen, [(field.x(one), field.y(one.total_us)) for one in known], colour, 3)
        for one in known:
            mark = "!" if one.faults else "?" if one.doubts else ""
            place = field.x(one), field.y(one.total_us) - 4
            pen.text(place, f"{one.total_us:.3g}{mark}", INK, font(12), anchor="mb")


def _draw_scales(pen: ImageDraw.ImageDraw, field: _Field, results: Sequence[Result]) -> None:
    left, top = field.corner
    axis = Axis(results[0].axis)
    pen.text((left + LEFT, top + 8), f"{axis.value}: {UNITS[axis]}", INK, font(15))
    for power in range(field.low, field.high + 1):
        y = field.y(10.0**power)
        pen.line((left + LEFT, y, left + WIDTH - RIGHT, y), (225, 225, 225))
        pen.text((left + LEFT - 6, y), f"{10.0**power:g}", INK, font(12), anchor="rm")
    for key in field.columns:
        here = [one for one in results if (one.point, one.note) == key]
        megabytes = max(one.memory_mb.get("rss", 0.0) for one in here)
        x, y = field.x(here[0]), top + HEIGHT - BOTTOM + 8
        pen.text((x, y), "half" if key[1] else short(key[0]), INK, font(12), anchor="mt")
        pen.text((x, y + 17), f"{megabytes:.0f}", PALE, font(12), anchor="mt")


def _draw_line(pen: ImageDraw.ImageDraw, places: Sequence[Place], colour: tuple[int, int, int], width: int) -> None:
    for start, end in pairwise(places):
        pen.line((*start, *end), colour, width)
    for x, y in places:
        pen.ellipse((x - width, y - width, x + width, y + width), colour)


def short(point: int) -> str:
    """A number on a scale: 0, 10, 10k, 100M."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if point >= size and point % size == 0:
            return f"{point // size}{unit}"
    return str(point)
