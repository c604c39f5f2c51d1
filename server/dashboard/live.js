/**
 * `/ws`, live, by the official client: it connects again after a growing pause, and asks for what it missed.
 *
 * What the connection is doing is `state`, as it is: `{name, since, heard, reason}`, with times in milliseconds of the
 * server's clock (`heard`: when anything came last, null before), and as name
 *   "live"          connected, and everything that happened is on the page
 *   "behind"        connected, and catching up: what the page shows may be old
 *   "reconnecting"  not connected; trying again by itself (at first: connecting)
 *   "offline"       not connected, and nothing is being tried: see `reason`
 */

import "./vendor/centrifuge/centrifuge.js";

const { Centrifuge } = globalThis;
const PAUSES = { minReconnectDelay: 500, maxReconnectDelay: 20_000 };
const NOT_ASKED_AGAIN = 3_500; // close codes from 3500 to 3999, and those below 3000, mean: do not come back

export class Live extends EventTarget {
  #clock;
  #session;
  #api;
  #client = null;
  #late = new Set(); // what is not caught up yet
  #channels = new Map(); // channel → {subscription, handlers}

  state = { name: "reconnecting", since: 0, heard: null, reason: "" };
  /** Whether a connection was ever there. */
  known = false;

  constructor(clock, session, api) {
    super();
    this.#clock = clock;
    this.#session = session;
    this.#api = api;
    this.state.since = clock.now();
  }

  /** Connect, and stay connected until the signal. */
  start(signal) {
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
    const client = new Centrifuge(url, { ...PAUSES, getToken: () => this.#token(), websocket: this.#hearing() });
    this.#client = client;
    client.on("connected", () => this.#show());
    client.on("connecting", () => this.#show());
    client.on("disconnected", ({ code, reason }) => {
      this.#show(reason);
      if (code >= NOT_ASKED_AGAIN || code === 1) this.#session.renew(); // it says so where the key is revoked
    });
    client.on("error", () => this.#show());
    addEventListener("offline", () => this.#show(), { signal });
    addEventListener("online", () => this.retry(), { signal });
    signal.addEventListener("abort", () => this.#stop(client), { once: true });
    client.connect();
  }

  /** Try now, without waiting for the pause to end. */
  retry() {
    if (!this.#client || this.#client.state === "connected") return;
    this.#client.disconnect();
    this.#client.connect();
  }

  /** Call back with the state, now and whenever it changes. */
  watch(callback, signal) {
    if (signal.aborted) return;
    this.addEventListener("state", () => callback(this.state), { signal });
    callback(this.state);
  }

  /** Until `release()` is called, something on the page is behind. */
  hold() {
    const hold = {};
    this.#late.add(hold);
    this.#show();
    return () => this.#late.delete(hold) && this.#show();
  }

  /**
   * A channel, until the signal.
   * @param {{onData: Function, onSubscribed?: Function, onRefused?: Function, data?: object}} handlers
   *   `onData(data, offset)`; `onSubscribed(recovered)` comes before what was missed, with false where something may be
   *   missing for ever, so load anew; `onRefused(code, reason)` where the channel is not to be had
   */
  subscribe(channel, handlers, signal) {
    if (signal.aborted || !this.#client) return;
    const { subscription, listeners } = this.#channel(channel, handlers.data);
    listeners.add(handlers);
    signal.addEventListener("abort", () => this.#leave(channel, handlers), { once: true });
    if (subscription.state === "subscribed") handlers.onSubscribed?.(false);
  }

  /**
   * A device's newest values as they come: `onReadings([{metric, labels, ts, value}])`, at most `maxRate` times a second.
   * The first that asks for a device decides which metrics and how often.
   */
  readings(device, { maxRate = 5, metrics, ...handlers }, signal) {
    const data = { max_rate: maxRate, ...(metrics ? { metrics } : {}) };
    const onData = ({ readings }) => handlers.onReadings(readings);
    this.subscribe(`readings:${device}`, { ...handlers, onData, data }, signal);
  }

  #channel(channel, data) {
    const known = this.#channels.get(channel);
    if (known) return known;
    const subscription = this.#client.newSubscription(channel, data ? { data } : {});
    const opened = { subscription, listeners: new Set(), release: null };
    this.#channels.set(channel, opened);
    const tell = (name, ...details) => opened.listeners.forEach((handlers) => handlers[name]?.(...details));
    subscription.on("subscribing", () => (opened.release ??= this.hold()));
    subscription.on("subscribed", ({ recovered }) => {
      opened.release?.();
      opened.release = null;
      tell("onSubscribed", recovered);
    });
    subscription.on("unsubscribed", ({ code, reason }) => {
      opened.release?.();
      opened.release = null;
      if (code > 0) tell("onRefused", code, reason);
    });
    subscription.on("publication", ({ data: published, offset }) => tell("onData", published, offset));
    subscription.subscribe();
    return opened;
  }

  #leave(channel, handlers) {
    const opened = this.#channels.get(channel);
    if (!opened?.listeners.delete(handlers) || opened.listeners.size) return;
    this.#channels.delete(channel);
    opened.subscription.unsubscribe();
    this.#client?.removeSubscription(opened.subscription);
  }

  async #token() {
    try {
      return (await this.#api.post("/v1/tokens")).token;
    } catch (error) {
      if (error.status === 401 || error.status === 403) throw new Centrifuge.UnauthorizedError(error.message);
      throw error;
    }
  }

  /** The browser's socket, which also tells when anything came: the client keeps the server's pings to itself. */
  #hearing() {
    const heard = () => (this.state.heard = this.#clock.now());
    return class extends WebSocket {
      constructor(...details) {
        super(...details);
        this.addEventListener("message", heard);
      }
    };
  }

  #show(reason = "") {
    const name = this.#name();
    if (name === "live" || name === "behind") this.known = true;
    if (name === this.state.name && reason === this.state.reason) return;
    const since = name === this.state.name ? this.state.since : this.#clock.now();
    this.state = { ...this.state, name, since, reason };
    this.dispatchEvent(new Event("state"));
  }

  #name() {
    const connection = this.#client?.state;
    if (connection === "connected") return this.#late.size ? "behind" : "live";
    return connection === "connecting" && navigator.onLine ? "reconnecting" : "offline";
  }

  #stop(client) {
    this.#client = null;
    this.#channels.clear();
    this.#late.clear();
    client.removeAllListeners();
    client.disconnect();
  }
}
