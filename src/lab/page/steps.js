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
/** Waits until the latest conversation of a scenario has ended. */
const whenEnded = (scenario) => () => () => hasEnded(scenario);

function hasEnded(scenario) {
  const talks = [...model.talks.values()];
  return talks.findLast((talk) => talk.scenario === scenario)?.ended ?? false;
}

/** Tells whether an event has this name, and what else is asked of it. */
function is(name, fits = () => true) {
  return (event) => event.event === name && fits(event);
}

const button = (label, selector) => ({ label, button: selector });
const traffic = (scenario, label) => ({ label, button: `[data-scenario=${scenario}]` });

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
