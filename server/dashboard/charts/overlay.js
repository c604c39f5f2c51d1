/** What is drawn under and over the lines of a chart: bands beyond limits, and marks where alerts fired. */

import { SEVERITY_RANK } from "../alerts.js";
import { bandsOf } from "./limits.js";

const BAND_ALPHA = 0.1;
const MARK_PX = 5; // half of a shape's width
const STRIP_PX = 3;

/** Under the lines: a band beyond each limit, with the limit itself as a line. */
export function drawBands({ ctx, bbox, scales, valToPos }, limits, colours) {
  const { left, top, width, height } = bbox;
  const y = (value) => Math.min(top + height, Math.max(top, valToPos(value, "y", true)));
  ctx.save();
  ctx.globalAlpha = BAND_ALPHA;
  for (const { severity, from, to } of bandsOf(limits)) {
    const [high, low] = [to === Infinity ? top : y(to), from === -Infinity ? top + height : y(from)];
    ctx.fillStyle = colours[severity];
    ctx.fillRect(left, high, width, low - high);
  }
  ctx.globalAlpha = 0.75;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const { severity, value } of limits) {
    if (value < scales.y.min || value > scales.y.max) continue;
    ctx.strokeStyle = colours[severity];
    line(ctx, left, y(value), left + width, y(value));
  }
  ctx.restore();
}

/** Over the lines: a strip along the top for as long as an alert fired, with its severity's shape where it began. */
export function drawAlerts({ ctx, bbox, valToPos }, alerts, colours, now) {
  const [size, strip] = [MARK_PX * devicePixelRatio, STRIP_PX * devicePixelRatio];
  const { left, top, height } = bbox;
  const right = left + bbox.width;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  for (const { severity, fired, resolved } of [...alerts].sort((a, b) => SEVERITY_RANK[a.severity] - SEVERITY_RANK[b.severity])) {
    const [begin, end] = [fired, resolved ?? now].map((seconds) => valToPos(seconds, "x", true));
    if (end < left || begin > right) continue;
    const from = Math.max(left, begin);
    const width = Math.min(right, end) - from;
    ctx.fillStyle = ctx.strokeStyle = colours[severity];
    ctx.globalAlpha = 0.07;
    ctx.fillRect(from, top, width, height);
    ctx.globalAlpha = 1;
    ctx.fillRect(from, top - strip, Math.max(2 * devicePixelRatio, width), strip);
    if (resolved && end <= right) line(ctx, end, top - strip, end, top + size);
    if (begin < left) continue;
    ctx.globalAlpha = 0.5;
    line(ctx, begin, top, begin, top + height);
    ctx.globalAlpha = 1;
    shape(ctx, severity, begin, top + size + devicePixelRatio, size, colours.surface);
  }
  ctx.restore();
}

export function drawDots({ ctx, scales, valToPos }, series, colour) {
  const { x, y, lone } = series.columns();
  const dot = (place, radius) => {
    if (y[place] === null || x[place] < scales.x.min || x[place] > scales.x.max) return;
    ctx.beginPath();
    ctx.arc(valToPos(x[place], "x", true), valToPos(y[place], "y", true), radius * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fill();
  };
  ctx.save();
  ctx.fillStyle = colour;
  for (const place of lone) dot(place, 1.75);
  if (series.newest?.ts <= x.at(-1) + (series.level ?? 0)) dot(x.length - 1, 2.5);
  ctx.restore();
}

function line(ctx, x0, y0, x1, y1) {
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}

/** An octagon, a triangle or a circle, as everywhere on the page. */
function shape(ctx, severity, x, y, size, edge) {
  const [corners, turn, radius] = { critical: [8, Math.PI / 8, size], warning: [3, -Math.PI / 2, size * 1.15] }[severity] ?? [0, 0, size * 0.9];
  ctx.beginPath();
  if (!corners) ctx.arc(x, y, radius, 0, 2 * Math.PI);
  for (let corner = 0; corner < corners; corner++) {
    const angle = turn + (corner * 2 * Math.PI) / corners;
    ctx.lineTo(x + radius * Math.cos(angle), y + radius * Math.sin(angle));
  }
  ctx.closePath();
  ctx.fill();
  ctx.strokeStyle = edge;
  ctx.stroke();
}
