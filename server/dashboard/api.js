/** The one place that fetches. */

const REQUEST_TIMEOUT_MS = 10_000;

/** `status` is 0 where there was no answer; `errors`: `[{loc: ["levels", 0], code, message}]`. */
const problem = (status, message, errors = [], retryAfterMs = 0) =>
	Object.assign(new Error(message), { status, errors, retryAfterMs });

/** What is undefined or null is left out, arrays are repeated. */
export function withQuery(path, query) {
	const pairs = Object.entries(query).flatMap(([name, values]) => [values].flat().map((value) => [name, value]));
	const said = new URLSearchParams(pairs.filter(([, value]) => (value ?? null) !== null));
	return said.size ? `${path}?${said}` : path;
}

export function makeApi(clock, session, ending) {
	return {
		request,
		within: (signal) => makeApi(clock, session, AbortSignal.any([ending, signal])),
		get: (path, query = {}) => request("GET", withQuery(path, query)),
		post: (path, body, timeoutMs) => request("POST", path, { body, timeoutMs }),
		put: (path, body) => request("PUT", path, { body }),
		delete: (path) => request("DELETE", path),
	};

	/** `key` asks with a key instead of the session. */
	async function request(method, path, options = {}) {
		try {
			return await ask(method, path, options);
		} catch (error) {
			if (error.status === 401 && path !== "/v1/session") session.lost();
			// Another tab may have logged in since: its session is ours, too.
			const stale = error.status === 403 && method !== "GET" && !options.key;
			if (stale && (await session.renew())) return ask(method, path, options);
			throw error;
		}
	}

	async function ask(method, path, { body, key, timeoutMs = REQUEST_TIMEOUT_MS }) {
		const headers = { Accept: "application/json" };
		if (key) headers.Authorization = `Bearer ${key}`;
		else if (method !== "GET") headers["X-CSRF-Token"] = session.csrf;
		if (body !== undefined) headers["Content-Type"] = "application/json";
		const signal = AbortSignal.any([ending, AbortSignal.timeout(timeoutMs)]);
		const asked = Date.now();
		try {
			const response = await fetch(path, { method, headers, signal, cache: "no-store", body: JSON.stringify(body) });
			clock.learn(response.headers.get("Date"), asked);
			if (!response.ok) throw await problemOf(response);
			return response.status === 204 ? null : await response.json();
		} catch (error) {
			if (error.status || ending.aborted) throw error;
			throw problem(0, "The server does not answer.");
		}
	}
}

async function problemOf(response) {
	const { code, detail, title, errors } = await response.json().catch(() => ({}));
	const message = code === "database_away" ? "Sluice is running, but its database does not answer." : detail ?? title;
	const seconds = Number.parseInt(response.headers.get("Retry-After"), 10) || 0;
	return problem(response.status, message ?? `The server answered ${response.status}.`, errors, seconds * 1_000);
}
