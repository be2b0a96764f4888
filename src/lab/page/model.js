// -- Model: what is known about the loop, and what the messages that tell a whole change in it.
// Nothing here touches the page.

const TALKS_MAX = 24;
const TALK_LINES_MAX = 120;

const model = {
  /** 'connecting', 'live', or 'lost'. */
  link: 'connecting',
  hello: null,
  machines: new Map(),
  paused: false,
  /** What the loop was sent to do before it is held again, as far as this page knows. */
  errand: '',
  /** How often the gate has held the loop since the page was opened. */
  stops: 0,
  why: '',
  before: '',
  dwell: 0,
  /** The loop's clock in ns, and the page's clock when it was heard. */
  now: 0,
  heard: 0,
  turn: 0,
  phase: 'between',
  timeout: null,
  /** Tasks ready and timers set when the turn began. */
  turnReady: 0,
  turnTimers: 0,
  ready: [],
  /** How many at the front of `ready` belong to the present turn; null if that is not known. */
  batch: null,
  current: null,
  timers: new Map(),
  tasks: new Map(),
  groups: [],
  /** Something happened to tasks that are only counted: the numbers are old. */
  is_stale: false,
  sources: new Map(),
  counts: {},
  dropped: 0,
  gone: [],
  turns: [],
  events: 0,
  last: null,
  talks: new Map(),
  /** Of a world that goes back: where it stands, the latest moment that was seen, and what it follows from. */
  moment: 0,
  moments: 0,
  recipe: '',
  /** What the loop was last sent to run until: the name of an event, and the last one of that name. */
  sought: null,
  found: null,
};

/** Called with each event, and with null after anything else has changed. */
const listeners = new Set();

function tellListeners(event) {
  for (const listener of listeners) listener(event);
}

function hear(now) {
  model.now = now;
  model.heard = performance.now();
}

/** The loop's clock, carried on while the loop runs. */
function nowOfLoop() {
  if (model.paused || model.link !== 'live') return model.now;
  return model.now + (performance.now() - model.heard) * 1e6;
}

/** A lab beside a loop of somebody's own has no server to show, and no clients for it. */
function hasServer() {
  return model.hello === null || model.hello.url !== undefined;
}

function takeHello(hello) {
  model.hello = hello;
  takeGlossary(hello.glossary);
  model.machines = new Map((hello.machines ?? []).map((machine) => [machine.kind, machine]));
  // The first one only: who comes back finds the world where it is.
  if (hello.back) setTimeout(followLink);
}

/** What was told last of the loop as it is, for changes to build on: lists as maps by what names their members. */
let shown = null;

const NAMES = {
  tasks: (task) => task.id,
  sources: (source) => source.id,
  timers: (timer) => timerKey(timer.task, timer.deadline),
};

function takeSnapshot(snapshot) {
  shown = { ...snapshot };
  for (const [list, nameOf] of Object.entries(NAMES)) {
    shown[list] = new Map(snapshot[list].map((item) => [nameOf(item), item]));
  }
  adopt();
}

/** What is different since the last snapshot, or the last changes. */
function takeChanges(changes) {
  if (shown === null) return;
  for (const [name, change] of Object.entries(changes)) {
    const nameOf = NAMES[name];
    if (nameOf) {
      for (const item of change.gone) shown[name].delete(nameOf(item));
      for (const item of change.set) {
        const key = nameOf(item);
        shown[name].set(key, { ...shown[name].get(key), ...item });
      }
    } else if (name === 'ready') {
      shown.ready = [...shown.ready.slice(change.drop), ...change.push];
    } else {
      shown[name] = change;
    }
  }
  adopt();
}

/** What was told is the truth; what the page alone knows (paths, bytes) is kept. */
function adopt() {
  if (shown.turn < model.turn) forgetHistory();
  if (shown.recipe !== undefined) {
    model.moment = shown.moment;
    model.moments = shown.moments;
    model.recipe = `${shown.recipe}&at=${shown.moment}`;
  }
  model.turn = shown.turn;
  model.phase = shown.phase;
  model.paused = shown.paused;
  model.dwell = shown.dwell_ms;
  model.timeout = shown.timeout;
  model.ready = [...shown.ready];
  if (shown.phase !== 'resume') model.batch = null;
  model.timers = new Map(shown.timers);
  model.groups = shown.groups ?? [];
  model.is_stale = false;
  model.counts = shown.counts ?? {};
  const tasks = [...shown.tasks].map(([id, task]) => {
    const known = model.tasks.get(id);
    return [id, { ...blankTask(id, task.kind), ...known, ...task }];
  });
  model.tasks = new Map(tasks);
  const sources = [...shown.sources].map(([id, source]) => {
    const known = model.sources.get(id) ?? blankSource(id);
    return [id, { ...known, ...source, readiness: new Set(source.readiness) }];
  });
  model.sources = new Map(sources);
  hear(shown.now);
  tellListeners(null);
}

/** The loop began anew: turns of another life would only confuse. */
function forgetHistory() {
  model.turns = [];
  model.events = 0;
  model.gone = [];
  model.tasks.clear();
  model.sources.clear();
}

/** The loop went back: what follows is all that there is. */
function takeBack() {
  forgetHistory();
  model.talks.clear();
  model.timers.clear();
  Object.assign(model, {
    turn: 0,
    phase: 'between',
    timeout: null,
    ready: [],
    batch: null,
    current: null,
    groups: [],
    last: null,
    errand: '',
    found: null,
  });
  tellListeners(null);
}

function takeGate(gate) {
  model.paused = gate.paused;
  if (gate.paused) {
    model.stops += 1;
    model.errand = '';
  }
  model.why = gate.why ?? '';
  model.before = gate.before ?? '';
  model.heard = performance.now();
  tellListeners(null);
}

/** What the lab's own clients do, by conversation. */
function takeTraffic(note) {
  let talk = model.talks.get(note.id);
  if (!talk) {
    talk = { id: note.id, scenario: note.scenario, lines: [], left_out: 0, ended: false, notes: 0 };
    model.talks.set(note.id, talk);
    if (model.talks.size > TALKS_MAX) model.talks.delete(model.talks.keys().next().value);
  }
  talk.notes += 1;
  talk.ended = note.step === 'ended';
  const last = talk.lines.at(-1);
  if (last && last.step === note.step && (note.step === 'sent' || note.step === 'received')) {
    last.pieces += 1;
    if (last.pieces <= TALK_LINES_MAX) last.bytes.push(note.bytes ?? '');
  } else if (talk.lines.length < TALK_LINES_MAX) {
    talk.lines.push({ step: note.step, bytes: [note.bytes ?? ''], pieces: 1 });
  } else {
    talk.left_out += 1;
  }
  tellListeners({ event: `traffic ${note.step}`, ...note });
}
