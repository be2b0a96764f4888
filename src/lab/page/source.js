// -- Source: where the messages come from, and where commands go. A lab beside a live loop sends
// server-sent events; a world in this page is asked for the same.

const RETRY_AFTER = 2000;
const REFRESH_EVERY = 500;

/** What each message does; a source calls this. */
function take(name, data) {
  const takes = {
    hello: takeHello,
    back: takeBack,
    snapshot: takeSnapshot,
    changes: takeChanges,
    batch: takeBatch,
    gate: takeGate,
    stuck: (stuck) => say(`It does not go there: ${stuck.why}`),
    traffic: takeTraffic,
    judged: takeJudged,
    futures: takeFutures,
  };
  takes[name]?.(JSON.parse(data));
  redraw();
}

const MESSAGES = [
  'hello',
  'back',
  'snapshot',
  'changes',
  'batch',
  'gate',
  'stuck',
  'traffic',
  'judged',
  'futures',
];

/** The lab that has sent this page. */
function labAsSource() {
  function listen() {
    const stream = new EventSource('events');
    for (const name of MESSAGES) {
      stream.addEventListener(name, (message) => take(name, message.data));
    }
    stream.addEventListener('open', () => setLink('live'));
    stream.addEventListener('error', () => {
      setLink('lost');
      // The browser tries again by itself, unless the answer was a refusal.
      if (stream.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_AFTER);
    });
  }
  return {
    listen,
    /** Who asks for a snapshot gets it in the stream, too, in its place among the events. */
    refresh: () => fetch('snapshot').catch(() => {}),
    /** Gives why it was not obeyed, or an empty text. */
    async order(path) {
      try {
        const reply = await fetch(`do/${path}`, { method: 'POST' });
        const body = await reply.json();
        return reply.ok ? '' : `The lab refused: ${body.error}`;
      } catch {
        return 'The lab did not answer.';
      }
    },
  };
}

const DEFAULT_RECIPE = 'seed=1';

/** A world in this page: the module that stands in it, compressed and in base64. */
function worldAsSource(packed) {
  let compiled = null;
  let world = null;
  let timer = 0;

  const textAt = (from, bytes) =>
    new TextDecoder().decode(new Uint8Array(world.memory.buffer, from, bytes));
  const text = () => textAt(world.text(), world.text_bytes());

  /** Calls a function of the module with a text. */
  function call(name, argument, ...more) {
    const bytes = new TextEncoder().encode(argument);
    const room = world.room(bytes.length);
    new Uint8Array(world.memory.buffer, room, bytes.length).set(bytes);
    return world[name](bytes.length, ...more);
  }

  function deliver(messages) {
    for (const block of messages.split('\n\n')) {
      const [, name, data] = block.match(/^event: (\S+)\ndata: (.*)$/s) ?? [];
      if (name) take(name, data);
    }
  }

  /** A module that has panicked is of no use any more: another one goes to where it stood. */
  async function guarded(work) {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      const words = textAt(world.words(), world.words_bytes());
      await begin(model.recipe || DEFAULT_RECIPE);
      return `It stands where it stood: the next step panics. ${words}`;
    }
  }

  async function begin(recipe) {
    clearTimeout(timer);
    world = (await WebAssembly.instantiate(compiled, {})).exports;
    if (!call('open', recipe)) return text();
    takeBack();
    deliver(text());
    return '';
  }

  async function run() {
    clearTimeout(timer);
    const why = await guarded(() => {
      const next = world.tick(performance.now());
      world.messages();
      deliver(text());
      if (next >= 0) timer = setTimeout(run, next);
      return '';
    });
    if (why) say(why);
  }

  return {
    async listen() {
      const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
      compiled = await WebAssembly.compile(await new Response(stream).arrayBuffer());
      setLink('live');
      say(await begin(DEFAULT_RECIPE));
    },
    refresh() {},
    async order(path) {
      const why = await guarded(() => (call('command', path, performance.now()) ? '' : text()));
      await run();
      return why;
    },
  };
}

const packed = document.querySelector('#wasm')?.textContent;
const source = packed ? worldAsSource(packed) : labAsSource();

setInterval(() => {
  if (model.is_stale && model.link === 'live') source.refresh();
}, REFRESH_EVERY);

function setLink(link) {
  model.link = link;
  tellListeners(null);
  redraw();
}

let commands = 0;

/** Sends a command, and gives whether it was taken; if not, the banner says why. */
async function command(path) {
  commands += 1;
  const number = commands;
  const why = await source.order(path);
  // Replies may overtake each other: that an older one was taken is no news after a refusal.
  if (why !== '' || number === commands) say(why);
  return why === '';
}

let said = '';

function say(text) {
  said = text;
  redraw();
}
