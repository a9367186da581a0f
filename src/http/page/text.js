// Numbers and moments as people read them, and elements whose text is only ever text.

/** Bytes, with at most three digits before the unit. */
export function bytes(count) {
  if (count === null || count === undefined) return 'unknown';
  if (count < 1000) return `${Math.round(count)} B`;
  const units = ['kB', 'MB', 'GB', 'TB', 'PB'];
  let value = count;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.5 && unit < units.length - 1);
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A span of milliseconds. */
export function span(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

/** How long ago, without a number that runs. */
export function ago(ms) {
  return ms < 5000 ? 'just now' : `${span(Math.round(ms / 1000) * 1000)} ago`;
}

/** The clock of who looks; with the day, where it is another one than today. */
export function moment(at) {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return 'at an unknown time';
  const pad = (number) => String(number).padStart(2, '0');
  const clock = `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
  if (time.toDateString() === new Date().toDateString()) return clock;
  return `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())} ${clock}`;
}

/** The middle of a long word left out: an IPv6 address in a box. */
export function shorten(word, most) {
  if (word.length <= most) return word;
  const half = Math.floor((most - 1) / 2);
  return `${word.slice(0, half)}…${word.slice(-half)}`;
}

/** `1 node`, `2 nodes`. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** An HTML element. Strings among the children become text, whatever is in them. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for drawings. */
export function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets a text only where it is another one: what does not change is not read out again. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
  return node;
}

/** Makes the children of `host` those of `items` (each with a `key`), and keeps the ones that stay. */
export function keyed(host, items, make, fill) {
  const known = new Map([...host.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, at) => {
    const child = known.get(item.key) ?? make(item);
    child.dataset.key = item.key;
    known.delete(item.key);
    fill(child, item);
    if (host.children[at] !== child) host.insertBefore(child, host.children[at] ?? null);
  });
  known.forEach((child) => child.remove());
}
