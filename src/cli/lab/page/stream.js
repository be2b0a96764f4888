// -- Stream: the lab's events come in, commands go out.

const RETRY_AFTER = 2000;

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

function setLink(link) {
  model.link = link;
  tellListeners(null);
  redraw();
}

/** Sends a command to the lab; what goes wrong is said in the banner. */
async function command(path) {
  try {
    const reply = await fetch(`do/${path}`, { method: 'POST' });
    const body = await reply.json();
    say(reply.ok ? '' : `The lab refused: ${body.error}`);
  } catch {
    say('The lab did not answer.');
  }
}

let said = '';

function say(text) {
  said = text;
  redraw();
}
