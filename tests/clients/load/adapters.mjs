// The JavaScript libraries behind one face: a connection that takes requests.
// A client that reconnects goes on at once, and without retries it passes every error on.

import { Redis } from "ioredis";
import { createClient } from "redis";

const RECONNECT_MS = 20;

class IoRedis {
  constructor([host, port], protocol, retries) {
    const plain = {
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      retryStrategy: () => RECONNECT_MS,
    };
    this.client = new Redis({ host, port, protocol, ...(retries ? {} : plain) });
    // The requests that fail by it are counted; without a listener it is printed.
    this.client.on("error", () => {});
  }

  call(...words) {
    return this.client.call(...words);
  }

  async batch(requests, transaction) {
    const calls = requests.map((words) => ["call", ...words]);
    const batch = transaction ? this.client.multi(calls) : this.client.pipeline(calls);
    const replies = await batch.exec();
    return replies.map(([error, reply]) => {
      if (error) throw error;
      return reply;
    });
  }

  async close() {
    this.client.disconnect();
  }
}

class NodeRedis {
  constructor([host, port], protocol, retries) {
    const socket = { host, port, ...(retries ? {} : { reconnectStrategy: () => RECONNECT_MS }) };
    this.client = createClient({ socket, RESP: protocol, disableOfflineQueue: !retries });
    this.client.on("error", () => {});
    this.connected = this.client.connect();
  }

  async call(...words) {
    await this.connected;
    return this.client.sendCommand(words.map(String));
  }

  async batch(requests, transaction) {
    if (!transaction) return Promise.all(requests.map((words) => this.call(...words)));
    await this.connected;
    const multi = this.client.multi();
    for (const words of requests) multi.addCommand(words.map(String));
    return multi.exec();
  }

  async close() {
    this.client.destroy();
  }
}

export const ADAPTERS = { ioredis: IoRedis, "node-redis": NodeRedis };
