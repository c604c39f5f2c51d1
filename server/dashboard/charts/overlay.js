/** What is drawn under and over the lines of a chart: bands beyond limits, and marks where alerts fired. */

import { SEVERITY_RANK } from "../alerts.js";
import { bandsOf } from "./limits.js";

const BAND_ALPHA = 0.1;
const MARK_PX = 5; // half of a shape's width
const MOST_MARKS = 400;

/** Under the lines: a band beyond each limit, with the limit itself as a line. */
export function drawBands(u, limits, palette) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  const y = (value) => Math.min(bbox.top + bbox.height, Math.max(bbox.top, u.valToPos(value, "y", true)));
  const { min, max } = u.scales.y;
  ctx.save();
  for (const { severity, from, to } of bandsOf(limits)) {
    const top = to === Infinity ? bbox.top : y(to);
    const bottom = from === -Infinity ? bbox.top + bbox.height : y(from);
    ctx.fillStyle = palette[severity];
    ctx.globalAlpha = BAND_ALPHA;
    ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
  }
  ctx.globalAlpha = 0.75;
  ctx.lineWidth = ratio;
  ctx.setLineDash([4 * ratio, 3 * ratio]);
  for (const { severity, value } of limits) {
    if (value < min || value > max) continue;
    ctx.strokeStyle = palette[severity];
    line(ctx, bbox.left, y(value), bbox.left + bbox.width, y(value));
  }
  ctx.restore();
}

/** Over the lines: a strip along the top for as long as an alert fired, with its severity's shape where it began. */
export function drawAlerts(u, alerts, palette, now) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  const size = MARK_PX * ratio;
  const right = bbox.left + bbox.width;
  const x = (seconds) => u.valToPos(seconds, "x", true);
  ctx.save();
  const ordered = alerts.slice(0, MOST_MARKS).sort((a, b) => SEVERITY_RANK[a.severity] - SEVERITY_RANK[b.severity]);
  for (const { severity, fired, resolved } of ordered) {
    const begin = x(fired);
    const end = x(resolved ?? now);
    if (end < bbox.left || begin > right) continue;
    const [left, width] = [Math.max(bbox.left, begin), Math.min(right, end) - Math.max(bbox.left, begin)];
    ctx.fillStyle = ctx.strokeStyle = palette[severity];
    ctx.globalAlpha = 0.07;
    ctx.fillRect(left, bbox.top, width, bbox.height);
    ctx.globalAlpha = 1;
    ctx.fillRect(left, bbox.top - 3 * ratio, Math.max(2 * ratio, width), 3 * ratio);
    ctx.lineWidth = ratio;
    if (resolved && end <= right) line(ctx, end, bbox.top - 3 * ratio, end, bbox.top + size);
    if (begin < bbox.left) continue;
    ctx.globalAlpha = 0.5;
    line(ctx, begin, bbox.top, begin, bbox.top + bbox.height);
    ctx.globalAlpha = 1;
    shape(ctx, severity, begin, bbox.top + size + ratio, size, palette.surface);
  }
  ctx.restore();
}

/** Points without neighbours, and what is newest. */
export function drawDots(u, line, colour) {
  const { ctx } = u;
  const columns = line.columns();
  ctx.save();
  ctx.fillStyle = colour;
  const dot = (seconds, value, radius) => {
    if (value === null || seconds < u.scales.x.min || seconds > u.scales.x.max) return;
    ctx.beginPath();
    ctx.arc(u.valToPos(seconds, "x", true), u.valToPos(value, "y", true), radius * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fill();
  };
  for (const place of columns.lone) dot(columns.x[place], columns.y[place], 1.75);
  const last = columns.x.at(-1);
  if (line.newest?.ts <= last + (line.level ?? 0)) dot(last, columns.y.at(-1), 2.5);
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
  ctx.beginPath();
  if (severity === "critical") polygon(ctx, x, y, size, 8, Math.PI / 8);
  else if (severity === "warning") polygon(ctx, x, y, size * 1.15, 3, -Math.PI / 2);
  else ctx.arc(x, y, size * 0.9, 0, 2 * Math.PI);
  ctx.fill();
  ctx.strokeStyle = edge;
  ctx.stroke();
}

function polygon(ctx, x, y, size, corners, turn) {
  for (let corner = 0; corner < corners; corner++) {
    const angle = turn + (corner * 2 * Math.PI) / corners;
    ctx.lineTo(x + size * Math.cos(angle), y + size * Math.sin(angle));
  }
  ctx.closePath();
}
