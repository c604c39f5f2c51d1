/**
 * Sluice's HTTP interface: the one place that fetches. The session's cookie says who asks; what changes something
 * carries the session's CSRF token too.
 */

const REQUEST_TIMEOUT_MS = 10_000;
const SAFE = new Set(["GET", "HEAD"]);

/** An answer that is not a success. */
export class ApiError extends Error {
  /** The HTTP status; 0 where there was no answer at all. */
  status;
  /** What was wrong where in the body: `[{loc: ["condition", "levels", 0], code, message}]`, often empty. */
  errors;
  /** For how long the server asks to be left alone, in milliseconds; 0 where it does not say. */
  retryAfterMs;
  /** How the server names the problem, such as "quota"; "" where it does not. */
  code;

  constructor(status, message, { errors = [], retryAfterMs = 0, code = "" } = {}) {
    super(message);
    Object.assign(this, { status, errors, retryAfterMs, code });
  }
}

export class Api {
  #clock;
  #session;
  #signal;

  /**
   * @param {Clock} clock learns the server's time  @param {Session} session has `csrf`, `renew()` and `lost(error)`
   * @param {AbortSignal} signal ends every request that is under way
   */
  constructor(clock, session, signal) {
    this.#clock = clock;
    this.#session = session;
    this.#signal = signal;
  }

  /** The same interface for a part of the page that ends sooner. */
  within(signal) {
    return new Api(this.#clock, this.#session, this.#signal ? AbortSignal.any([this.#signal, signal]) : signal);
  }

  /** GET; parameters that are undefined, null or "" are left out, those that are arrays repeated. */
  get(path, query = {}, options = {}) {
    return this.request("GET", path, { ...options, query });
  }

  /** POST JSON. */
  post(path, body, options = {}) {
    return this.request("POST", path, { ...options, body });
  }

  /** PUT JSON. */
  put(path, body, options = {}) {
    return this.request("PUT", path, { ...options, body });
  }

  /** DELETE. */
  delete(path, options = {}) {
    return this.request("DELETE", path, options);
  }

  /**
   * Ask, and answer with the parsed JSON (null where there is no body).
   * @param {{query?: object, body?: any, key?: string, timeoutMs?: number, quiet?: boolean, known?: object}} options
   *   `key` asks with a key instead of the session; `quiet` keeps a 401 from ending the session; `known`, at first {},
   *   keeps the answer and its ETag, so that one that has not changed is not sent again
   * Throws ApiError, and AbortError when the signal ends it.
   */
  async request(method, path, options = {}) {
    try {
      return await this.#ask(method, path, options);
    } catch (error) {
      if (error.status === 401 && !options.quiet) this.#session.lost(error);
      // Another tab may have logged in since: its session is ours too, with another token.
      const stale = error.status === 403 && !SAFE.has(method) && !options.key && !options.again;
      if (stale && (await this.#session.renew())) return this.request(method, path, { ...options, again: true });
      throw error;
    }
  }

  async #ask(method, path, { query = {}, body, key, known = {}, timeoutMs = REQUEST_TIMEOUT_MS }) {
    const headers = { Accept: "application/json" };
    if (key) headers.Authorization = `Bearer ${key}`;
    else if (!SAFE.has(method) && this.#session.csrf) headers["X-CSRF-Token"] = this.#session.csrf;
    if (known.etag) headers["If-None-Match"] = known.etag;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const patience = AbortSignal.timeout(timeoutMs);
    const signal = this.#signal ? AbortSignal.any([this.#signal, patience]) : patience;
    const asked = Date.now();
    const request = { method, headers, signal, cache: "no-store", credentials: "same-origin" };
    if (body !== undefined) request.body = JSON.stringify(body);
    try {
      const response = await fetch(urlOf(path, query), request);
      this.#clock.learn(response.headers.get("Date"), asked);
      if (response.status === 304) return known.answer;
      if (!response.ok) throw await problemOf(response);
      known.answer = response.status === 204 ? null : await response.json();
      known.etag = response.headers.get("ETag");
      return known.answer;
    } catch (error) {
      if (error instanceof ApiError || this.#signal?.aborted) throw error;
      throw new ApiError(0, "The server does not answer.");
    }
  }
}

function urlOf(path, query) {
  const url = new URL(path, location.origin);
  for (const [name, values] of Object.entries(query)) {
    for (const value of [values].flat()) {
      if (value !== undefined && value !== null && value !== "") url.searchParams.append(name, value);
    }
  }
  return url;
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const message = problem.detail ?? problem.title ?? `The server answered ${response.status}.`;
  return new ApiError(response.status, message, {
    errors: problem.errors ?? [],
    retryAfterMs: (Number.isFinite(seconds) ? seconds : 0) * 1_000,
    code: problem.code ?? "",
  });
}
