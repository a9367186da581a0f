// What a hive knows of one transition beyond its headline; asked for when somebody wants to know.

import { phases } from './model.js';
import { count, el, put } from './text.js';

const TIMEOUT_MS = 3000;

/** Puts it into `host`. `run`: the present run of the hive. */
export async function tell(host, transition, run) {
  put(host, 'asking …');
  try {
    const whole = await ask(transition, run);
    const parts = [
      list('Took', phases(whole)),
      list('Offered', (whole.offers ?? []).map(offerWords)),
      list('Votes', (whole.votes ?? []).map(voteWords)),
    ];
    const known = parts.filter((part) => part !== null);
    const nothing = el('p', {}, 'This hive neither led nor voted: ask the page of the leader.');
    host.replaceChildren(...(known.length > 0 ? known : [nothing]));
  } catch (error) {
    put(host, `Cannot tell: ${error.message}`);
  }
}

async function ask(transition, run) {
  if (transition.run !== run) throw new Error('this hive has restarted since, and forgot it');
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const answer = await fetch(`transitions?since=${transition.seq - 1}`, { cache: 'no-store', signal });
  const whole = (await answer.json()).find((it) => it.seq === transition.seq);
  if (!whole) throw new Error('this hive does not keep it any more');
  return whole;
}

function offerWords(offer) {
  return `${offer.node}: ${offer.state ?? 'no Redis'}, offset ${offer.offset}, ${count(offer.keys, 'key')}`;
}

function voteWords(vote) {
  const answer = vote.granted ? 'consented to' : `refused (${vote.why}) to`;
  return `${vote.by} ${answer} ${vote.to}, epoch ${vote.epoch}`;
}

function list(title, lines) {
  if (lines.length === 0) return null;
  return el('div', {}, el('h3', {}, title), el('ul', {}, ...lines.map((line) => el('li', {}, line))));
}
