// BullMQ as it comes: a producer, two workers and somebody who listens to events. Its argument and
// what it says are those of `load.mjs`, with one session.

import { Queue, QueueEvents, Worker } from "bullmq";
import { createInterface } from "node:readline";

const { host, port } = JSON.parse(process.argv[2]);
const PAUSE_MS = 50;
const WORK_MS = 10;
// How long it waits for jobs that are not done yet.
const PATIENCE_MS = 30_000;

const session = { name: "bullmq", done: 0, errors: 0, said: [], unknown: [], last: 0, took: [] };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (words) => console.log(JSON.stringify(words));
let stopping = false;

function failed(error) {
  session.errors += 1;
  session.said = [...session.said, `${error.name}: ${error.message}`].slice(-5);
}

async function work(job) {
  await sleep(WORK_MS);
  session.took.push(job.data.number);
  session.done += 1;
}

async function produce(queue) {
  while (!stopping) {
    const number = ++session.last;
    await queue.add("job", { number }, { removeOnComplete: true }).catch((error) => {
      session.unknown.push(number);
      failed(error);
    });
    await sleep(PAUSE_MS);
  }
}

const connection = { host, port };
// Workers wait for ever, so they must not give up: BullMQ insists.
const patient = { ...connection, maxRetriesPerRequest: null };
const queue = new Queue("jobs", { connection });
const workers = [1, 2].map(() => new Worker("jobs", work, { connection: patient, concurrency: 4 }));
const events = new QueueEvents("jobs", { connection: patient });
for (const each of [queue, ...workers, events]) each.on("error", failed);

const producing = produce(queue);
while (session.done < 10) await sleep(10);
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "stop") break;
  say({ done: [session.done] });
}
stopping = true;
await producing;
const deadline = Date.now() + PATIENCE_MS;
const missing = () => session.last - session.unknown.length > new Set(session.took).size;
while (missing() && Date.now() < deadline) await sleep(10);
say({ sessions: [session] });
process.exit(0);
