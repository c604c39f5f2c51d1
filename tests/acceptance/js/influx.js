// `@influxdata/influxdb-client`: what it is told when it is wrong, then a stream by its own batching and retries.
// Usage: node influx.js URL KEY DEVICE COUNT. Says what it met on standard output, one JSON object a line.

import { InfluxDB, Point } from "@influxdata/influxdb-client";

const [url, key, device, count] = process.argv.slice(2);
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

let written = 0;
const api = new InfluxDB({ url, token: key }).getWriteApi("o", "b", "ms", {
  batchSize: 20,
  flushInterval: 100,
  minRetryDelay: 300,
  maxRetryDelay: 2_000,
  maxRetries: 50,
  writeFailed: (error) => void say({ again: error.statusCode ?? 0 }),
  writeSuccess: (lines) => void (written += lines.length),
});
for (let number = 0; number < Number(count); number += 1) {
  api.writePoint(new Point("stream").tag("host", device).floatField("value", number).stringField("note", "text").timestamp(baseMs + number));
  await pause(20);
}
while (written < Number(count)) await pause(100); // closing it drops what waits to be tried again
await api.close();
say({ done: true });
