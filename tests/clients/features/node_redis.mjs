// The features of node-redis.

import { BasicClientSideCache, RESP_TYPES, WatchError, createClient, defineScript } from "redis";
import { BIG, Inbox, LUA, SOON, bigValue, both, equal, goThrough, key, within, work } from "./common.mjs";

const url = `redis://${work.host}:${work.port}`;

async function connect(options = {}) {
  const made = createClient({ url, RESP: work.protocol, ...options });
  made.on("error", (error) => console.error(error));
  await made.connect();
  return made;
}

const client = await connect();
const other = await connect();

async function pipelines() {
  const requests = [];
  for (let n = 0; n < 500; n++) {
    requests.push(client.set(key(`many:${n}`), n), client.get(key(`many:${n}`)));
  }
  const replies = await Promise.all(requests);
  equal(replies.filter((_, at) => at % 2), [...Array(500).keys()].map(String));
}

async function transactions() {
  equal(await client.multi().set(key("t"), 1).incr(key("t")).exec(), ["OK", 2]);
  const own = await connect();
  await own.watch(key("t"));
  await client.set(key("t"), 7);
  const failed = await own.multi().incr(key("t")).exec().catch((error) => error);
  equal(failed instanceof WatchError, true);
  await own.watch(key("t"));
  equal(await own.multi().incr(key("t")).exec(), [8]);
  own.destroy();
}

async function scripts() {
  const given = (argument) => ({ keys: [key("lua")], arguments: [argument] });
  equal(await client.eval(LUA, given("a")), [2, "a"]);
  const sha = await client.scriptLoad(LUA);
  equal(await client.evalSha(sha, given("b")), [4, "b"]);
  equal(await client.scriptExists([sha, "0".repeat(40)]), [1, 0]);
  const counted = defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: `${LUA} -- defined`,
    parseCommand: (parser, name, argument) => {
      parser.pushKey(name);
      parser.push(argument);
    },
    transformReply: (reply) => reply,
  });
  const own = await connect({ scripts: { counted } });
  equal(await own.counted(key("lua"), "c"), [6, "c"]);
  equal(await own.counted(key("lua"), "d"), [8, "d"]);
  own.destroy();
}

async function messages() {
  const listener = await connect();
  const [plain, matched] = [new Inbox(), new Inbox()];
  await listener.subscribe(key("news"), plain.put);
  await listener.pSubscribe(key("n*"), matched.put);
  equal(await client.publish(key("news"), "hello"), 2);
  equal(await plain.take(), ["hello", key("news")]);
  equal(await matched.take(), ["hello", key("news")]);
  await listener.unsubscribe();
  await listener.pUnsubscribe();
  equal(await client.publish(key("news"), "nobody"), 0);
  // An ordinary connection again; with RESP2 the library gives bytes now.
  equal(String(await listener.set(key("after"), 1)), "OK");
  listener.destroy();
}

async function streams() {
  const [name, BLOCK] = [key("stream"), SOON * 1000];
  const add = (n) => () => other.xAdd(name, "*", { n: String(n) });
  const fields = (reply) => reply.flatMap(({ messages }) => messages.map((each) => ({ ...each.message })));
  equal(fields(await both(client.xRead({ key: name, id: "$" }, { BLOCK }), add(1))), [{ n: "1" }]);
  await client.xGroupCreate(name, "group", "$");
  const rest = { key: name, id: ">" };
  equal(fields(await both(client.xReadGroup("group", "me", rest, { BLOCK }), add(2))), [{ n: "2" }]);
  const entries = await client.xRange(name, "-", "+");
  equal(await client.xAck(name, "group", entries.at(-1).id), 1);
  equal(await client.xReadGroup("group", "me", rest, { BLOCK: 50 }), null);
}

async function scan() {
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: "scanned:*" })) {
    for (const name of keys) found.add(name);
  }
  equal(found.size, work.keys);
}

async function blocking() {
  equal(await client.blPop(key("list"), 0.2), null);
  const found = await both(client.blPop(key("list"), SOON), () => other.rPush(key("list"), "here"));
  equal({ ...found }, { key: key("list"), element: "here" });
}

async function tracking() {
  // Only RESP2 hears of it as a message.
  const listener = await connect({ RESP: 2 });
  const inbox = new Inbox();
  const identity = await listener.sendCommand(["CLIENT", "ID"]);
  await listener.subscribe("__redis__:invalidate", inbox.put);
  const tracked = await connect();
  await tracked.set(key("tracked"), 1);
  await tracked.sendCommand(["CLIENT", "TRACKING", "ON", "REDIRECT", String(identity)]);
  equal(await tracked.get(key("tracked")), "1");
  await client.set(key("tracked"), 2);
  equal(String((await inbox.take())[0]), key("tracked"));
  tracked.destroy();
  listener.destroy();
}

async function caching() {
  const cache = new BasicClientSideCache();
  const cached = await connect({ clientSideCache: cache });
  await client.set(key("cached"), 1);
  equal([await cached.get(key("cached")), await cached.get(key("cached"))], ["1", "1"]);
  equal(cache.stats().hitCount, 1);
  await client.set(key("cached"), 2);
  await within(async () => (await cached.get(key("cached"))) === "2");
  cached.destroy();
}

async function big() {
  const value = bigValue();
  await client.set(key("big"), value);
  equal(await client.strLen(key("big")), BIG);
  const raw = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  equal(value.equals(await raw.get(key("big"))), true);
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
  ...(work.protocol === 3
    ? { "client-side caching by clientSideCache": caching, "a value of 100 MB": big }
    : {}),
});
