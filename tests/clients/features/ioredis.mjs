// The features of ioredis.

import { Redis } from "ioredis";
import { BIG, Inbox, LUA, SOON, bigValue, both, equal, goThrough, key, work } from "./common.mjs";

const { host, port, protocol } = work;
const connect = (options = {}) => new Redis({ host, port, protocol, ...options });
const client = connect();
const other = connect();

async function pipelines() {
  const pipeline = client.pipeline();
  for (let n = 0; n < 500; n++) pipeline.set(key(`many:${n}`), n).get(key(`many:${n}`));
  const replies = (await pipeline.exec()).map(([, reply]) => reply);
  equal(replies.filter((_, at) => at % 2), [...Array(500).keys()].map(String));
}

async function transactions() {
  const done = await client.multi().set(key("t"), 1).incr(key("t")).exec();
  equal(done, [[null, "OK"], [null, 2]]);
  const own = connect();
  await own.watch(key("t"));
  await client.set(key("t"), 7);
  equal(await own.multi().incr(key("t")).exec(), null);
  await own.watch(key("t"));
  equal(await own.multi().incr(key("t")).exec(), [[null, 8]]);
  own.disconnect();
}

async function scripts() {
  equal(await client.eval(LUA, 1, key("lua"), "a"), [2, "a"]);
  const sha = await client.script("LOAD", LUA);
  equal(await client.evalsha(sha, 1, key("lua"), "b"), [4, "b"]);
  equal(await client.script("EXISTS", sha, "0".repeat(40)), [1, 0]);
  client.defineCommand("counted", { numberOfKeys: 1, lua: `${LUA} -- defined` });
  equal(await client.counted(key("lua"), "c"), [6, "c"]);
  equal(await client.counted(key("lua"), "d"), [8, "d"]);
  equal(await client.pipeline().counted(key("lua"), "e").exec(), [[null, [10, "e"]]]);
}

async function messages() {
  const listener = connect();
  const [plain, matched] = [new Inbox(), new Inbox()];
  listener.on("message", plain.put).on("pmessage", matched.put);
  await listener.subscribe(key("news"));
  await listener.psubscribe(key("n*"));
  equal(await client.publish(key("news"), "hello"), 2);
  equal(await plain.take(), [key("news"), "hello"]);
  equal(await matched.take(), [key("n*"), key("news"), "hello"]);
  // Without names it would wait for ever for a reply to the first.
  await listener.unsubscribe(key("news"));
  await listener.punsubscribe(key("n*"));
  equal(await client.publish(key("news"), "nobody"), 0);
  // An ordinary connection again.
  equal(await listener.set(key("after"), 1), "OK");
  listener.disconnect();
}

async function streams() {
  const stream = key("stream");
  const block = ["BLOCK", SOON * 1000, "STREAMS", stream];
  const found = await both(client.xread(...block, "$"), () => other.xadd(stream, "*", "n", 1));
  equal(fields(found), [["n", "1"]]);
  await client.xgroup("CREATE", stream, "group", "$");
  const waiting = client.xreadgroup("GROUP", "group", "me", ...block, ">");
  equal(fields(await both(waiting, () => other.xadd(stream, "*", "n", 2))), [["n", "2"]]);
  const entries = await client.xrange(stream, "-", "+");
  equal(await client.xack(stream, "group", entries.at(-1)[0]), 1);
  const late = ["BLOCK", 50, "STREAMS", stream, ">"];
  equal(await client.xreadgroup("GROUP", "group", "me", ...late), null);
}

// The fields of all entries: RESP3 gives an object or a map of streams, RESP2 an array.
function fields(reply) {
  const pairs = Array.isArray(reply) ? reply : Object.entries(Object.fromEntries(reply));
  return pairs.flatMap(([, entries]) => entries.map(([, words]) => words));
}

async function scan() {
  const found = new Set();
  for await (const keys of client.scanStream({ match: "scanned:*" })) {
    for (const name of keys) found.add(name);
  }
  equal(found.size, work.keys);
}

async function blocking() {
  equal(await client.blpop(key("list"), 0.2), null);
  const found = await both(client.blpop(key("list"), SOON), () => other.rpush(key("list"), "here"));
  equal(found, [key("list"), "here"]);
}

async function tracking() {
  // Only RESP2 hears of it as a message.
  const listener = connect({ protocol: 2 });
  const inbox = new Inbox();
  const identity = await listener.client("ID");
  listener.on("message", inbox.put);
  await listener.subscribe("__redis__:invalidate");
  const tracked = connect();
  await tracked.set(key("tracked"), 1);
  await tracked.client("TRACKING", "ON", "REDIRECT", identity);
  equal(await tracked.get(key("tracked")), "1");
  await client.set(key("tracked"), 2);
  equal(String((await inbox.take())[1]), key("tracked"));
  tracked.disconnect();
  listener.disconnect();
}

async function big() {
  const value = bigValue();
  await client.set(key("big"), value);
  equal(await client.strlen(key("big")), BIG);
  equal(value.equals(await client.getBuffer(key("big"))), true);
  await client.unlink(key("big"));
}

await goThrough({
  "pipeline of 1000": pipelines,
  "MULTI, EXEC and a WATCH that fails": transactions,
  "EVAL, EVALSHA, SCRIPT LOAD": scripts,
  "pub/sub with patterns, unsubscribe": messages,
  "XADD, XREAD BLOCK, XREADGROUP BLOCK": streams,
  "SCAN over all keys": scan,
  "BLPOP, in time and too late": blocking,
  "client-side caching by CLIENT TRACKING": tracking,
  // Large values are the same with both.
  ...(work.protocol === 3 ? { "a value of 100 MB": big } : {}),
});
