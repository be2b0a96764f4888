// -- Exercises: a lesson ends with one whose answer is a moment. The world that goes back judges it by
// replay, and names what is missing.

const exercise = {
  /** What the world said last, and of which moment: `missing` is null if it is right. */
  judged: null,
  /** A moment is being judged. */
  isUnderWay: false,
  /** A right answer was asked for. */
  isShown: false,
};

/** Each exercise begins with a fresh world, of the same seed. */
function beginExercise() {
  exercise.judged = null;
  exercise.isShown = false;
  const seed = model.recipe.match(/^seed=(\d+)/)?.[1];
  if (seed !== undefined) command(`open?seed=${seed}`);
}

function takeJudged({ missing }) {
  exercise.judged = { missing, recipe: model.recipe };
  tellListeners(null);
}

/** True if the moment that was judged last is right. */
function isSolved() {
  return exercise.judged?.missing === null;
}

function exerciseParagraphs() {
  const task = tourText('exercise', { task: lessonTexts().exercise.task });
  return [task, tourText(model.hello?.back ? 'hand_in' : 'no_past')];
}

/** What is said of the moment where the loop stands: nothing, unless it was judged. */
function verdictOnExercise() {
  const { judged, isShown } = exercise;
  if (!model.hello?.back) return '';
  if (judged?.recipe !== model.recipe) return isShown ? tourText('shown') : '';
  const { right, missing } = lessonTexts().exercise;
  if (judged.missing === null) return `✓ ${tourText('right')} ${right}`;
  return `✗ ${tourText('not_yet', { missing: missing[judged.missing] })}`;
}

function drawExercise(step) {
  const isThere = step.isExercise === true && model.hello?.back === true;
  for (const name of ['traffic', 'check', 'show']) byName(`lesson-${name}`).hidden = !isThere;
  if (!isThere) return;
  allow(byName('lesson-check'), model.paused ? reasonAgainst('') : tourText('hold_first'));
  for (const name of ['show', 'begin']) allow(byName(`lesson-${name}`), reasonAgainst(''));
}

// The card lies over the buttons that make traffic.
byName('lesson-scenario').append(
  ...SCENARIOS.map(([scenario, name]) => h('option', { value: scenario }, name)),
);
byName('lesson-begin').addEventListener('click', () =>
  command(`traffic?scenario=${byName('lesson-scenario').value}`),
);
byName('lesson-check').addEventListener('click', async () => {
  // Once is enough: a second answer could be judged when the lesson has been left.
  if (exercise.isUnderWay) return;
  exercise.isUnderWay = true;
  await command(`check?exercise=${tour.lesson.id}`);
  exercise.isUnderWay = false;
});
byName('lesson-show').addEventListener('click', async () => {
  exercise.judged = null;
  exercise.isShown = await command(`solve?exercise=${tour.lesson.id}`);
  redraw();
});
