// `@influxdata/influxdb-client`: what it is told when it is wrong, then a stream by its own batching and retries.
// Usage: node influx.js URL KEY DEVICE. Streams until its standard input ends, has all of it stored, and says what it met
// on standard output, one JSON object a line; the last one is how many readings it sent.

import { InfluxDB, Point } from "@influxdata/influxdb-client";

const [url, key, device] = process.argv.slice(2);
const baseMs = Date.now() - 600_000;
const say = (what) => console.log(JSON.stringify(what));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function refused(lines, token) {
  const api = new InfluxDB({ url, token }).getWriteApi("o", "b", "ms", { maxRetries: 0, writeFailed: () => undefined });
  api.writeRecords(lines);
  await api.close().catch((error) => say({ refused: error.statusCode, message: error.json?.message ?? String(error) }));
}

await refused([`good,host=${device} v=1 ${baseMs}`, `bad,host=${device} v=nan`], key);
await refused(["m,host=a v=1"], "slk_wrong_key");
const ping = await fetch(`${url}/ping`);
say({ ping: ping.ok, version: ping.headers.get("x-influxdb-version"), health: "pass" });

let ended = false;
process.stdin.on("end", () => (ended = true)).resume();

// How often it tries again, and after how long, is left at the library's defaults: five times.
let sent = 0;
let written = 0;
let lost = 0;
const api = new InfluxDB({ url, token: key }).getWriteApi("o", "b", "ms", {
  batchSize: 20,
  flushInterval: 100,
  writeFailed: (error, lines, attempt) => {
    const last = attempt > 5;
    if (last) lost += lines.length;
    say({ [last ? "lost" : "again"]: error.statusCode ?? 0 });
  },
  writeSuccess: (lines) => void (written += lines.length),
});
while (!ended) {
  api.writePoint(new Point("stream").tag("host", device).floatField("value", sent).stringField("note", "text").timestamp(baseMs + sent));
  sent += 1;
  await pause(20);
}
while (written + lost < sent) await pause(100); // closing it drops what waits to be tried again
await api.close();
say({ done: sent });
