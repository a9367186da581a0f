// The hive drawn: the master above, the others below, an arrow to each copy that is fed.

import { MARKS, roleWords } from './model.js';
import { bytes, shape, shorten } from './text.js';

const BOX = { width: 164, height: 82 };
const GAP = { x: 22, y: 40 };
const EDGE = 6;
/** Characters that fit a box. */
const NAME_MAX = 18;
const ROLE_MAX = 24;

/** Draws the nodes into `host`, as wide as that is. */
export function draw(host, nodes) {
  const width = Math.max(host.clientWidth, BOX.width + 2 * EDGE);
  const master = nodes.find((it) => it.master);
  const others = nodes.filter((it) => it !== master);
  const key = JSON.stringify([width, nodes.map(looks)]);
  if (host.dataset.drawn === key) return;
  host.dataset.drawn = key;
  const fit = Math.floor((width - 2 * EDGE + GAP.x) / (BOX.width + GAP.x));
  const columns = Math.max(1, Math.min(others.length, fit));
  const rows = Math.ceil(others.length / columns);
  const top = master ? BOX.height + GAP.y : 0;
  const height = top + rows * (BOX.height + GAP.y) - (rows > 0 ? GAP.y : 0) + 2 * EDGE;
  // The last row begins where the others do: lines go between the columns.
  const start = (width - columns * (BOX.width + GAP.x) + GAP.x) / 2;
  const places = others.map((it, at) => {
    const row = Math.floor(at / columns);
    const x = start + (at % columns) * (BOX.width + GAP.x);
    return { it, row, x, y: EDGE + top + row * (BOX.height + GAP.y) };
  });
  const from = { x: (width - BOX.width) / 2, y: EDGE };
  const picture = shape('svg', {
    role: 'img',
    'aria-label': inWords(master, others),
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
  }, arrowHeads());
  // What is wrong lies on top of what is right.
  const order = { none: 2, copying: 1, good: 0 };
  const fed = [...places].sort((a, b) => order[a.it.feed] - order[b.it.feed]);
  if (master) picture.append(...fed.map((place) => arrow(from, place, columns > 1 || rows === 1)));
  if (master) picture.append(box(master, from));
  picture.append(...places.map((place) => box(place.it, place)));
  host.replaceChildren(picture);
}

function looks(it) {
  return [it.key, roleWords(it), it.words, it.state, it.feed, it.own, it.master, line(it)];
}

/** For who cannot see it. The table below says the same in full. */
function inWords(master, others) {
  const fed = others.filter((it) => it.feed === 'good').length;
  const head = master ? `Master ${master.ip}` : 'No master';
  return `${head}; ${fed} of ${others.length} other nodes have a current replica. Details are in the table.`;
}

function arrowHeads() {
  const head = (name) => shape('marker', {
    id: `head-${name}`, viewBox: '0 0 10 10', refX: 9, refY: 5, markerWidth: 7, markerHeight: 7, orient: 'auto',
  }, shape('path', { d: 'M0 0L10 5L0 10z', class: `head ${name}` }));
  return shape('defs', {}, head('good'), head('copying'));
}

/** Down from the master, along the rows and between the columns, so that no line crosses a box. */
function arrow(from, { it, row, x, y }, between) {
  const start = { x: from.x + BOX.width / 2, y: from.y + BOX.height };
  const target = x + BOX.width / 2;
  const gutter = start.y + GAP.y / 2;
  let path = `M${start.x} ${start.y}V${gutter}`;
  if (row > 0) path += `H${between ? x - GAP.x / 2 : Math.max(2, x - 8)}V${y - GAP.y / 2}`;
  path += `H${target}V${y - 3}`;
  const head = it.feed === 'none' ? null : `url(#head-${it.feed})`;
  return shape('path', { d: path, class: `feed ${it.feed}`, 'marker-end': head });
}

function box(it, { x, y }) {
  const middle = x + BOX.width / 2;
  const say = (dy, kind, words) => shape('text', { x: middle, y: y + dy, class: kind }, words);
  const kinds = `node ${it.state}${it.master ? ' master' : ''}${it.ghost ? ' ghost' : ''}`;
  return shape('g', { class: kinds },
    shape('title', {}, `${it.ip}: ${roleWords(it)}; Redis: ${it.words}`),
    shape('rect', { x, y, width: BOX.width, height: BOX.height, rx: 9 }),
    say(21, 'name', `${MARKS[it.state]} ${shorten(it.ip, NAME_MAX)}`),
    say(40, 'role', shorten(it.own ? `${roleWords(it)} · this hive` : roleWords(it), ROLE_MAX)),
    say(57, 'redis', it.words),
    say(73, 'lag', line(it)));
}

/** The last line of a box. */
function line(it) {
  if (it.master) return it.state === 'bad' ? '' : 'takes the writes';
  if (it.lag === null) return '';
  return `${bytes(it.lag)} behind`;
}
