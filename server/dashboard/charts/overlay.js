import { covers, SEVERITY_RANK } from "../alerts.js";
import { byId } from "../dom.js";
import { sideOf } from "../views/rulewords.js";

const STRIP_PX = 3;
const MARK = 0.65; // of a shape, which is 16 pixels wide

export function limitsOf(rules, lines) {
	return rules
		.filter((rule) => rule.enabled && lines.some((line) => watches(rule, line)))
		.flatMap((rule) => levelsOf(rule.condition).map((level) => ({ ...level, rule })));
}

const watches = (rule, { metric, labels }) =>
	covers(rule.metric, metric) && Object.entries(rule.labels ?? {}).every(([name, value]) => labels[name] === value);

function levelsOf({ type, levels, outside, severity }) {
	if (type === "range") return ["below", "above"].map((side, place) => ({ severity, side, value: outside[place] }));
	if (type !== "threshold") return [];
	return levels.map((level) => ({ severity: level.severity, side: sideOf(level), value: level[sideOf(level)] }));
}

/** Each limit as a line, and a tint on what is beyond it. */
export function drawLimits({ ctx, bbox: { left, top, width, height }, scales, valToPos }, limits, colours) {
	ctx.save();
	ctx.lineWidth = devicePixelRatio;
	ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
	for (const { severity, side, value } of limits) {
		const y = Math.min(top + height, Math.max(top, valToPos(value, "y", true)));
		ctx.fillStyle = ctx.strokeStyle = colours[severity];
		ctx.globalAlpha = 0.1;
		ctx.fillRect(left, y, width, (side === "above" ? top : top + height) - y);
		ctx.globalAlpha = 0.75;
		if (value > scales.y.min && value < scales.y.max) line(ctx, left, y, left + width, y);
	}
	ctx.restore();
}

/** A strip for as long as an alert fired, with its severity's shape where it began. */
export function drawAlerts({ ctx, bbox: { left, top, width, height }, valToPos }, { alerts, now }, colours) {
	const right = left + width;
	const strip = STRIP_PX * devicePixelRatio;
	ctx.save();
	ctx.lineWidth = devicePixelRatio;
	for (const { severity, fired, resolved } of alerts.toSorted((a, b) => SEVERITY_RANK[a.severity] - SEVERITY_RANK[b.severity])) {
		const [begin, end] = [fired, resolved ?? now].map((seconds) => valToPos(seconds, "x", true));
		if (end < left || begin > right) continue;
		const from = Math.max(left, begin);
		const lasted = Math.min(right, end) - from;
		ctx.fillStyle = ctx.strokeStyle = colours[severity];
		ctx.globalAlpha = 0.07;
		ctx.fillRect(from, top, lasted, height);
		ctx.globalAlpha = 1;
		ctx.fillRect(from, top - strip, Math.max(2 * devicePixelRatio, lasted), strip);
		if (begin >= left) drawMark(ctx, severity, begin, top, height, colours.surface);
	}
	ctx.restore();
}

function drawMark(ctx, severity, x, top, height, edge) {
	const shape = new Path2D(byId(`shape-${severity}`).firstElementChild.getAttribute("d"));
	const scale = MARK * devicePixelRatio;
	ctx.save();
	ctx.globalAlpha = 0.5;
	line(ctx, x, top, x, top + height);
	ctx.globalAlpha = 1;
	ctx.translate(x - 8 * scale, top);
	ctx.scale(scale, scale);
	ctx.strokeStyle = edge;
	ctx.fill(shape);
	ctx.stroke(shape);
	ctx.restore();
}

function line(ctx, x0, y0, x1, y1) {
	ctx.beginPath();
	ctx.moveTo(x0, y0);
	ctx.lineTo(x1, y1);
	ctx.stroke();
}
