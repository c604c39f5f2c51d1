import { formatBytes, formatCount, formatDuration, formatSeconds, formatUtc, formatValue } from "../format.js";
import { growth, mean, quantile } from "./figures.js";

const known = (value, format) => (value == null ? "–" : format(value));
const rate = (value, unit = "/s") => `${formatValue(value < 10 ? Number(value.toFixed(1)) : value)} ${unit}`;
const percent = (value) => `${formatValue(value)} %`;

// What facts read of the figures:
const lately = (measure, format) => (figures) => known(figures.lately(measure), format);
const count = (part, name, format = formatCount) => ({ latest }) => known(latest[part][name], format);
const filled = (name, format) => ({ latest: { queue } }) => `${format(queue[name])} of ${format(queue[`${name}_limit`])}`;

const written = (name) => growth((sample) => sample.written[name]);
const answered = growth((sample) => sample.written.batches + sample.refused.reduce((sum, each) => sum + each.count, 0));
const share = (stage, q) => quantile(({ latency }) => latency[stage], q);
const both = (stage) => (figures) => [0.5, 0.99].map((q) => lately(share(stage, q), formatSeconds)(figures)).join(" · ");
const full = (from, { queue }) => 100 * Math.max(queue.rows / queue.rows_limit, queue.bytes / queue.bytes_limit);

/** Facts are `[label, read(figures), name]`, the large one without a label. */
export const PANELS = [
	{
		title: "Throughput",
		facts: [
			["", lately(written("accepted"), (value) => rate(value, "readings/s")), "accepted"],
			["Requests answered", lately(answered, rate)],
			["Duplicates", lately(written("duplicates"), rate)],
			["Decoded", lately(written("bytes"), (bytes) => `${formatBytes(bytes)}/s`)],
			["Stored since the start", count("written", "accepted"), "total"],
		],
		trace: { label: "Readings stored a second", measures: [written("accepted")], format: rate },
	},
	{
		title: "Latency, from arrival to COMMIT",
		facts: [
			["", lately(share("stored", 0.99), (p99) => `${formatSeconds(p99)} p99`), "p99"],
			["p50", lately(share("stored", 0.5), formatSeconds)],
			["Queue, p50 · p99", both("queue")],
			["Flush, p50 · p99", both("flush")],
			["Decoding, mean", lately(mean(({ latency }) => latency.decode), formatSeconds)],
		],
		trace: {
			label: "From arrival to COMMIT",
			measures: [share("stored", 0.99), share("stored", 0.5)],
			format: formatSeconds,
			note: "— p99  ╌ p50",
		},
	},
	{
		title: "Queue",
		note: "What is over a limit is refused with 503 and a time to come again.",
		facts: [
			["", ({ latest }) => `${percent(full(null, latest))} full`],
			["Readings", filled("rows", formatCount)],
			["Bytes", filled("bytes", formatBytes)],
			["Bodies coming in", filled("intake_bytes", formatBytes)],
		],
		trace: { label: "How full the queue was", measures: [full], format: percent, least: 10 },
	},
	{
		title: "Refused and failed",
		columns: ["Reason", "Now", "Since the start"],
		empty: "Nothing was refused since the start.",
		rows: (figures) => reasons(figures.latest).slice(0, 12).map(({ id, total }) => {
			const now = figures.lately(growth((sample) => reasons(sample).find((each) => each.id === id)?.total ?? 0));
			return { id, cells: [now ? rate(now) : "0", formatCount(total)] };
		}),
	},
	{
		title: "Workers",
		note: "Late: by how much its event loop was; above 50 ms everything waits.",
		columns: ["Process", "Up", "Processor", "Memory", "Late"],
		empty: "No worker has told of itself yet.",
		rows: (figures) => figures.latest.workers.map(({ pid, started_at: started, cpu_s: used, resident_bytes: memory, lag_s: late }) => {
			const busy = growth((sample) => 100 * (sample.workers.find((worker) => worker.pid === pid)?.cpu_s ?? used));
			const up = formatDuration(figures.latest.ms - Date.parse(started));
			const cells = [up, lately(busy, (value) => percent(Math.round(value)))(figures), formatBytes(memory), formatSeconds(late)];
			return { id: pid, hint: `since ${formatUtc(started)}`, cells };
		}),
	},
	{
		title: "Live and reading",
		facts: [
			["Connections to /ws", count("live", "connections")],
			["Closed as too slow", count("live", "evictions")],
			["Queries running · waiting", ({ latest: { reads } }) => `${reads.running} · ${reads.waiting}`],
		],
	},
	{
		title: "Webhooks",
		note: "A dash: another node is elected to send.",
		facts: [
			["Waiting", count("webhooks", "waiting")],
			["Held: silenced or flapping", count("webhooks", "held")],
			["Oldest waits", count("webhooks", "oldest_s", (seconds) => formatDuration(seconds * 1_000))],
			["Attempts", ({ latest }) => latest.webhooks.attempts.map((each) => `${formatCount(each.count)} ${each.outcome}`).join(", ") || "none"],
		],
	},
];

function reasons({ refused, failures: { credentials, hindered, streams } }) {
	return [
		...refused.map(({ status, code, count: total }) => ({ id: `${status} ${code}`, total })),
		...credentials.map(({ door, count: total }) => ({ id: `no valid key (${door})`, total })),
		...hindered.map(({ code, count: total }) => ({ id: `batch set aside: ${code}`, total })),
		...streams.map(({ cause, count: total }) => ({ id: `export cut: ${cause}`, total })),
	].sort((a, b) => b.total - a.total);
}
