// -- Model: what is known about the loop, a fold over the stream. Nothing here touches the page.

const EVENTS_MAX = 5000;
const TURNS_MAX = 2000;
const TASKS_MAX = 2000;
const SOURCES_MAX = 2000;
const GONE_MAX = 8;
const PATH_MAX = 24;
const OPERATIONS_MAX = 14;
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
  sources: new Map(),
  counts: {},
  dropped: 0,
  gone: [],
  turns: [],
  events: 0,
  last: null,
  talks: new Map(),
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

function takeHello(hello) {
  model.hello = hello;
  model.machines = new Map((hello.machines ?? []).map((machine) => [machine.kind, machine]));
}

/** A snapshot is the truth; what the page alone knows (paths, bytes) is kept. */
function takeSnapshot(snapshot) {
  if (snapshot.turn < model.turn) forgetHistory();
  model.turn = snapshot.turn;
  model.phase = snapshot.phase;
  model.paused = snapshot.paused;
  model.dwell = snapshot.dwell_ms;
  model.timeout = snapshot.timeout ?? model.timeout;
  model.ready = [...snapshot.ready];
  if (snapshot.phase !== 'resume') model.batch = null;
  model.timers = new Map(
    snapshot.timers.map((timer) => [timerKey(timer.task, timer.deadline), timer]),
  );
  model.groups = snapshot.groups ?? [];
  model.counts = snapshot.counts ?? {};
  const tasks = snapshot.tasks.map((task) => {
    const known = model.tasks.get(task.id);
    return [task.id, { ...blankTask(task.id, task.kind), ...known, ...task }];
  });
  model.tasks = new Map(tasks);
  const sources = snapshot.sources.map((source) => {
    const known = model.sources.get(source.id) ?? blankSource(source.id);
    return [source.id, { ...known, task: source.task, readiness: new Set(source.readiness) }];
  });
  model.sources = new Map(sources);
  hear(snapshot.now);
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

function takeBatch(batch) {
  if (batch.dropped > 0) model.dropped += batch.dropped;
  for (const event of batch.events) takeEvent(event);
}

function takeEvent(event) {
  hear(event.at);
  FOLDS[event.event]?.(event);
  file(event);
  model.last = event;
  tellListeners(event);
}

function blankTask(id, kind) {
  const first = model.machines.get(kind)?.states[0]?.name ?? null;
  return {
    id,
    kind,
    name: null,
    state: first,
    since: model.now,
    waits_for: '',
    parent: null,
    site: null,
    path: [],
    request: '',
    answer: '',
    ending: '',
    cause: [],
  };
}

function blankSource(id) {
  return {
    id,
    task: null,
    readiness: new Set(),
    read: 0,
    written: 0,
    blocked: 0,
    operations: [],
    touched: 0,
  };
}

function timerKey(task, deadline) {
  return `${task}@${deadline}`;
}

function taskOf(event) {
  let task = model.tasks.get(event.task);
  if (!task) {
    task = blankTask(event.task, event.kind ?? '');
    if (model.tasks.size < TASKS_MAX) model.tasks.set(event.task, task);
  }
  return task;
}

function sourceOf(event) {
  let source = model.sources.get(event.source);
  if (!source) {
    source = blankSource(event.source);
    if (model.sources.size < SOURCES_MAX) model.sources.set(event.source, source);
  }
  source.touched = event.at;
  return source;
}

/** One more system call on a source. */
function operated(event, kind, text) {
  const source = sourceOf(event);
  source.operations.push({ kind, text });
  if (source.operations.length > OPERATIONS_MAX) source.operations.shift();
  return source;
}

function ended(event, why) {
  model.timers.forEach((timer, key) => timer.task === event.task && model.timers.delete(key));
  const task = model.tasks.get(event.task);
  if (model.current === event.task) model.current = null;
  if (!task) return;
  model.tasks.delete(event.task);
  if (!model.machines.has(task.kind) && task.kind !== 'coroutine') return;
  model.gone.unshift({ ...task, ending: task.ending || why, at: event.at });
  model.gone.length = Math.min(model.gone.length, GONE_MAX);
}

/** What each event changes. One that is not here changes nothing but the log. */
const FOLDS = {
  turn_began(event) {
    Object.assign(model, {
      turn: event.turn,
      turnReady: event.ready,
      turnTimers: event.timers,
      phase: 'timeout',
      batch: null,
      current: null,
    });
  },
  waiting(event) {
    model.timeout = { timeout: event.timeout, timeout_ns: event.timeout_ns };
    model.phase = 'wait';
  },
  waited() {
    model.phase = 'queue';
  },
  ready(event) {
    const source = operated(event, 'ready', event.readiness.map(plain).join(', '));
    event.readiness.forEach((bit) => source.readiness.add(bit));
  },
  timer_fired(event) {
    model.timers.delete(timerKey(event.task, event.deadline));
  },
  queued(event) {
    if (!model.ready.includes(event.task)) model.ready.push(event.task);
  },
  resumed(event) {
    if (model.phase !== 'resume') {
      model.phase = 'resume';
      model.batch = Math.max(model.ready.length, 1);
    }
    model.ready = model.ready.filter((task) => task !== event.task);
    if (model.batch !== null) model.batch -= 1;
    model.current = event.task;
    const task = taskOf(event);
    task.kind = event.kind;
    task.cause = event.cause;
  },
  suspended(event) {
    model.current = null;
    const task = model.tasks.get(event.task);
    if (task) task.flow = event.flow;
  },
  spawned(event) {
    taskOf(event).kind = event.kind;
  },
  finished(event) {
    ended(event, '');
  },
  panicked(event) {
    ended(event, 'it panicked');
  },
  state(event) {
    const task = taskOf(event);
    Object.assign(task, { state: event.to, since: event.at });
    task.path.push([event.from, event.to]);
    if (task.path.length > PATH_MAX) task.path.shift();
  },
  timer_set(event) {
    const timer = { task: event.task, deadline: event.deadline };
    model.timers.set(timerKey(timer.task, timer.deadline), timer);
  },
  timer_cancelled(event) {
    model.timers.delete(timerKey(event.task, event.deadline));
  },
  opened(event) {
    sourceOf(event).task = event.task;
  },
  accepted(event) {
    operated(event, 'accept', 'accept');
  },
  read(event) {
    operated(event, 'read', `read ${event.bytes}`).read += event.bytes;
  },
  read_end(event) {
    operated(event, 'read', 'read: end');
  },
  wrote(event) {
    const all = event.bytes === event.of;
    const text = all ? `wrote ${event.bytes}` : `wrote ${event.bytes} of ${event.of}`;
    const source = operated(event, all ? 'wrote' : 'short', text);
    source.written += event.bytes;
    if (!all) source.readiness.delete('writable');
  },
  would_block(event) {
    const source = operated(event, 'blocked', `${event.operation} would block`);
    source.blocked += 1;
    source.readiness.delete(event.operation === 'write' ? 'writable' : 'readable');
  },
  shut(event) {
    operated(event, 'shut', 'shut');
  },
  closed(event) {
    model.sources.delete(event.source);
  },
  request(event) {
    taskOf(event).request = event.line;
  },
  response(event) {
    taskOf(event).answer = `${event.status}, ${count(event.body_bytes, 'byte')}`;
  },
  ending(event) {
    taskOf(event).ending = event.why;
  },
};

/** Puts an event into its turn; the oldest turns go when there are too many events. */
function file(event) {
  let turn = model.turns.at(-1);
  if (!turn || event.event === 'turn_began') {
    turn = {
      turn: event.turn ?? model.turn,
      began: event.at,
      waits: event.at,
      waited: event.at,
      ended: event.at,
      timeout: null,
      ready: event.ready ?? 0,
      timers: event.timers ?? 0,
      resumes: 0,
      accepts: 0,
      blocked: 0,
      stalls: 0,
      events: [],
    };
    model.turns.push(turn);
  }
  turn.events.push(event);
  turn.ended = event.at;
  model.events += 1;
  TALLIES[event.event]?.(turn, event);
  while (model.events > EVENTS_MAX && model.turns.length > 1) {
    model.events -= model.turns.shift().events.length;
  }
  if (model.events > EVENTS_MAX) {
    model.events -= turn.events.splice(0, EVENTS_MAX / 10).length;
  }
  if (model.turns.length > TURNS_MAX) model.events -= model.turns.shift().events.length;
}

const TALLIES = {
  waiting(turn, event) {
    turn.waits = turn.waited = event.at;
    turn.timeout = { ...model.timeout };
  },
  waited(turn, event) {
    turn.waited = event.at;
  },
  resumed(turn) {
    turn.resumes += 1;
  },
  accepted(turn) {
    turn.accepts += 1;
  },
  would_block(turn) {
    turn.blocked += 1;
  },
  stall(turn) {
    turn.stalls += 1;
  },
};

/** What the lab's own clients do, by conversation. */
function takeTraffic(note) {
  let talk = model.talks.get(note.id);
  if (!talk) {
    talk = { id: note.id, scenario: note.scenario, lines: [], left_out: 0, ended: false };
    model.talks.set(note.id, talk);
    if (model.talks.size > TALKS_MAX) model.talks.delete(model.talks.keys().next().value);
  }
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

/** The chapter of a turn that an event belongs to, given the one before: the narrator's rule. */
function chapterAfter(chapter, event) {
  switch (event.event) {
    case 'turn_began':
      return 'heading';
    case 'waiting':
      return 'timeout';
    case 'waited':
      return 'wait';
    case 'ready':
    case 'timer_fired':
      return 'queue';
    case 'queued':
      return chapter === 'wait' ? 'queue' : chapter;
    case 'resumed':
      return 'resume';
    default:
      return chapter;
  }
}

/** An event's sentence in its turn: the narrator knows more than the event alone. */
function sentence(event, turn) {
  if (event.event === 'waiting') return timeoutReason(turn.timeout, turn.ready, turn.timers);
  if (event.event === 'waited') return `${event.text}, after ${span(turn.waited - turn.waits)}`;
  return event.text;
}
