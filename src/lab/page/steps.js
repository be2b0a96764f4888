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
  return (event) => event.event === name && isOwn(event) && fits(event);
}

/** What concerns a task that was there before the lesson is none of its business, unless it accepts. */
function isOwn(event) {
  const task = event.task ?? model.sources.get(event.source)?.task;
  return !tour.strangers.has(task) || model.tasks.get(task)?.kind === 'acceptor';
}

/** A change of state to this one. */
const leadsTo = (state) => is('state', (event) => event.to === state);

const button = (selector) => ({ button: selector });
const traffic = (scenario) => ({ scenario, button: `[data-scenario=${scenario}]` });
/** Nothing but what the step holds at. */
const RUN_ON = {};

const PRESS_PAUSE = button('#pause');
const PRESS_RESUME = button('#resume');
const PRESS_TURN = button('#step-turn');

/** The coroutine that was spawned last: the handler of the request that a step has made. */
let handlerTask = null;

listeners.add((event) => {
  if (event?.event === 'spawned' && event.kind === 'coroutine') handlerTask = event.task;
});

/** Holds before the handler is resumed, whatever for. */
const beforeHandler = () => `what=connection&task=${encodeURIComponent(handlerTask)}`;
