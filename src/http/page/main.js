// The page: what the hive says, put where people look for it.

import { note, plot, recall } from './charts.js';
import { tell } from './details.js';
import { draw } from './drawing.js';
import { listen } from './live.js';
import * as model from './model.js';
import { ago, bytes, count, el, keyed, moment, put, shorten, span } from './text.js';

const TRANSITIONS_MAX = 256;
/** Older transitions are history, and not read out. */
const NEWS_MS = 10_000;
/** The least time between two points of the charts. */
const NOTE_EVERY_MS = 900;
const UNKNOWN = 'not known now';
const find = (id) => document.getElementById(id);

let status = null;
let link = { state: 'connecting', since: Date.now() };
/** How far the hive's clock is ahead of the browser's, in milliseconds. */
let ahead = 0;
let notedAt = 0;
let drawDue = false;
/** By run of the hive and number. */
const transitions = new Map();

function told(next) {
  const before = status;
  status = next;
  const at = Date.parse(next.at);
  ahead = Number.isNaN(at) ? 0 : at - Date.now();
  const now = Date.now();
  if (now - notedAt >= NOTE_EVERY_MS) {
    notedAt = now;
    note(status, model.nodes(status), now);
  }
  if (before && before.master !== next.master) {
    announce(next.master ? `The master is ${next.master}` : 'There is no master');
  }
  render();
}

/** Asks what was before the page was opened; without an answer the charts begin empty. */
async function remember() {
  const answer = await fetch('page/history', { cache: 'no-store', signal: AbortSignal.timeout(3000) });
  if (!answer.ok) return;
  recall(await answer.json(), Date.now());
  render();
}

function happened(run, transition) {
  const key = `${run}-${transition.seq}`;
  const known = transitions.get(key);
  // What a question brings lacks nothing, so the newer of two is the better one.
  transitions.set(key, { ...transition, key, run });
  const old = [...transitions.keys()].slice(0, Math.max(0, transitions.size - TRANSITIONS_MAX));
  old.forEach((it) => transitions.delete(it));
  const age = Date.now() + ahead - Date.parse(transition.at);
  if (status !== null && !known && age < NEWS_MS) announce(`${transition.kind}: ${model.headline(transition)}`);
  render();
}

function linked(state, since) {
  const changed = link.state !== state;
  link = { state, since };
  if (changed) render();
}

/** Says it to screen readers. */
function announce(words) {
  find('news').textContent = words;
}

/** At most once a frame. */
function render() {
  if (drawDue) return;
  drawDue = true;
  requestAnimationFrame(() => {
    drawDue = false;
    show();
  });
}

function show() {
  showLink();
  if (status === null) return;
  const all = model.nodes(status);
  const history = ordered();
  put(find('name'), status.name.replace(/\.$/, ''));
  put(find('where'), `redis-hive ${status.version}, as ${status.node} sees it`);
  showProblems(all);
  showAnswers(all, history);
  draw(find('drawing'), all);
  showNodes(all);
  plot(find('charts'), link.state === 'lost' ? Math.max(Date.now(), notedAt) : notedAt);
  showTimeline(history);
}

/** Oldest first: by the clock, and by number where a run has two in a moment. */
function ordered() {
  const byTime = (a, b) => a.at.localeCompare(b.at) || a.seq - b.seq;
  return [...transitions.values()].sort(byTime);
}

function showLink() {
  const lost = link.state === 'lost';
  const words = { connecting: 'connecting', live: 'live', polling: 'asking every 2 s', lost: 'no answer' };
  find('live').dataset.state = link.state;
  put(find('live'), words[link.state]);
  document.body.classList.toggle('stale', lost);
  find('lost').hidden = !lost;
  find('problems').hidden = lost;
  if (!lost) return;
  const since = Date.now() - link.since;
  const who = status === null ? 'The hive' : status.node;
  put(find('lost-since'), `${who} was last heard at ${moment(link.since)}. It is asked again all the time.`);
  document.title = `✕ no answer for ${span(since)}`;
  const others = status === null ? [] : model.nodes(status).filter((it) => !it.own && !it.ghost);
  // Those that lived come first.
  others.sort((a, b) => a.silent - b.silent);
  keyed(find('lost-links'), others, () => el('li', {}, el('a')), (item, it) => {
    const words = it.silent ? `${it.ip} (silent then)` : it.ip;
    address(put(item.firstChild, `page of ${words}`), it);
  });
}

function address(anchor, it) {
  const target = model.page(it.ip, location.port);
  if (anchor.getAttribute('href') !== target) anchor.setAttribute('href', target);
}

function showProblems(all) {
  const found = model.problems(status, all);
  const grave = found.some((it) => it.grave);
  const state = grave ? 'bad' : found.length > 0 ? 'warn' : 'good';
  const words = found.length === 0 ? '✓ No problems' : `${grave ? '✕' : '▲'} ${count(found.length, 'problem')}`;
  find('problems').dataset.state = state;
  put(find('verdict'), words);
  const items = found.map((it) => ({ ...it, key: it.text.replace(/\d+ s$/, '') }));
  keyed(find('problem-list'), unique(items), () => el('li'), (item, it) => {
    put(item, it.text);
    item.classList.toggle('grave', it.grave);
  });
  if (link.state !== 'lost') document.title = `${words} · ${status.name.replace(/\.$/, '')}`;
}

