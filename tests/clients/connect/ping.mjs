// Connects as a user of the library would, sends a PING, and ends.

import { Redis } from "ioredis";
import { createClient } from "redis";

const { client, protocol, port, options } = JSON.parse(process.argv[2]);
const { name, user: username, password, database } = options;
const login = name ? { username, password } : {};

if (client === "ioredis") {
  const named = name ? { connectionName: name, db: database } : {};
  const redis = new Redis({ port, ...login, ...named, ...(protocol ? { protocol } : {}) });
  await redis.ping();
  redis.disconnect();
} else {
  const named = name ? { name, database } : {};
  const redis = createClient({
    url: `redis://127.0.0.1:${port}`,
    ...login,
    ...named,
    ...(protocol ? { RESP: protocol } : {}),
  });
  await redis.connect();
  await redis.ping();
  redis.destroy();
}
