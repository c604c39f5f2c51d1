/** The alerts that are over, read back page by page: what the live list of the newest does not reach. */

const PAGE = 50;

export class AlertHistory {
  #api;
  #chosen = {};
  #cursor = null;
  #asked = 0; // counts the questions, so that an answer to an older one is dropped
  #read = new Map();

  constructor(api) {
    this.#api = api;
  }

  /** Whether there are older ones to be read. */
  get more() {
    return this.#cursor !== null;
  }

  /** Begin anew with the newest of those chosen: `{severity, device, rule}`, each "" for any. */
  begin(chosen) {
    this.#chosen = { ...chosen };
    return this.#page(null, new Map());
  }

  /** Read one page more. */
  older() {
    return this.#page(this.#cursor, this.#read);
  }

  /** What was read and what was heard of since, the newest first. */
  inOrder(heard, wanted) {
    const all = new Map([...this.#read, ...[...heard].filter(([, alert]) => wanted(alert))]);
    return [...all.values()].sort((a, b) => Date.parse(b.resolved_at) - Date.parse(a.resolved_at));
  }

  async #page(cursor, kept) {
    const question = ++this.#asked;
    const { items, next } = await this.#api.get("/v1/alerts", { ...this.#chosen, state: "resolved", limit: PAGE, cursor });
    if (question !== this.#asked) return;
    this.#read = kept;
    this.#cursor = next;
    for (const alert of items) this.#read.set(alert.id, alert);
  }
}
