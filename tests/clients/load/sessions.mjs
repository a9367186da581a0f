// What the sessions of a load do, and what they must see; the twin of `sessions.py`.

const TOLD = 5;
const BLOCK = 1;
const LUA = "return redis.call('INCR', KEYS[1])";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Session {
  constructor(name, kind, pause, connect) {
    Object.assign(this, { name, kind, pause, connect });
    Object.assign(this, { done: 0, errors: 0, said: [], wrong: [], counters: {}, lost: 0 });
    Object.assign(this, { unknown: [], last: 0, took: [], stopping: false });
    this.ready = new Promise((resolve) => (this.isReady = resolve));
  }

  // The result of `work`, or null if it failed.
  async attempt(work) {
    let result;
    try {
      result = await work();
    } catch (error) {
      this.errors += 1;
      this.said = [...this.said, `${error.name}: ${error.message}`].slice(-TOLD);
      await sleep(50);
      return null;
    }
    this.done += 1;
    this.isReady();
    await sleep(this.pause * 1000);
    return result;
  }

  expect(fits, what) {
    if (!fits) this.wrong = [...this.wrong, what].slice(0, TOLD);
  }

  report() {
    const { name, kind, done, errors, said, wrong, counters, lost, unknown, last, took } = this;
    const own = { name, kind, done, errors, said, wrong, counters, lost };
    return ["queue", "group"].includes(kind) ? { ...own, unknown, last, took } : own;
  }
}

class Counter {
  constructor(session) {
    this.session = session;
    this.key = `${session.name}:counter`;
    this.value = 0;
    this.slack = 0;
    this.account = session.counters[this.key] = [0, 0];
  }

  acknowledged(values) {
    for (const value of values) {
      const fits = this.value < value && value <= this.value + 1 + this.slack;
      this.session.expect(fits, `${value} after ${this.value}, ${this.slack} unknown`);
      this.value = value;
      this.slack = 0;
      this.account[0] += 1;
    }
  }

  failed(times) {
    this.slack += times;
    this.account[1] += times;
  }
}

async function single(session) {
  const connection = session.connect();
  const counter = new Counter(session);
  const key = `${session.name}:value`;
  while (!session.stopping) {
    const value = await session.attempt(() => connection.call("INCR", counter.key));
    if (value === null) {
      counter.failed(1);
      continue;
    }
    counter.acknowledged([Number(value)]);
    if ((await session.attempt(() => connection.call("SET", key, value))) === null) continue;
    const found = await session.attempt(() => connection.call("GET", key));
    session.expect(found === null || Number(found) === value, `${found} read, ${value} written`);
  }
  await connection.close();
}

async function script(session) {
  const connection = session.connect();
  const counter = new Counter(session);
  let sha = null;
  while (!session.stopping) {
    if (sha === null) {
      sha = await session.attempt(() => connection.call("SCRIPT", "LOAD", LUA));
      continue;
    }
    const value = await session.attempt(() => connection.call("EVALSHA", sha, 1, counter.key));
    if (value === null) {
      counter.failed(1);
      sha = null;
    } else {
      counter.acknowledged([Number(value)]);
    }
  }
  await connection.close();
}

async function batches(session, transaction) {
  const connection = session.connect();
  const counter = new Counter(session);
  const requests = [...Array(3).fill(["INCR", counter.key]), ["GET", counter.key]];
  while (!session.stopping) {
    const replies = await session.attempt(() => connection.batch(requests, transaction));
    if (replies === null) {
      counter.failed(3);
      continue;
    }
    const values = replies.map(Number);
    counter.acknowledged(values.slice(0, 3));
    session.expect(values[3] === values[2], `${values[3]} read, ${values[2]} written`);
  }
  await connection.close();
}

async function queue(session) {
  const key = `${session.name}:list`;
  const take = async (consumer) => {
    const reply = await session.attempt(() => consumer.call("BLPOP", key, BLOCK));
    if (reply !== null) session.took.push(Number(flat(reply).at(-1)));
    return reply !== null;
  };
  await produceAndConsume(session, ["RPUSH", key], take);
}

async function group(session) {
  const key = `${session.name}:stream`;
  const creator = session.connect();
  await creator.call("XGROUP", "CREATE", key, "group", "0", "MKSTREAM");
  await creator.close();
  const block = ["COUNT", 10, "BLOCK", BLOCK * 1000, "STREAMS", key, ">"];
  const take = async (consumer) => {
    const words = ["XREADGROUP", "GROUP", "group", "me", ...block];
    const reply = flat(await session.attempt(() => consumer.call(...words)));
    const at = reply.flatMap((word, index) => (word === "n" ? [index] : []));
    session.took.push(...at.map((index) => Number(reply[index + 1])));
    const ids = at.map((index) => reply[index - 1]);
    if (ids.length > 0) await session.attempt(() => consumer.call("XACK", key, "group", ...ids));
    return ids.length > 0;
  };
  await produceAndConsume(session, ["XADD", key, "*", "n"], take);
}

async function produceAndConsume(session, put, take) {
  let producing = true;
  const produce = async () => {
    const producer = session.connect();
    while (!session.stopping) {
      const number = ++session.last;
      const reply = await session.attempt(() => producer.call(...put, number));
      if (reply === null) session.unknown.push(number);
    }
    await producer.close();
    producing = false;
  };
  const consume = async () => {
    const consumer = session.connect();
    while (producing) await take(consumer);
    let errors = -1;
    while ((await take(consumer)) || errors !== session.errors) errors = session.errors;
    await consumer.close();
  };
  await Promise.all([produce(), consume()]);
}

async function life(session) {
  const connection = session.connect();
  const key = `${session.name}:value`;
  let kept = 0;
  for (let sequence = 1; !session.stopping; sequence++) {
    const said = await session.attempt(() => connection.call("SET", key, sequence));
    if (said !== null) kept = sequence;
    const found = await session.attempt(async () => Number(await connection.call("GET", key)));
    if (found !== null && found < kept) {
      session.lost += kept - found;
      kept = found;
    }
  }
  await connection.close();
}

function flat(reply) {
  if (reply === null || reply === undefined) return [];
  if (reply instanceof Map) return flat([...reply]);
  if (Array.isArray(reply)) return reply.flatMap(flat);
  if (typeof reply === "object" && !Buffer.isBuffer(reply)) return flat(Object.entries(reply));
  return [typeof reply === "number" ? reply : String(reply)];
}

export const KINDS = {
  single,
  script,
  pipeline: (session) => batches(session, false),
  multi: (session) => batches(session, true),
  queue,
  group,
  life,
};
