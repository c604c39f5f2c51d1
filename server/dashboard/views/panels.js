/** The panels of the view `system`: each draws itself from the figures. */

import { h, setAttribute, setShape, setText, shape } from "../dom.js";
import { formatBytes, formatCount, formatDuration, formatSeconds, formatValue } from "../format.js";
import { Trace } from "./trace.js";

const NONE = "–";
const rate = (value, unit) => (value === null ? NONE : `${formatValue(value < 10 ? Number(value.toFixed(1)) : value)} ${unit}`);
const seconds = (value) => (value === null ? NONE : formatSeconds(value));
const share = (value, limit) => (limit ? `${formatValue((100 * value) / limit)} %` : NONE);

/** A panel with a title, rows of facts, and what else is given. */
export class Panel {
  #facts = new Map();

  constructor(title, note, facts, ...more) {
    const list = facts.map(([name, label]) => {
      const value = h("dd", { "data-figure": name });
      this.#facts.set(name, value);
      return h("div", {}, h("dt", {}, label), value);
    });
    const hint = note && h("p", { class: "muted small" }, note);
    this.root = h("section", { class: "panel figure" }, h("h2", {}, title), more, h("dl", {}, list), hint);
  }

  put(name, text, title = "") {
    const value = this.#facts.get(name);
    setText(value, text);
    if (title) setAttribute(value, "title", title);
  }
}

/** Whether the services that this node needs answer. */
export class Services extends Panel {
  constructor() {
    const service = (name) =>
      h("p", { class: "service", "data-service": name }, shape("connecting"), h("b", {}, name), h("span", {}));
    super("Services", "", [], ["PostgreSQL", "Redis"].map(service));
  }

  draw({ latest: { asked, redis, workers } }) {
    const answers = `ready; answered worker ${asked.worker} in ${formatValue(asked.check_ms)} ms`;
    this.#show("PostgreSQL", asked.ready, asked.ready ? answers : asked.reason);
    const heard = `${redis.hearing} of ${workers.length} workers hear each other through it`;
    const without = "alerts and values go by PostgreSQL meanwhile, up to 2 s later";
    const whole = redis.hearing >= workers.length;
    this.#show("Redis", whole, whole ? heard : `${heard}; ${without}`);
  }

  /** Say that what is shown is of before: nobody knows how it is now. */
  doubt() {
    for (const line of this.root.querySelectorAll(".service")) {
      setAttribute(line, "data-well", "unknown");
      setShape(line, "connecting");
      if (!line.lastChild.textContent.startsWith("not known")) line.lastChild.prepend("not known; before: ");
    }
  }

  #show(name, well, text) {
    const line = this.root.querySelector(`[data-service="${name}"]`);
    setAttribute(line, "data-well", String(well));
    setShape(line, well ? "resolved" : "warning");
    setText(line.lastChild, text);
  }
}

export class Throughput extends Panel {
  #trace = new Trace("Readings stored a second, over the last minutes", (value) => rate(value, "/s"));
  #large = h("p", { class: "large", "data-figure": "accepted" });

