/** Sluice's HTTP interface, as one reader with one key sees it. */

const REQUEST_TIMEOUT_MS = 10_000;
const SKEW_NOTICED_MS = 2_000; // the Date header is in whole seconds: a smaller difference is none

/** An answer that is not a success; `status` 0 where there was no answer at all. */
export class ApiError extends Error {
  constructor(status, message, retryAfterMs = 0) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

export class Api {
  #key; // here and in Live's token, nowhere else: never in a URL, a cookie or storage
  #signal;
  #skewMs = 0;

  /** @param {string} key  @param {AbortSignal} signal ends every request when the key is forgotten */
  constructor(key, signal) {
    this.#key = key;
    this.#signal = signal;
  }

  /** What time it is on the server, in milliseconds: ages must not depend on a viewer's wrong clock. */
  now() {
    return Date.now() + this.#skewMs;
  }

  /** One page of the devices: `{items: [{device, last_seen, …}], next}`. */
  devices(limit, cursor) {
    return this.#get("/v1/devices", { limit, cursor });
  }

  /** The newest value of each of a device's series. */
  latest(device) {
    return this.#get(`/v1/devices/${encodeURIComponent(device)}/latest`);
  }

  /** One page of alerts in a state. */
  alerts(state, limit, cursor) {
    return this.#get("/v1/alerts", { state, limit, cursor });
  }

  /** The rules. */
  rules() {
    return this.#get("/v1/rules");
  }

  async #get(path, parameters = {}) {
    const url = new URL(path, location.origin);
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined && value !== null) url.searchParams.set(name, value);
    }
    const headers = { Authorization: `Bearer ${this.#key}`, Accept: "application/json" };
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    const asked = Date.now();
    try {
      const response = await fetch(url, { headers, signal, cache: "no-store", credentials: "omit" });
      this.#readClock(response.headers.get("Date"), asked);
      if (response.ok) return await response.json();
      throw await problemOf(response);
    } catch (error) {
      if (error instanceof ApiError || this.#signal.aborted) throw error;
      throw new ApiError(0, "The server does not answer.");
    }
  }

  #readClock(date, asked) {
    if (!date) return;
    const skew = Date.parse(date) + 500 - (asked + Date.now()) / 2; // +500: Date is cut to whole seconds
    this.#skewMs = Math.abs(skew) > SKEW_NOTICED_MS ? skew : 0;
  }
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const message = problem.detail ?? problem.title ?? `The server answered ${response.status}.`;
  return new ApiError(response.status, message, (Number.isFinite(seconds) ? seconds : 0) * 1_000);
}