function unique(items) {
  return [...new Map(items.map((it) => [it.key, it])).values()];
}

function showAnswers(all, history) {
  const brought = model.brought(status, history);
  const master = all.find((it) => it.master);
  const regent = status.leader === null || master?.leads ? '' : `, led by ${status.leader}`;
  put(find('master'), status.master ?? 'none');
  find('answers').dataset.state = master && master.state === 'good' ? 'good' : 'bad';
  const now = Date.now() + ahead;
  const since = brought === null ? 'not known' : `${moment(brought.at)}, ${ago(now - Date.parse(brought.at))}`;
  put(find('since'), status.master === null ? '–' : `${since}, epoch ${status.epoch}${regent}`);
  const change = status.change ? `${status.change}. ` : '';
  const why = status.master === null ? 'An election is under way' : model.whyWords(brought);
  put(find('why'), `${change}${why}`);
  const lost = model.loss(brought);
  put(find('loss'), status.master === null ? '–' : lost.words).dataset.state = lost.state;
  // What was safe then may not be now.
  put(find('drain'), link.state === 'lost' ? UNKNOWN : model.drainWords(all, status));
  const { proxy } = status;
  const routes = { forward: 'passed on', hold: 'held until there is a master', refuse: 'turned away' };
  const readers = proxy.read ? `, ${proxy.read.clients} reading ${proxy.read.local ? 'here' : 'at the master'}` : '';
  put(find('clients'), `${proxy.clients} writing${readers}; ${proxy.held} held; ${routes[status.route]}`);
}

const COLUMNS = ['Node', 'Hive', 'Redis', 'Lag', 'Heard', 'Safe to drain'];

function nodeRow(it) {
  const cell = (name, at) => el(at === 0 ? 'th' : 'td', {
    role: at === 0 ? 'rowheader' : 'cell',
    scope: at === 0 ? 'row' : null,
    class: at === 3 || at === 4 ? 'number' : null,
    'data-label': name,
  });
  const row = el('tr', { role: 'row' }, ...COLUMNS.map(cell));
  row.firstChild.append(it.own || it.ghost ? el('span') : el('a'));
  return row;
}

function showNodes(all) {
  keyed(find('nodes'), all, nodeRow, (row, it) => {
    const [name, hive, redis, lag, heard, safe] = row.children;
    row.dataset.state = it.state;
    put(name.firstChild, shorten(it.ip, 39));
    if (name.firstChild.tagName === 'A') address(name.firstChild, it);
    put(hive, it.own ? `${model.roleWords(it)} (this hive)` : model.roleWords(it));
    put(redis, `${model.MARKS[it.state]} ${it.words}`);
    put(lag, it.master || it.redis === null ? '–' : bytes(it.lag));
    const silent = Number.isFinite(it.silentMs) ? ago(it.silentMs) : 'never';
    put(heard, it.own || it.ghost ? '–' : silent);
    const verdict = link.state === 'lost' ? null : model.drain(it, all, status);
    put(safe, verdict === null ? UNKNOWN : `${verdict.safe ? 'yes' : 'no'}: ${verdict.why}`);
    safe.dataset.state = verdict?.safe ? 'good' : 'warn';
  });
}

function showTimeline(history) {
  find('timeline-note').hidden = history.length > 0;
  keyed(find('timeline'), [...history].reverse(), entry, (item, it) => {
    const [head, what, cost, why] = item.firstChild.children;
    item.className = it.kind;
    head.firstChild.setAttribute('datetime', it.at);
    put(head.firstChild, moment(it.at));
    put(head.children[1], it.kind);
    put(what, model.headline(it));
    put(cost, model.costs(it).join(' · '));
    const words = it.why && it.kind !== 'resigned' ? `${it.why} – ${it.reason}` : it.reason;
    put(why, words);
    cost.classList.toggle('lossy', it.bytes_given_up > 0);
    item.querySelector('details').hidden = !model.LEADERSHIPS.includes(it.kind);
  });
}

function entry(it) {
  const more = el('details', {}, el('summary', {}, 'How it went'), el('div', { class: 'more' }));
  more.addEventListener('toggle', () => {
    if (more.open) tell(more.lastChild, it, status?.incarnation);
  });
  return el('li', {}, el('div', { class: 'entry' },
    el('p', { class: 'when' }, el('time'), el('span', { class: 'kind' })),
    el('p', { class: 'what' }), el('p', { class: 'cost' }), el('p', { class: 'quiet' }), more));
}

remember().catch(() => {});
listen({ status: told, transition: happened, link: linked });
// Ages grow, and lines move on, without news.
setInterval(render, 1000);
addEventListener('resize', render);
