/** Who is signed in: by an HttpOnly cookie that no script can read. The key itself is sent once and kept nowhere. */

const KEPT_AS = "sluice.session"; // whether there may be one: without it nobody is asked, and no 401 looks like an attack

export class Session extends EventTarget {
	/** Set once it is there: it needs the session, too. */
	api = null;
	/** `{id, name, scopes, device_glob}`; null when nobody is signed in. */
	key = null;
	csrf = "";
	expiresAt = null;

	/** Take up the session of the cookie. False where there is none; throws where that is not known. */
	async restore() {
		if (localStorage?.getItem(KEPT_AS) === null) return false;
		try {
			this.#take(await this.api.get("/v1/session", {}, { quiet: true }));
			return true;
		} catch (error) {
			if (error.status !== 401) throw error;
			localStorage?.removeItem(KEPT_AS);
			return false;
		}
	}

	/** Throws what the server refuses a key with, and 403 for one that may not read. */
	async logIn(key) {
		const begun = await this.api.request("POST", "/v1/session", { key, quiet: true });
		if (has(begun.key, "read")) return this.#take(begun);
		this.csrf = begun.csrf;
		await this.api.delete("/v1/session", { quiet: true });
		throw Object.assign(new Error(""), { status: 403 });
	}

	async logOut() {
		try {
			await this.api.delete("/v1/session", { quiet: true });
		} catch (error) {
			if (error.status !== 401) throw error; // then it has ended already
		}
		this.#end("");
	}

	/** Ask whether the session still is. Whether its token is another now. */
	async renew() {
		const before = this.csrf;
		const alive = await this.restore().catch(() => true);
		if (!alive) this.lost();
		return alive && this.csrf !== before;
	}

	lost() {
		if (this.key) this.#end("You were signed out: the key or the session has expired, or was revoked.");
	}

	has(scope) {
		return this.key !== null && has(this.key, scope);
	}

	#take({ csrf, expires_at: expiresAt, key }) {
		const changed = this.key?.id !== key.id;
		Object.assign(this, { csrf, expiresAt, key });
		localStorage?.setItem(KEPT_AS, "yes");
		if (changed) this.dispatchEvent(new Event("change"));
	}

	#end(reason) {
		localStorage?.removeItem(KEPT_AS);
		Object.assign(this, { csrf: "", expiresAt: null, key: null });
		this.dispatchEvent(Object.assign(new Event("end"), { reason }));
	}
}

const has = ({ scopes }, scope) => scopes.includes(scope) || scopes.includes("admin");
