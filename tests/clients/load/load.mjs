// The load of a JavaScript library: as `load.py` does it, with the same argument and the same words.

import { createInterface } from "node:readline";
import { ADAPTERS } from "./adapters.mjs";
import { KINDS, Session } from "./sessions.mjs";

const work = JSON.parse(process.argv[2]);
const say = (words) => console.log(JSON.stringify(words));
const answers = {
  progress: () => ({ done: sessions.map((session) => session.done) }),
  report: () => ({ sessions: sessions.map((session) => session.report()) }),
};

const sessions = work.sessions.map(([kind, pause], index) => {
  const address = work.addresses[index % work.addresses.length];
  const connect = () => new ADAPTERS[work.client](address, work.protocol, work.retries);
  return new Session(`${work.prefix}:${kind}:${index}`, kind, pause, connect);
});
const running = sessions.map((session) => KINDS[session.kind](session));
await Promise.all(sessions.map((session) => session.ready));
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  if (!(line.trim() in answers)) break;
  say(answers[line.trim()]());
}
for (const session of sessions) session.stopping = true;
await Promise.all(running);
say(answers.report());
process.exit(0);
