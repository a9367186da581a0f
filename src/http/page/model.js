// What the status of one hive means for people. Nothing here touches the page.

import { bytes, count, span } from './text.js';

/** A node not heard for so long is shown as silent. */
const SILENT_MS = 5000;
/** A warning for who drains one of the last two copies. */
const LAST_COPY = '; one copy is left then';
/** Changes of the leadership, as against `resigned`, `paused` and `resumed`. */
export const LEADERSHIPS = ['failover', 'switchover', 'leads', 'follows'];
/** Told by shape as well as by colour. */
export const MARKS = { good: '●', warn: '▲', bad: '✕' };
/** What the hive calls the parts of a change. */
const PHASES = {
  prepare: 'preparing',
  hold: 'holding clients',
  handover: 'handing over',
  ask: 'asking the others',
  consent: 'getting consent',
  freeze: 'stopping copies',
  promote: 'promoting Redis',
  open: 'letting clients on',
};

/** All nodes: this one and its peers by address, and a master whose hive is not known. */
export function nodes(status) {
  const own = node(status, {
    ip: status.node,
    own: true,
    role: status.role,
    priority: status.priority,
    redis: status.role === 'witness' || !status.redis.addr ? null : status.redis,
    silentMs: 0,
    reachable: true,
  });
  const peers = status.peers.map((peer) => {
    const { ip } = split(peer.addr);
    const role = peer.role ?? 'unknown';
    const silentMs = peer.last_heard_ms ?? Infinity;
    return node(status, { ...peer, ip, own: false, role, silentMs });
  });
  const all = [own, ...peers].sort((a, b) => compare(a.ip, b.ip));
  if (status.master && !all.some((it) => it.master)) {
    const redis = { addr: status.master, up: true, role: 'master', current: true, state: 'complete' };
    const { ip } = split(status.master);
    const ghost = node(status, { ip, own: false, role: 'gone', redis, silentMs: 0, reachable: true });
    all.push({ ...ghost, key: `redis ${status.master}`, ghost: true });
  }
  return all;
}

function node(status, from) {
  const { ip, own, role, redis } = from;
  const silent = !own && (from.silentMs > SILENT_MS || from.reachable === false);
  const master = redis !== null && redis.addr === status.master;
  const it = {
    key: own ? ip : (from.addr ?? ip),
    ip,
    own,
    role,
    redis,
    silent,
    silentMs: from.silentMs,
    master,
    leads: status.leader === ip,
    standby: from.priority === 0,
    current: !silent && redis !== null && redis.up && (redis.current || (master && redis.role === 'master')),
    lag: redis === null || silent ? null : (redis.lag_bytes ?? null),
  };
  return { ...it, ...redisWords(it) };
}

/**
 * `state`: `good`, `warn` or `bad`; `words`: its Redis in a few words; `wrong`: the same as a complaint;
 * `feed`: how it gets the master's stream, `good`, `copying` or `none`. Words fit the boxes of the drawing.
 */
function redisWords(it) {
  const { redis } = it;
  const good = (words, feed = 'none') => ({ state: 'good', words, wrong: '', feed });
  const warn = (words, wrong, feed = 'none') => ({ state: 'warn', words, wrong: `its Redis ${wrong}`, feed });
  // A regent leads then.
  if (it.silent && it.master) {
    return warn('master, hive silent', 'is the master, and its hive is silent');
  }
  if (it.silent) return { state: 'bad', words: 'not heard', wrong: 'it is silent', feed: 'none' };
  if (redis === null && it.role === 'witness') return good('no Redis');
  if (redis === null) return warn('not seen yet', 'was not seen yet');
  if (!redis.up) return { ...warn('does not answer', 'does not answer'), state: 'bad' };
  if (it.master) return good('master');
  if (redis.state === 'coming') return warn('copying', 'is copying from the master', 'copying');
  if (redis.state !== 'complete') return warn('empty, no copy yet', 'is empty and waits for a copy');
  if (redis.role === 'master') return warn('master of nobody', 'is a master that nobody follows');
  if (redis.current) return good('replica, current', 'good');
  if (redis.link_up) return warn('replica, catching up', 'is catching up', 'copying');
  return warn('replica, cut off', 'is cut off from the master');
}

/** What a hive is, in words. */
export function roleWords(it) {
  if (it.role === 'gone') return 'hive is gone';
  if (it.silent) return `was ${it.role}`;
  const words = it.leads && it.role !== 'leader' ? `${it.role}, leads` : it.role;
  return it.standby ? `${words}, standby` : words;
}

/** Whether this node may be drained now: `{ safe: true | false, why }`. */
export function drain(it, all, status) {
  const no = (why) => ({ safe: false, why });
  if (it.ghost) return no('its hive is gone: it cannot hand over');
  if (it.silent) return no('not heard: nothing is known of it');
  if (it.role === 'draining') return no('it is stopping already');
  if (!status.master) return no('there is no master now');
  const stopping = all.find((other) => other.role === 'draining');
  if (stopping) return no(`wait: ${stopping.ip} is stopping`);
  if (status.paused && (it.leads || it.master)) return no('paused: it would hand nothing over');
  const left = all.filter((other) => !other.silent && !other.ghost).length - 1;
  if (status.quorum > 1 && left < status.quorum) {
    return no(`${count(left, 'hive')} would be left, --quorum is ${status.quorum}`);
  }
  if (it.role === 'witness') return { safe: true, why: 'a witness holds no data' };
  const copies = all.filter((other) => other !== it && other.current && !other.ghost).length;
  if (copies === 0) return no('no other node holds a current copy');
  const last = copies === 1 && it.current ? LAST_COPY : '';
  const first = it.leads ? 'it hands the lead over first' : 'it is not the master';
  return { safe: true, why: `${it.master ? 'it hands the master over first' : first}${last}` };
}

