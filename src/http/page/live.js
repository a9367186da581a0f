// Keeps in touch with the hive this page came from: server-sent events, and questions where those fail.

/** No word for so long: ask. The stream says something every second, and takes two to come back. */
const QUIET_MS = 3500;
/** How often to look, and how often to ask. */
const LOOK_MS = 500;
const ASK_EVERY_MS = 2000;
const ASK_TIMEOUT_MS = 2000;
/** A stream that failed for good, or that is open and mute, is opened anew after so long. */
const REOPEN_MS = 5000;

/**
 * Calls `told.status(status)`, `told.transition(run, transition)` and `told.link(state, since)`, where
 * `state` is `live`, `polling` (answers, but no events) or `lost`, and `since` when it was last heard.
 */
export function listen(told) {
  let stream = null;
  let openedAt = 0;
  let last = null;
  let heardAt = Date.now();
  let askedAt = 0;
  let asking = false;

  function heard(state, status) {
    heardAt = Date.now();
    told.link(state, heardAt);
    told.status(status);
  }

  function open() {
    stream?.close();
    openedAt = Date.now();
    stream = new EventSource(last === null ? 'events?brief' : `events?brief&last=${encodeURIComponent(last)}`);
    stream.addEventListener('status', (event) => heard('live', JSON.parse(event.data)));
    stream.addEventListener('transition', (event) => {
      last = event.lastEventId;
      told.transition(last.split('-')[0], JSON.parse(event.data));
    });
  }

  async function ask() {
    asking = true;
    askedAt = Date.now();
    try {
      const answer = await fetch('status', { cache: 'no-store', signal: AbortSignal.timeout(ASK_TIMEOUT_MS) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const status = await answer.json();
      for (const transition of status.transitions) told.transition(status.incarnation, transition);
      heard('polling', status);
    } catch {
      told.link('lost', heardAt);
    }
    asking = false;
  }

  function look() {
    const now = Date.now();
    const quiet = now - heardAt > QUIET_MS;
    const polls = askedAt > 0 && heardAt >= askedAt && stream.readyState !== EventSource.OPEN;
    if ((quiet || polls) && !asking && now - askedAt >= ASK_EVERY_MS) ask();
    const dead = stream.readyState === EventSource.CLOSED || quiet;
    if (dead && now - openedAt >= REOPEN_MS) open();
  }

  open();
  setInterval(look, LOOK_MS);
}
