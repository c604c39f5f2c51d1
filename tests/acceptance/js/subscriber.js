// One subscriber on the unmodified npm client. Usage: node subscriber.js URL TOKEN CHANNEL [TOKENS_URL KEY]
// With the last two it gets tokens from there, and so it goes on when one expires.
// Says on standard output, one JSON object a line, what happens to it; ends when standard input does.

import { Centrifuge, UnauthorizedError } from "centrifuge";
import WebSocket from "ws";

const [url, token, channel, tokens, key] = process.argv.slice(2);
const say = (what, details = {}) => console.log(JSON.stringify({ what, ...details }));

async function getToken() {
  const answer = await fetch(tokens, { method: "POST", headers: { Authorization: `Bearer ${key}` } });
  if (answer.status === 401) throw new UnauthorizedError("the key is over");
  const { token, ttl_s } = await answer.json();
  say("token", { ttl_s });
  return token;
}

const client = new Centrifuge(url, {
  token,
  getToken: tokens ? getToken : null,
  websocket: WebSocket,
  minReconnectDelay: 50,
  maxReconnectDelay: 500,
});
client.on("connected", ({ client }) => say("connected", { client }));
client.on("connecting", ({ code, reason }) => say("connecting", { code, reason }));
client.on("disconnected", ({ code, reason }) => say("disconnected", { code, reason }));
client.on("error", ({ error }) => say("error", { error }));

const subscription = client.newSubscription(channel);
subscription.on("subscribed", ({ wasRecovering, recovered, recoverable, positioned, streamPosition }) =>
  say("subscribed", { wasRecovering, recovered, recoverable, positioned, streamPosition }),
);
subscription.on("unsubscribed", ({ code, reason }) => say("unsubscribed", { code, reason }));
subscription.on("error", ({ error }) => say("error", { error }));
subscription.on("publication", ({ offset, data }) => say("publication", { offset, data }));
subscription.subscribe();
client.connect();

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
