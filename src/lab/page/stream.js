// -- Stream: the lab's events come in, commands go out.

const RETRY_AFTER = 2000;
const REFRESH_EVERY = 500;

function listen() {
  const stream = new EventSource('events');
  const takes = {
    hello: takeHello,
    snapshot: takeSnapshot,
    batch: takeBatch,
    gate: takeGate,
    traffic: takeTraffic,
  };
  for (const [name, take] of Object.entries(takes)) {
    stream.addEventListener(name, (message) => {
      take(JSON.parse(message.data));
      redraw();
    });
  }
  stream.addEventListener('open', () => setLink('live'));
  stream.addEventListener('error', () => {
    setLink('lost');
    // The browser tries again by itself, unless the answer was a refusal.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_AFTER);
  });
}

// Who asks for a snapshot gets it in the stream, too, in its place among the events.
setInterval(() => {
  if (model.is_stale && model.link === 'live') fetch('snapshot').catch(() => {});
}, REFRESH_EVERY);

function setLink(link) {
  model.link = link;
  tellListeners(null);
  redraw();
}

/** Sends a command to the lab, and gives whether it was taken; if not, the banner says why. */
async function command(path) {
  try {
    const reply = await fetch(`do/${path}`, { method: 'POST' });
    const body = await reply.json();
    say(reply.ok ? '' : `The lab refused: ${body.error}`);
    return reply.ok;
  } catch {
    say('The lab did not answer.');
    return false;
  }
}

let said = '';

function say(text) {
  said = text;
  redraw();
}
