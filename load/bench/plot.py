"""The picture of a run: CPU a reading as stacked bars beside the bare COPY, throughput and latency in words."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from load.bench.result import Result

PARTS = {"server": (61, 122, 191), "postgres": (231, 145, 60), "redis": (196, 60, 72)}
LIMITS = {"bare COPY, plain rows": (30, 140, 80), "bare COPY, as stored": (150, 80, 170)}
INK, PALE = (40, 40, 40), (150, 150, 150)

WIDTH, ROW, HEAD, FOOT = 1_180, 30, 84, 40  # pixels
NAME_X, BAR_X, BAR_WIDTH, TEXT_X = 20, 250, 520, 790


def plot(results: Sequence[Result], path: Path) -> None:
    """Draw it. Bars of one batch size share a scale: a reading alone costs twenty times one among a thousand."""
    groups = [list(group) for _, group in groupby(sorted(results, key=batch_of), key=batch_of)]
    height = HEAD + FOOT + ROW * len(results) + ROW // 2 * len(groups)
    image = Image.new("RGB", (WIDTH, height), "white")
    draw = ImageDraw.Draw(image)
    _draw_head(draw, results)
    y = HEAD
    for group in groups:
        scale = max(max(result.total_us, *limits_of(result).values()) for result in group)
        for result in group:
            _draw_row(draw, result, y, BAR_WIDTH / (scale or 1))
            y += ROW
        y += ROW // 2
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def batch_of(result: Result) -> int:
    """Readings in one request."""
    return result.readings // max(1, result.requests)


def segments(result: Result, pixels_per_us: float) -> Iterator[tuple[str, float, float]]:
    """Each part of a bar: its name, where it begins, where it ends."""
    x = float(BAR_X)
    for part in PARTS:
        width = result.cpu_us.get(part, 0.0) * pixels_per_us
        if width > 0:
            yield part, x, x + width
            x += width


def _draw_head(draw: ImageDraw.ImageDraw, results: Sequence[Result]) -> None:
    pinned = "one core for all of the server's side" if all(result.pinned for result in results) else "not pinned"
    draw.text((NAME_X, 14), "CPU microseconds a durable reading", INK, font(20))
    draw.text((BAR_X + 140, 19), f"{pinned}; each batch size to its own scale", PALE, font(13))
    x = NAME_X
    for name, colour in [*PARTS.items(), *LIMITS.items()]:
        draw.rectangle((x, 52, x + 14, 66), colour)
        draw.text((x + 20, 51), name, INK, font(13))
        x += 44 + 8 * len(name)
    draw.text((TEXT_X, 51), "us, readings/s, p50 / p99 ms at 0.6 of that", PALE, font(13))


def _draw_row(draw: ImageDraw.ImageDraw, result: Result, y: int, pixels_per_us: float) -> None:
    name = result.case if result.subject == "sluice" else f"{result.case} {result.subject}"
    draw.text((NAME_X, y + 3), name, INK, font(14))
    for part, begin, end in segments(result, pixels_per_us):
        draw.rectangle((round(begin), y + 2, round(end), y + 20), PARTS[part])
    for name, limit in limits_of(result).items():
        x = BAR_X + round(limit * pixels_per_us)
        if limit:
            draw.rectangle((x - 1, y - 1, x + 1, y + 23), LIMITS[name])
    words = f"{result.total_us:.3g}   {result.readings_per_s:,.0f}/s"
    if result.open_ms:
        words += f"   {result.open_ms['p50']:.1f} / {result.open_ms['p99']:.1f} ms"
    draw.text((TEXT_X, y + 3), words + ("   !!" if result.faults else "   ?" if result.doubts else ""), INK, font(14))


def limits_of(result: Result) -> dict[str, float]:
    """The bare COPYs by their names in the legend, µs a reading; 0 where one was not measured."""
    known = (0.0 if math.isnan(us) else us for us in (result.limit_us, result.limit_packed_us))
    return dict(zip(LIMITS, known, strict=True))


def font(size: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    """The one that Pillow brings, in pixels."""
    return ImageFont.load_default(size)