/** Which nodes may be drained, in one sentence. */
export function drainWords(all, status) {
  const asked = all.filter((it) => !it.ghost).map((it) => [it, drain(it, all, status)]);
  const no = asked.filter(([, verdict]) => !verdict.safe);
  if (no.length === 0) {
    const last = asked.some(([, verdict]) => verdict.why.endsWith(LAST_COPY));
    return `yes, any one node at a time${last ? LAST_COPY : ''}`;
  }
  const reasons = new Set(no.map(([, verdict]) => verdict.why));
  if (no.length === asked.length && reasons.size === 1) return `no: ${no[0][1].why}`;
  const some = no.slice(0, 3).map(([it, verdict]) => `${it.ip} (${verdict.why})`).join(', ');
  const more = no.length > 3 ? ` and ${no.length - 3} more` : '';
  return no.length === asked.length ? `no: ${some}${more}` : `yes, but for ${some}${more}`;
}

/** What is wrong, gravest first: `{ grave, text }`. */
export function problems(status, all) {
  const found = [];
  const grave = (text) => found.push({ grave: true, text });
  if (!status.master) grave('there is no master: writes wait');
  if (status.route === 'refuse') grave('clients of this hive are turned away');
  if (status.route === 'hold' && status.master) grave('clients of this hive are held');
  for (const text of status.problems) {
    // Said above, in words for people.
    if (text !== 'no leader is known' || status.master) found.push({ grave: false, text });
  }
  for (const it of all) {
    const said = status.problems.some((text) => names(text, it.ip));
    if (it.own || it.state === 'good' || said) continue;
    found.push({ grave: false, text: `${it.ip}: ${it.wrong}` });
  }
  return found;
}

/** Whether a text names this address, and not only one that begins or ends like it. */
function names(text, ip) {
  const at = text.indexOf(ip);
  const near = at < 0 ? '0' : `${text[at - 1] ?? ' '}${text[at + ip.length] ?? ' '}`;
  return !/[0-9a-f]/.test(near);
}

/** The transition that brought the present master, or the oldest one known with it. */
export function brought(status, transitions) {
  let found = null;
  for (const it of transitions.filter((entry) => LEADERSHIPS.includes(entry.kind)).reverse()) {
    if (status.master === null || it.to !== status.master) break;
    found = it;
    if (it.from !== it.to) break;
  }
  return found;
}

/** Why the master is where it is. */
export function whyWords(it) {
  if (it === null) return 'not known: this hive saw no change';
  const took = it.took_ms === null ? '' : `, within ${span(it.took_ms)}`;
  if (it.kind === 'switchover') return `planned change (switchover) from ${it.from}`;
  if (it.kind === 'failover') return `failover from ${it.from}${took}${it.why ? `: ${it.why}` : ''}`;
  return it.from === null ? 'first master that this hive knew' : `it stayed: ${it.why || it.reason}`;
}

/** What a change cost. `{ state, words }` */
export function loss(it) {
  const lost = it?.bytes_given_up;
  const moved = ['failover', 'switchover'].includes(it?.kind);
  const good = (words) => ({ state: 'good', words });
  if (!moved) return good(it?.from ? 'nothing: the master stayed' : 'nothing that this hive knows of');
  if (lost > 0) {
    return { state: 'bad', words: `${lost} bytes that the old master had stated and this one does not have` };
  }
  if (it.kind === 'switchover') return good('nothing: planned');
  if (lost === 0) return good('0 bytes of what the old master had stated');
  return { state: 'warn', words: 'not known to this hive: ask the one that leads' };
}

/** What happened, as a line. */
export function headline(it) {
  if (it.kind === 'resigned') return `gave up the lead${it.from ? `, master was ${it.from}` : ''}`;
  if (it.kind === 'paused') return 'no fail-over until resumed';
  if (it.kind === 'resumed') return 'fails over again';
  if (it.from !== null && it.from !== it.to) return `${it.from} → ${it.to}`;
  return it.from === it.to ? `master stays ${it.to}` : `master is ${it.to}`;
}

/** What it took, in parts. */
export function costs(it) {
  const parts = [`epoch ${it.epoch}`];
  if (it.took_ms !== null) parts.push(`took ${span(it.took_ms)}`);
  if (it.held_us) parts.push(`clients here waited ${span(it.held_us / 1000)}`);
  if (['failover', 'switchover'].includes(it.kind)) {
    const lost = it.bytes_given_up;
    parts.push(lost === null ? 'loss unknown' : `lost ${bytes(lost)}`);
  }
  return parts;
}

/** The phases of a transition, in words. */
export function phases(it) {
  return (it.phases ?? []).map((phase) => `${PHASES[phase.name] ?? phase.name} ${span(phase.us / 1000)}`);
}

/** Where another hive's page is: on the port of this one. */
export function page(ip, port) {
  return `http://${ip.includes(':') ? `[${ip}]` : ip}${port ? `:${port}` : ''}/`;
}

/** IP and port of `10.0.0.1:6390` or `[fd00::1]:6390`. */
export function split(addr) {
  const at = addr.lastIndexOf(':');
  return { ip: addr.slice(0, at).replace(/^\[|\]$/g, ''), port: addr.slice(at + 1) };
}

/** By number where there are numbers: 10.0.0.9 before 10.0.0.10. */
function compare(a, b) {
  return a.localeCompare(b, 'en', { numeric: true });
}
