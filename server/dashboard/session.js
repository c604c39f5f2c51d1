/** Who is signed in: by a cookie that no script can read. The key itself is sent once and kept nowhere. */

const KEPT_AS = "sluice.session"; // there may be one: without it no 401 is asked for

export class Session extends EventTarget {
	api = null;
	key = null; // {id, name, scopes, device_glob}
	csrf = "";

	/** False where the cookie has no session; throws where that is not known. */
	async restore() {
		if (localStorage?.getItem(KEPT_AS) === null) return false;
		try {
			this.#take(await this.api.get("/v1/session"));
			return true;
		} catch (error) {
			if (error.status !== 401) throw error;
			localStorage?.removeItem(KEPT_AS);
			return false;
		}
	}

	async logIn(key) {
		const begun = await this.api.request("POST", "/v1/session", { key });
		if (this.has("read", begun.key)) return this.#take(begun);
		this.csrf = begun.csrf;
		await this.api.delete("/v1/session");
		throw new Error("This key is valid but may not read. Use one with the scope read or admin.");
	}

	async logOut() {
		try {
			await this.api.delete("/v1/session");
		} catch (error) {
			if (error.status !== 401) throw error; // then it has ended already
		}
		this.#end("");
	}

	/** Gives whether the session still is, with another token. */
	async renew() {
		const before = this.csrf;
		const alive = await this.restore().catch(() => true);
		if (!alive) this.lost();
		return alive && this.csrf !== before;
	}

	lost() {
		if (this.key) this.#end("You were signed out: the key or the session has expired, or was revoked.");
	}

	has(scope, key = this.key) {
		return key !== null && (key.scopes.includes(scope) || key.scopes.includes("admin"));
	}

	#take({ csrf, key }) {
		const changed = this.key?.id !== key.id;
		Object.assign(this, { csrf, key });
		localStorage?.setItem(KEPT_AS, "yes");
		if (changed) this.dispatchEvent(new Event("change"));
	}

	#end(reason) {
		localStorage?.removeItem(KEPT_AS);
		Object.assign(this, { csrf: "", key: null });
		this.dispatchEvent(Object.assign(new Event("end"), { reason }));
	}
}
