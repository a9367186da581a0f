// Counts up a key of the master that a JavaScript library finds through Sentinels, and reads it from
// replicas. `follow.py` does the same in Python and says how it is told what to do.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { createSentinel } from "redis";

const work = JSON.parse(process.argv[2]);
const PAUSE = 50;
const PATIENCE = 1000;
const sentinels = work.sentinels.map(([host, port]) => ({ host, port }));
const done = { done: 0, reads: 0, errors: 0 };
const ignore = () => {};

function ioredis() {
  const options = { sentinels, name: work.name, protocol: work.protocol, failoverDetector: true };
  const connect = (role) => new Redis({ ...options, role, commandTimeout: PATIENCE }).on("error", ignore);
  const [master, replica] = [connect("master"), connect("slave")];
  return { count: (key) => master.incr(key), read: (key) => replica.get(key) };
}

async function nodeRedis() {
  const options = { RESP: work.protocol, disableOfflineQueue: true };
  const client = createSentinel({
    name: work.name,
    sentinelRootNodes: sentinels,
    nodeClientOptions: options,
    sentinelClientOptions: options,
    replicaPoolSize: 1,
  });
  client.on("error", ignore);
  await client.connect();
  return { count: (key) => client.incr(key), read: (key) => client.get(key) };
}

const client = work.client === "ioredis" ? ioredis() : await nodeRedis();
const say = (words) => console.log(JSON.stringify(words));

async function count() {
  try {
    await client.count(work.key);
    done.done += 1;
    if ((await client.read(work.key)) !== null) done.reads += 1;
  } catch {
    done.errors += 1;
  }
}

async function goOn() {
  for (;;) {
    await count();
    await sleep(PAUSE);
  }
}

await count();
goOn();
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  say(done);
  if (line !== "progress") break;
}
process.exit();
