// -- Questions of lessons: what a learner predicts. The answers are worked out from what is. An option
// is a text of the question, filled in, or `literal`: a name or a number, the same in every language.

const option = (text, values) => ({ text, values });
const literal = (text) => ({ literal: String(text) });

/** A question with these options, of which the one at `right` is. */
const question = (options, right, more) => ({ options, right, why: 'why', ...more });

/** The events that are known, newest first. */
function* newestEvents() {
  for (let at = model.turns.length - 1; at >= 0; at -= 1) yield* model.turns[at].events.toReversed();
}

/** Numbers as options, in order, among them the right one. */
function numbers(right, others) {
  const all = [...new Set([right, ...others])].sort((a, b) => a - b);
  return question(all.map(literal), all.indexOf(right));
}

/** Tasks as options, in order, and `none` at the end. Those in front come first if there are too many. */
function tasksOrNone(ids, right, most) {
  const shown = [...new Set(ids)].slice(0, most).sort(byId);
  const options = [...shown.map((task) => option('task', { task })), option('none')];
  return [options, right === undefined ? shown.length : shown.indexOf(right)];
}

const QUESTIONS = {
  /** Which task is next? */
  next_task() {
    const [next] = model.ready;
    const [options, right] = tasksOrNone([...model.ready, ...model.tasks.keys()], next, 4);
    return question(options, right, { why: next === undefined ? 'why_none' : 'why' });
  },
  /** What will phase 1 decide? */
  timeout() {
    const [ready, timers] = [model.ready.length, model.timers.size];
    const right = ready > 0 ? 0 : timers > 0 ? 1 : 2;
    const options = ['zero', 'until', 'forever'].map((text) => option(text));
    return question(options, right, { values: { ready, timers } });
  },
  /** In which state is the connection that moved last? */
  state() {
    const task = followedTask();
    const states = model.machines.get(SHOWN_KIND)?.states.map((state) => state.name) ?? [];
    const state = task && model.tasks.has(task.id) ? task.state : 'closed';
    const others = states.filter((other) => other !== state);
    const shown = [state, ...others.slice(0, 3)].sort();
    const values = { task: task?.id ?? '' };
    return question(shown.map(literal), shown.indexOf(state), { values });
  },
  /** Which timer is the nearest? */
  first_timer() {
    const timers = [...model.timers.values()].sort((a, b) => a.deadline - b.deadline);
    const owners = timers.map((timer) => timer.task);
    const [options, right] = tasksOrNone([...owners, ...model.tasks.keys()], owners[0], 3);
    const why = owners.length > 0 ? 'why' : 'why_none';
    return question(options, right, { why, values: { timers: timers.length } });
  },
  /** How many accepts were there in the last resume that had any? */
  taken() {
    let taken = 0;
    for (const event of newestEvents()) {
      if (event.event === 'accepted') taken += 1;
      else if (event.event === 'resumed' && taken > 0) break;
    }
    return numbers(taken, [1, 64, 100]);
  },
  /** How many clients has the loop accepted since it was held up? */
  known() {
    let accepted = 0;
    for (const event of newestEvents()) {
      if (event.event === 'stall') break;
      if (event.event === 'accepted') accepted += 1;
    }
    return { ...numbers(accepted, [0, 1, 2]), values: { accepted } };
  },
  /** Is the listener that was used last still readable, as far as the loop knows? */
  readable() {
    const owner = (source) => model.tasks.get(source.task)?.kind;
    const all = [...model.sources.values()].filter((source) => owner(source) === 'acceptor');
    const [last] = all.sort((a, b) => b.touched - a.touched);
    const isReadable = last?.readiness.has('readable') ?? false;
    const options = [option('yes'), option('no')];
    return question(options, isReadable ? 0 : 1, { why: isReadable ? 'why_yes' : 'why_no' });
  },
  /** How often has the connection that moved last set a timer? */
  set_times() {
    const task = followedTask()?.id ?? '';
    const isOne = (event) => event.event === 'timer_set' && event.task === task;
    const set = [...newestEvents()].filter(isOne).length;
    return { ...numbers(set, [1, 2, 3]), values: { task } };
  },
  /** What can end the next wait? */
  ends_wait() {
    const timers = model.timers.size;
    const options = [option('all'), option('no_timer')];
    return question(options, timers > 0 ? 0 : 1, { values: { timers } });
  },
  /** What has ended the last wait? */
  ended_wait() {
    let timers = 0;
    let sources = 0;
    for (const event of newestEvents()) {
      if (event.event === 'timer_fired') timers += 1;
      if (event.event !== 'waited') continue;
      sources = event.sources;
      break;
    }
    const options = ['source', 'timer', 'wake'].map((text) => option(text));
    return question(options, sources > 0 ? 0 : timers > 0 ? 1 : 2, { values: { sources, timers } });
  },
  /** Where is the client for which there was no descriptor? */
  where() {
    const isOne = (event) => event.event === 'accepted' || leadsTo('backing off')(event);
    const last = [...newestEvents()].find(isOne);
    const connections = [...model.tasks.values()].filter((task) => task.kind === SHOWN_KIND).length;
    const options = [option('kernel'), option('task')];
    return question(options, last?.event === 'accepted' ? 1 : 0, { values: { connections } });
  },
};

/** The text of an option of a question of this kind. */
function optionText(kind, { text, values, literal }) {
  return literal ?? put(texts().questions[kind][text], values);
}
