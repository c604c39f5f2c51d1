/** How the node is: what comes in, what waits, how long it takes, what is refused, and whether its services answer. */

import { h, setText } from "../dom.js";
import { formatDuration } from "../format.js";
import { reasonFor } from "../signin.js";
import { Figures } from "./figures.js";
import { Latency, Live, Services, Storage, Throughput, Waiting, Webhooks } from "./panels.js";
import { Refusals, Workers } from "./tables.js";

export const title = "System";

const POLL_MS = 2_000;
const DOUBTED_MS = 10_000; // a sample that old says nothing of how services are now
const PANELS = [Services, Throughput, Latency, Waiting, Refusals, Workers, Live, Webhooks, Storage];

/** Draw it, and ask every two seconds while somebody looks. */
export async function mount(root, { api, clock, signal }) {
  const source = h("p", { class: "muted small", "data-part": "source" }, "Asking …");
  const stalled = h("p", { class: "notice", role: "status", hidden: true });
  const grid = h("div", { class: "figures" });
  root.append(h("header", { class: "view-head" }, h("h1", {}, title), source), stalled, grid);

  const figures = new Figures();
  const panels = PANELS.map((Panel) => new Panel());
  const drawSource = () => {
    const { latest } = figures;
    if (!latest) return;
    const workers = latest.workers.length;
    const age = Math.max(0, clock.now() - latest.ms);
    setText(source, `Sluice ${latest.version} on ${latest.node}: all ${workers} of its workers together, `
      + `${age < 5_000 ? "now" : `as of ${formatDuration(age)} ago`}. Rates are of the last 10 s.`);
    source.classList.toggle("stale", age >= 5_000);
    if (age >= DOUBTED_MS) panels[0].doubt();
  };
  clock.tick(drawSource, signal);

  for (let first = true; !signal.aborted; first = false) {
    let pause = POLL_MS;
    try {
      const fresh = figures.add(await api.get("/v1/system"));
      if (first) grid.append(...panels.map((panel) => panel.root));
      if (fresh) panels.forEach((panel) => panel.draw(figures));
      drawSource();
      stalled.hidden = true;
    } catch (error) {
      if (signal.aborted || (first && error.status)) throw error;
      if (error.status === undefined) throw error; // a defect of ours
      stalled.hidden = false;
      setText(stalled, `${reasonFor(error)} The page keeps trying; what it shows was read before.`);
      if (first) grid.append(...panels.map((panel) => panel.root));
      pause = Math.max(POLL_MS, error.retryAfterMs);
    }
    if (first) root.removeAttribute("aria-busy");
    await rest(pause, signal);
  }
}

/** Rest for so long, and as long as the tab is hidden; nobody reads figures there. */
async function rest(ms, signal) {
  await once((done) => {
    const timer = setTimeout(done, ms);
    return () => clearTimeout(timer);
  }, signal);
  if (!document.hidden || signal.aborted) return;
  await once((done) => {
    document.addEventListener("visibilitychange", done);
    return () => document.removeEventListener("visibilitychange", done);
  }, signal);
}

/** Wait until `begin`'s `done` is called, or the view ends. */
function once(begin, signal) {
  return new Promise((resolve) => {
    const done = () => {
      end();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const end = begin(done);
    signal.addEventListener("abort", done);
  });
}
