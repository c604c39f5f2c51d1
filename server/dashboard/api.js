/** Sluice's HTTP interface: the one place that fetches. */

const REQUEST_TIMEOUT_MS = 10_000;

/** `status` is 0 where there was no answer; `errors` say what was wrong where: `[{loc: ["levels", 0], code, message}]`. */
export class ApiError extends Error {
	constructor(status, message, errors = [], retryAfterMs = 0) {
		super(message);
		Object.assign(this, { status, errors, retryAfterMs });
	}
}

/** An address with a query: what is undefined or null is left out, arrays are repeated. */
export function withQuery(path, query) {
	const pairs = Object.entries(query).flatMap(([name, values]) => [values].flat().map((value) => [name, value]));
	const said = new URLSearchParams(pairs.filter(([, value]) => (value ?? null) !== null));
	return said.size ? `${path}?${said}` : path;
}

export class Api {
	#clock;
	#session;
	#signal;

	constructor(clock, session, signal) {
		this.#clock = clock;
		this.#session = session;
		this.#signal = signal;
	}

	within(signal) {
		return new Api(this.#clock, this.#session, AbortSignal.any([this.#signal, signal]));
	}

	get(path, query = {}, options = {}) {
		return this.request("GET", withQuery(path, query), options);
	}

	post(path, body, options = {}) {
		return this.request("POST", path, { ...options, body });
	}

	put(path, body) {
		return this.request("PUT", path, { body });
	}

	delete(path, options) {
		return this.request("DELETE", path, options);
	}

	/** `key` asks with a key instead of the session; `quiet` keeps a 401 from ending that; `known` keeps answer and ETag. */
	async request(method, path, options = {}) {
		try {
			return await this.#ask(method, path, options);
		} catch (error) {
			if (error.status === 401 && !options.quiet) this.#session.lost();
			// Another tab may have logged in since: its session is ours too, with another token.
			const stale = error.status === 403 && method !== "GET" && !options.key && !options.again;
			if (stale && (await this.#session.renew())) return this.request(method, path, { ...options, again: true });
			throw error;
		}
	}

	async #ask(method, path, { body, key, known = {}, timeoutMs = REQUEST_TIMEOUT_MS }) {
		const headers = { Accept: "application/json" };
		if (key) headers.Authorization = `Bearer ${key}`;
		else if (method !== "GET") headers["X-CSRF-Token"] = this.#session.csrf;
		if (known.etag) headers["If-None-Match"] = known.etag;
		if (body !== undefined) headers["Content-Type"] = "application/json";
		const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(timeoutMs)]);
		const asked = Date.now();
		try {
			const response = await fetch(path, { method, headers, signal, cache: "no-store", body: JSON.stringify(body) });
			this.#clock.learn(response.headers.get("Date"), asked);
			if (response.status === 304) return known.answer;
			if (!response.ok) throw await problemOf(response);
			known.answer = response.status === 204 ? null : await response.json();
			known.etag = response.headers.get("ETag");
			return known.answer;
		} catch (error) {
			if (error instanceof ApiError || this.#signal.aborted) throw error;
			throw new ApiError(0, "The server does not answer.");
		}
	}
}

async function problemOf(response) {
	const { detail, title, errors } = await response.json().catch(() => ({}));
	const seconds = Number.parseInt(response.headers.get("Retry-After"), 10) || 0;
	return new ApiError(response.status, detail ?? title ?? `The server answered ${response.status}.`, errors, seconds * 1_000);
}
