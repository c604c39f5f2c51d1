/**
 * One channel of `/ws`, live: the JSON form of the Centrifugo client protocol.
 *
 * A connection that is lost is made again after a growing, jittered pause, and asks for what it missed by the epoch
 * and offset of the last publication it saw. What it is doing goes to `onState`, as it is:
 *
 *   {name: "connecting"}, {name: "live"}, {name: "waiting", until}, {name: "refused", reason}, {name: "closed", reason}
 */

const PAUSE_MS = { first: 500, most: 20_000 };
const ANSWER_MS = 10_000; // a server that is silent for that long, beyond its own ping interval, is gone
const CONNECT_ID = 1;
const SUBSCRIBE_ID = 2;
const BAD_TOKEN = 3_500; // close codes from 3500 to 3999 mean: do not come back
const FORBIDDEN = 103;

export class Live {
  #url;
  #token;
  #channel;
  #handlers;
  #socket = null;
  #position = null; // {epoch, offset} of what was seen last
  #failures = 0;
  #pingMs = 25_000;
  #retryTimer;
  #silenceTimer;

  /**
   * Calls `onState(state)`, `onPublication(data)` and, before the publications that were missed,
   * `onSubscribed(recovered)`: false means that something may be missing for ever, so load anew.
   */
  constructor({ token, channel, ...handlers }) {
    this.#url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
    this.#token = token;
    this.#channel = channel;
    this.#handlers = handlers;
  }

  /** Connect now: for the first time, or without waiting for the pause to end. */
  connect() {
    clearTimeout(this.#retryTimer);
    if (this.#socket) return;
    this.#handlers.onState({ name: "connecting" });
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("open", () => this.#send({ id: CONNECT_ID, connect: { token: this.#token } }));
    socket.addEventListener("message", (message) => this.#receive(socket, message.data));
    socket.addEventListener("close", (event) => this.#closed(socket, event.code, event.reason));
    this.#watch();
  }

  /** Close for good. */
  close() {
    clearTimeout(this.#retryTimer);
    this.#drop()?.close(1_000);
  }

  #send(command) {
    this.#socket.send(JSON.stringify(command));
  }

  #receive(socket, frame) {
    if (socket !== this.#socket) return;
    this.#watch();
    for (const line of frame.split("\n")) {
      if (line && socket === this.#socket) this.#handle(JSON.parse(line));
    }
  }

  #handle(reply) {
    if (reply.error) this.#refuse(reply.error);
    else if (reply.connect) this.#connected(reply.connect);
    else if (reply.subscribe) this.#subscribed(reply.subscribe);
    else if (reply.push?.pub) this.#publish(reply.push.pub);
    else if (reply.push?.unsubscribe) this.#lose();
    else if (!reply.id && !reply.push) this.#socket.send("{}"); // a ping is an empty reply, a pong an empty command
  }

  #connected({ ping }) {
    if (ping) this.#pingMs = ping * 1_000;
    const recovery = this.#position ? { recover: true, ...this.#position } : {};
    this.#send({ id: SUBSCRIBE_ID, subscribe: { channel: this.#channel, ...recovery } });
  }

  #subscribed({ epoch, offset = 0, recovered = false, publications = [] }) {
    this.#failures = 0;
    this.#position = { epoch, offset };
    this.#handlers.onState({ name: "live" });
    this.#handlers.onSubscribed(recovered);
    publications.forEach((publication) => this.#publish(publication));
  }

  #publish({ offset, data }) {
    if (offset) this.#position.offset = offset;
    this.#handlers.onPublication(data);
  }

  #refuse({ code, message, temporary }) {
    if (temporary) {
      this.#lose();
      return;
    }
    this.#drop()?.close(1_000);
    const reason = code === FORBIDDEN ? "this key is bound to some devices, this channel is of all" : message;
    this.#handlers.onState({ name: "closed", reason });
  }

  #closed(socket, code, reason) {
    if (socket !== this.#socket) return;
    this.#drop();
    if (code === BAD_TOKEN) this.#handlers.onState({ name: "refused", reason });
    else if (code > BAD_TOKEN && code < 4_000) this.#handlers.onState({ name: "closed", reason });
    else this.#wait();
  }

  #wait() {
    const longest = Math.min(PAUSE_MS.most, PAUSE_MS.first * 2 ** this.#failures++);
    const pause = longest * (0.5 + Math.random() / 2); // jitter: a restart must not bring all viewers back at once
    this.#retryTimer = setTimeout(() => this.connect(), pause);
    this.#handlers.onState({ name: "waiting", until: Date.now() + pause });
  }

  /** Give up this connection, not the wish for one. */
  #lose() {
    this.#drop()?.close();
    this.#wait();
  }

  /** Forget the socket, so that whatever it still says is ignored. */
  #drop() {
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    this.#socket = null;
    return socket;
  }

  #watch() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#lose(), this.#pingMs + ANSWER_MS);
  }
}
