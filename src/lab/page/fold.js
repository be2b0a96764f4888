// -- Fold: what each event changes in the model, and the turns that they make.

const EVENTS_MAX = 5000;
const TURNS_MAX = 2000;
const TASKS_MAX = 2000;
const SOURCES_MAX = 2000;
const GONE_MAX = 8;
const PATH_MAX = 24;
const OPERATIONS_MAX = 14;

/** The loop's input buffer: the most that a connection reads at once. */
const READ_BYTES_MAX = 64 * 1024;

function takeBatch(batch) {
  if (batch.dropped > 0) model.dropped += batch.dropped;
  for (const event of batch.events) takeEvent(event);
}

function takeEvent(event) {
  hear(event.at);
  FOLDS[event.event]?.(event);
  file(event);
  if (event.event === model.sought) model.found = event;
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

/** The owner of a source that connects, and has none yet. */
const NOBODY = '4294967295';

function timerKey(task, deadline) {
  return `${task}@${deadline}`;
}

/** The task of an event. One that a snapshot only counted stays unknown: it would count twice. */
function taskOf(event) {
  const known = model.tasks.get(event.task);
  if (known) return known;
  const task = blankTask(event.task, event.kind ?? '');
  const isCounted = model.groups.length > 0 && event.event !== 'spawned';
  if (!isCounted && model.tasks.size < TASKS_MAX) model.tasks.set(event.task, task);
  else model.is_stale = true;
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
  if (!task) {
    model.is_stale = model.groups.length > 0;
    return;
  }
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
    sourceOf(event).task = event.task === NOBODY ? null : event.task;
  },
  accepted(event) {
    operated(event, 'accept', 'accept');
  },
  read(event) {
    const source = operated(event, 'read', `read ${event.bytes}`);
    source.read += event.bytes;
    // A read that came back short says that there is no more, unless there was urgent data.
    const isEmpty = event.bytes < READ_BYTES_MAX && !source.readiness.has('priority');
    if (isEmpty) source.readiness.delete('readable');
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
  if (event.event === 'stall') return `${event.text}${kernelsVictims(turn)}`;
  if (event.event === 'waited') return `${event.text}, after ${span(turn.waited - turn.waits)}`;
  return event.text;
}

/** Who asked during a stall waits in the kernel: the loop hears of it in the next turn. */
function kernelsVictims(turn) {
  const next = model.turns[model.turns.indexOf(turn) + 1];
  const waited = next?.events.find((event) => event.event === 'waited');
  if (!waited) return '; who asked meanwhile waits in the kernel, and is reported in the next turn';
  if (waited.sources === 0) return '; nobody waited in the kernel';
  return `; ${count(waited.sources, 'source')} waited in the kernel, and came in the next turn`;
}
