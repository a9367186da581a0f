// How the features of a JavaScript library are gone through.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

export const work = JSON.parse(process.argv[2]);
// What a blocking request or a message may take that is to come, in seconds.
export const SOON = 10;
export const BIG = 100_000_000;
// Counts a key up and gives the new value with the argument.
export const LUA = "return {redis.call('INCRBY', KEYS[1], 2), ARGV[1]}";

export const key = (name) => `${work.prefix}:${name}`;
export const equal = assert.deepStrictEqual;
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const bigValue = () => randomBytes(BIG);

// The result of `waiting`, while `later` is done a moment after it was begun.
export async function both(waiting, later) {
  return (await Promise.all([waiting, sleep(100).then(later)]))[0];
}

// Looks until it holds.
export async function within(condition) {
  const deadline = Date.now() + SOON * 1000;
  while (!(await condition())) {
    assert(Date.now() < deadline, `not within ${SOON} s`);
    await sleep(10);
  }
}

// Keeps what it is called with; `take` waits for the next.
export class Inbox {
  constructor() {
    this.got = [];
    this.put = (...words) => this.got.push(words);
  }

  async take() {
    await within(() => this.got.length > 0);
    return this.got.shift();
  }
}

// A line for each. Who started this counts them.
export async function goThrough(features) {
  for (const [what, feature] of Object.entries(features)) {
    try {
      await feature();
      console.log(`ok ${what}`);
    } catch (error) {
      console.log(`FAILED ${what}: ${error.message.replaceAll("\n", " ")}`);
      console.error(error);
    }
  }
  process.exit(0);
}
