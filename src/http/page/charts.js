// Writes, traffic and lag over the last minutes, as lines.

import { bytes, el, put, shape, span } from './text.js';

const WINDOW_MS = 5 * 60_000;
/** Rates are over about so long: offsets come with the heartbeats, not evenly. */
const RATE_OVER_MS = 2500;
/** Without a word for so long there is a gap in the line. */
const GAP_MS = 6000;
/** With more replicas only the one that is furthest behind is drawn. */
const LINES_MAX = 5;
const SIZE = { height: 110, left: 58, right: 8, top: 8, bottom: 18 };

const samples = [];

/** Notes what a status says. `at`: milliseconds. */
export function note(status, nodes, at) {
  const behind = nodes.filter((it) => !it.master && it.lag !== null);
  samples.push({
    at,
    run: status.incarnation,
    master: status.master,
    offset: masterOffset(status, nodes),
    up: status.proxy.bytes_up,
    down: status.proxy.bytes_down,
    lags: new Map(behind.map((it) => [it.ip, it.lag])),
  });
  while (samples[0].at < at - WINDOW_MS - GAP_MS) samples.shift();
}

/** Puts what the hive noted before the page was opened (`/page/history`) before what the page has seen. */
export function recall(history, now) {
  const first = samples[0]?.at ?? now;
  const newest = history.rows.at(-1)?.[1];
  const old = history.rows.map(([ago, reign, offset, up, down, lags, most]) => {
    const named = history.replicas.map((name, at) => [name, lags[at]]);
    return {
      at: now - ago,
      run: history.run,
      master: reign === newest ? history.master : reign,
      offset,
      up,
      down,
      lags: new Map([...named, ['the last one', most]].filter(([, lag]) => lag !== null)),
    };
  });
  samples.unshift(...old.filter((it) => it.at < first));
}

/** Where the master's stream is. What this hive lacks of it is known even where the master's hive is silent. */
function masterOffset(status, nodes) {
  const { offset, lag_bytes: lag } = status.redis;
  if (lag !== null) return offset + lag;
  return nodes.find((it) => it.master)?.redis.offset ?? null;
}

/** Draws all charts into `host`; the right edge is `now`. */
export function plot(host, now) {
  const rate = (value) => `${bytes(value)}/s`;
  const writes = [{ name: 'writes', points: rates('offset', 'master') }];
  const traffic = [
    { name: 'from clients', points: rates('up', 'run') },
    { name: 'to clients', points: rates('down', 'run') },
  ];
  const charts = [
    { key: 'writes', title: 'Writes (the master’s stream)', say: rate, lines: writes },
    { key: 'traffic', title: 'Clients of this hive', say: rate, lines: traffic },
    { key: 'lag', title: 'Replication lag', say: bytes, lines: lagLines() },
  ];
  for (const chart of charts) {
    let figure = [...host.children].find((it) => it.dataset.key === chart.key);
    if (!figure) {
      figure = el('figure', { 'data-key': chart.key }, el('figcaption'), el('div', { class: 'plot' }));
      host.append(figure);
    }
    fill(figure, chart, now);
  }
}

/** Bytes a second of a counter, where it is the same counter all the time. */
function rates(name, same) {
  const points = [];
  let back = 0;
  samples.forEach((sample, at) => {
    while (samples[back].at < sample.at - RATE_OVER_MS && back < at - 1) back += 1;
    const before = samples[back];
    const fits = before[same] === sample[same] && sample.at - before.at < GAP_MS && before !== sample;
    const grown = fits && sample[name] !== null && before[name] !== null && sample[name] >= before[name];
    points.push([sample.at, grown ? ((sample[name] - before[name]) * 1000) / (sample.at - before.at) : null]);
  });
  return points;
}

function lagLines() {
  const names = [...new Set(samples.flatMap((sample) => [...sample.lags.keys()]))].sort();
  if (names.length <= LINES_MAX) {
    return names.map((name) => ({ name, points: samples.map((it) => [it.at, it.lags.get(name) ?? null]) }));
  }
  const most = (it) => (it.lags.size > 0 ? Math.max(...it.lags.values()) : null);
  return [{ name: 'furthest behind', points: samples.map((it) => [it.at, most(it)]) }];
}

function fill(figure, { title, say, lines }, now) {
  const [caption, plotted] = figure.children;
  const values = lines.flatMap((it) => it.points.map(([, value]) => value)).filter((value) => value !== null);
  const top = nice(Math.max(0, ...values));
  const latest = (it) => it.points.at(-1)?.[1] ?? null;
  const told = lines.map((it) => [it.name, latest(it) === null ? '–' : say(latest(it))]);
  if (caption.children.length === 0) caption.append(el('strong'), el('span', { class: 'legend' }));
  put(caption.children[0], title);
  legend(caption.children[1], told);
  const width = Math.max(220, plotted.clientWidth);
  const x = (at) => SIZE.left + (1 - (now - at) / WINDOW_MS) * (width - SIZE.left - SIZE.right);
  const y = (value) => SIZE.height - SIZE.bottom - (value / top) * (SIZE.height - SIZE.top - SIZE.bottom);
  const most = values.length > 0 ? `; at most ${say(Math.max(...values))} in the last ${span(WINDOW_MS)}` : '';
  const label = `${title}: now ${told.map((it) => it.join(' ')).join(', ') || 'nothing'}${most}`;
  const { height } = SIZE;
  const about = { role: 'img', 'aria-label': label, viewBox: `0 0 ${width} ${height}`, width, height };
  const drawn = lines.flatMap((it, at) => line(it.points, at, x, y));
  plotted.replaceChildren(shape('svg', about, ...frame(width, y, top, say), ...drawn));
}

function legend(host, entries) {
  while (host.children.length > entries.length) host.lastChild.remove();
  entries.forEach(([name, value], at) => {
    if (!host.children[at]) host.append(el('span', { class: `key line-${at}` }, el('i'), el('span')));
    put(host.children[at].lastChild, entries.length === 1 ? value : `${name} ${value}`);
  });
}

function frame(width, y, top, say) {
  const grid = (value) => shape('path', { class: 'grid', d: `M${SIZE.left} ${y(value)}H${width - SIZE.right}` });
  const label = (x, y, kind, words) => shape('text', { class: `axis ${kind}`, x, y }, words);
  const mark = (value) => label(SIZE.left - 5, y(value) + 4, 'end', say(value));
  const below = (x, kind, words) => label(x, SIZE.height - 4, kind, words);
  const times = [below(SIZE.left, 'start', '5 min ago'), below(width - SIZE.right, 'end', 'now')];
  return [grid(0), grid(top / 2), grid(top), mark(0), mark(top), ...times];
}

/** A line with gaps where nothing is known; a lonely point is a dot. */
function line(points, at, x, y) {
  let path = '';
  let before = null;
  for (const [when, value] of points) {
    if (value === null || x(when) < SIZE.left) {
      before = null;
      continue;
    }
    const joined = before !== null && when - before < GAP_MS;
    path += `${joined ? 'L' : 'M'}${x(when).toFixed(1)} ${y(value).toFixed(1)}${joined ? '' : 'h.1'}`;
    before = when;
  }
  return path ? [shape('path', { class: `line line-${at}`, d: path })] : [];
}

/** The next of 1, 2, 5, 10 ... that is not below. */
function nice(most) {
  if (most <= 0) return 100;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((it) => it * power).find((it) => it >= most);
}
