// -- Steps: what a lesson's step can wait for, and press. Its `until` gives a predicate, which
// is called with each event, and with null after other changes.

/** Waits for an event that fits. */
function once(fits) {
  return () => {
    let seen = false;
    return (event) => (seen ||= event !== null && fits(event));
  };
}

/** The same, and it may have happened earlier in this lesson. */
function before(fits) {
  return () => {
    let seen = model.turns.some((turn) =>
      turn.events.some((event) => event.at >= tour.began && fits(event)),
    );
    return (event) => (seen ||= event !== null && fits(event));
  };
}

/** Waits for each of these, in any order. */
function each(...all) {
  return () => {
    const left = new Set(all);
    return (event) => {
      if (event) for (const fits of left) if (fits(event)) left.delete(fits);
      return left.size === 0;
    };
  };
}

/** Waits for so many events that fit. */
function times(number, fits) {
  return () => {
    let seen = 0;
    return (event) => (seen += event && fits(event) ? 1 : 0) >= number;
  };
}

/** Waits for a state of the model. */
const whenHeld = () => () => model.paused;
const whenRunning = () => () => !model.paused;
/** Waits until all conversations of a scenario have ended. */
const whenEnded = (scenario) => () => () => hasEnded(scenario);

function hasEnded(scenario) {
  const talks = [...model.talks.values()].filter((talk) => talk.scenario === scenario);
  return talks.length > 0 && talks.every((talk) => talk.ended);
}

/** Tells whether an event has this name, and what else is asked of it. */
function is(name, fits = () => true) {
  return (event) => event.event === name && fits(event);
}

const button = (label, selector) => ({ label, button: selector });
const traffic = (scenario, label) => ({
  label,
  scenario,
  button: `[data-scenario=${scenario}]`,
});

const PRESS_PAUSE = button('Press Pause', '#pause');
const PRESS_RESUME = button('Press Resume', '#resume');
const PRESS_TURN = button('Press Step one turn', '#step-turn');
const GO_ON = {
  say: `
    Let the loop go on.`,
  look: '#resume',
  press: PRESS_RESUME,
  until: whenRunning,
  for: 'the loop to run',
};

// -- Questions of lessons: what a learner predicts. The answers are worked out from what is.

const TIMEOUTS = ['not at all', 'until the next timer', 'for ever'];

const QUESTIONS = {
  /** Which task is next? */
  next_task() {
    const [next, ...later] = model.ready;
    if (next === undefined) {
      const tasks = [...model.tasks.keys()].slice(0, 3).map((id) => `task ${id}`);
      return {
        text: 'Which task is resumed next?',
        options: [...tasks, 'none is ready'],
        right: 'none is ready',
        why: 'The ready queue is empty: phases 2 and 3 have to fill it first.',
      };
    }
    const others = [...later, ...model.tasks.keys()].filter((id) => id !== next);
    const options = [next, ...new Set(others)].slice(0, 4).sort(byId);
    return {
      text: 'Which task is resumed next?',
      options: options.map((id) => `task ${id}`),
      right: `task ${next}`,
      why: 'It is at the front of the ready queue: first come, first served.',
    };
  },
  /** What will phase 1 decide? */
  timeout() {
    const [ready, timers] = [model.ready.length, model.timers.size];
    const right = ready > 0 ? 0 : timers > 0 ? 1 : 2;
    return {
      text: 'If a turn began now, how long would it be willing to wait in phase 2?',
      options: TIMEOUTS,
      right: TIMEOUTS[right],
      why: `Phase 1: ${count(ready, 'task')} ready, ${count(timers, 'timer')} set.`,
    };
  },
  /** In which state is the connection that moved last? */
  state() {
    const task = followedTask();
    const states = model.machines.get(SHOWN_KIND)?.states.map((state) => state.name) ?? [];
    const right = task && model.tasks.has(task.id) ? task.state : 'closed';
    const others = states.filter((state) => state !== right);
    return {
      text: `In which state does connection ${task?.id ?? ''} wait? Find it on the page.`,
      options: [right, ...others.slice(0, 3)].sort(),
      right,
      why: `It is ${right}.`,
    };
  },
  /** Which timer is the nearest? */
  first_timer() {
    const timers = [...model.timers.values()].sort((a, b) => a.deadline - b.deadline);
    const owners = [...new Set(timers.map((timer) => timer.task))];
    const others = [...model.tasks.keys()].filter((id) => !owners.includes(id));
    const right = owners.length > 0 ? `task ${owners[0]}` : 'no timer is set';
    const tasks = [...owners, ...others].slice(0, 3).sort(byId);
    return {
      text: 'Whose timer fires first?',
      options: [...tasks.map((id) => `task ${id}`), 'no timer is set'],
      right,
      why:
        owners.length > 0
          ? `Its deadline is the nearest of ${count(timers.length, 'timer')}.`
          : 'There is none.',
    };
  },
};