  constructor() {
    super("Throughput", "", [
      ["requests", "Requests answered"], ["duplicates", "Duplicates"], ["bytes", "Decoded"], ["total", "Stored since the start"],
    ]);
    this.root.querySelector("h2").after(this.#large, this.#trace.root);
  }

  draw(figures) {
    const refused = (sample) => sample.refused.reduce((sum, { count }) => sum + count, 0);
    setText(this.#large, rate(figures.rate(({ written }) => written.accepted), "readings/s"));
    this.put("requests", rate(figures.rate((sample) => sample.written.batches + refused(sample)), "/s"));
    this.put("duplicates", rate(figures.rate(({ written }) => written.duplicates), "/s"));
    const bytes = figures.rate(({ written }) => written.bytes);
    this.put("bytes", bytes === null ? NONE : `${formatBytes(bytes)}/s`);
    this.put("total", formatCount(figures.latest.written.accepted));
    this.#trace.draw([figures.rates(({ written }) => written.accepted)], figures.latest.ms);
  }
}

export class Latency extends Panel {
  #trace = new Trace("From arrival to COMMIT, over the last minutes", seconds, { lines: 2, note: "— p99  ╌ p50" });
  #large = h("p", { class: "large", "data-figure": "p99" });

  constructor() {
    super("Latency, from arrival to COMMIT", "Of the oldest batch of each group: most are answered sooner.", [
      ["p50", "p50"], ["queue", "Queue, p50 · p99"], ["flush", "Flush, p50 · p99"], ["decode", "Decoding, mean"],
    ]);
    this.root.querySelector("h2").after(this.#large, this.#trace.root);
  }

  draw(figures) {
    const of = (stage) => ({ latency }) => latency[stage];
    const both = (stage) => [0.5, 0.99].map((q) => seconds(figures.quantile(of(stage), q))).join(" · ");
    const p99 = figures.quantile(of("stored"), 0.99);
    setText(this.#large, p99 === null ? "nothing written" : `${seconds(p99)} p99`);
    this.put("p50", seconds(figures.quantile(of("stored"), 0.5)));
    this.put("queue", both("queue"));
    this.put("flush", both("flush"));
    this.put("decode", seconds(figures.mean(of("decode"))));
    const lines = [0.99, 0.5].map((q) => figures.quantiles(of("stored"), q));
    this.#trace.draw(lines, figures.latest.ms);
  }
}

export class Waiting extends Panel {
  #trace = new Trace("How full the queue was, over the last minutes", (value) => `${formatValue(value)} %`);
  #large = h("p", { class: "large", "data-figure": "full" });

  constructor() {
    super("Queue", "What is over a limit is refused with 503 and a time to come again.", [
      ["rows", "Readings"], ["bytes", "Bytes"], ["intake", "Bodies coming in"],
    ]);
    this.root.querySelector("h2").after(this.#large, this.#trace.root);
  }

  draw(figures) {
    const { queue } = figures.latest;
    const full = ({ queue: waits }) => 100 * Math.max(waits.rows / waits.rows_limit, waits.bytes / waits.bytes_limit);
    setText(this.#large, `${formatValue(full(figures.latest))} % full`);
    this.put("rows", `${formatCount(queue.rows)} of ${formatCount(queue.rows_limit)}`);
    this.put("bytes", `${formatBytes(queue.bytes)} of ${formatBytes(queue.bytes_limit)}`);
    const intake = `${formatBytes(queue.intake_bytes)} of ${formatBytes(queue.intake_bytes_limit)}`;
    this.put("intake", intake, share(queue.intake_bytes, queue.intake_bytes_limit));
    this.#trace.draw([figures.values(full)], figures.latest.ms, 10);
  }
}

export class Live extends Panel {
  constructor() {
    super("Live and reading", "", [
      ["connections", "Connections to /ws"], ["subscriptions", "Subscriptions"], ["watched", "Devices watched"],
      ["evictions", "Closed as too slow"], ["queries", "Queries running · waiting"], ["streams", "Exports under way"],
    ]);
  }

  draw({ latest: { live, reads } }) {
    this.put("connections", formatCount(live.connections));
    this.put("subscriptions", formatCount(live.subscriptions));
    this.put("watched", formatCount(live.watched_devices));
    this.put("evictions", formatCount(live.evictions));
    this.put("queries", `${reads.running} · ${reads.waiting}`);
    this.put("streams", formatCount(reads.streams));
  }
}

export class Webhooks extends Panel {
  constructor() {
    const elsewhere = "A dash: another node is elected to send, and knows.";
    super("Webhooks", elsewhere, [
      ["waiting", "Waiting"], ["held", "Held: silenced or flapping"], ["oldest", "Oldest waits"], ["attempts", "Attempts"],
    ]);
  }

  draw({ latest: { webhooks } }) {
    const known = (value, format) => (value === null ? NONE : format(value));
    this.put("waiting", known(webhooks.waiting, formatCount));
    this.put("held", known(webhooks.held, formatCount));
    this.put("oldest", known(webhooks.oldest_s, (value) => formatDuration(value * 1_000)));
    const attempts = webhooks.attempts.map(({ outcome, count }) => `${formatCount(count)} ${outcome}`);
    this.put("attempts", attempts.join(", ") || "none");
  }
}

export class Storage extends Panel {
  constructor() {
    super("Storage", "Looked at once a minute by the elected worker.", [
      ["readings", "Rows, days"], ["runs", "Runs, days"], ["packed", "Packed, days"],
      ["series", "Series in memory"], ["rollups", "Rolled up until"],
    ]);
  }

  draw({ latest: { storage } }) {
    for (const form of ["readings", "runs", "packed"]) {
      const bytes = storage.bytes[form];
      this.put(form, bytes === undefined ? NONE : `${formatCount(storage.partitions[form])} · ${formatBytes(bytes)}`);
    }
    this.put("series", formatCount(storage.series_cached));
    const behind = storage.rollups_behind_s;
    this.put("rollups", behind === null ? NONE : `${formatDuration(behind * 1_000)} ago`);
  }
}
