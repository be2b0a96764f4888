// -- Tour: leads through a lesson. A step points at something, offers to press the buttons, and
// waits until what it speaks of has happened.

const tour = {
  lesson: null,
  at: 0,
  /** Steps up to here have happened. */
  met: -1,
  /** The loop's clock when the lesson began. */
  began: 0,
  /** Tells whether the present step has happened; it is asked after each event. */
  hasHappened: null,
  target: null,
  /** The tasks that were there before the lesson: what they do is not what it waits for. */
  strangers: new Set(),
  /** The clients of the present step have begun: before that, it waits for nothing that they do. */
  isBegun: false,
  /** The present step has sent the loop to where it is to be held. */
  isSent: false,
  /** The lesson has held the loop at what it speaks of; going on lets it go. */
  holds: false,
  /** The question of the present step, and the option that was chosen; `null` if there is none. */
  question: null,
  answer: null,
  /** Where the world stood when the step began. */
  moment: 0,
};

/** All that is written in the language of the reader. */
function showLanguage() {
  for (const name of ['lessons', 'lesson']) byName(name).lang = language;
  languageSelect.setAttribute('aria-label', tourText('choose'));
  byName('lessons-title').replaceChildren(
    tourText('title'),
    ' ',
    h('small', {}, tourText('begin_here')),
  );
  LESSONS.forEach(({ id }, at) => {
    const { name, about } = texts().lessons[id];
    const button = byName('lesson-list').children[at].firstElementChild;
    button.replaceChildren(h('b', {}, name), h('small', {}, about));
  });
  setText(byName('lesson-traffic-label'), tourText('traffic'));
  for (const name of ['back', 'leave', 'again', 'begin', 'check', 'show']) {
    setText(byName(`lesson-${name}`), tourText(name));
  }
  if (tour.lesson) showStep();
}

byName('lesson-list').append(
  ...LESSONS.map((lesson, at) =>
    h('li', {}, h('button', { type: 'button', 'data-lesson': at, onclick: () => beginLesson(at) })),
  ),
);

async function beginLesson(at) {
  const lesson = LESSONS[at];
  // What the lesson before has left is not true of this one, even before the loop runs again.
  Object.assign(tour, { lesson, at: 0, met: -1, holds: false, hasHappened: null, question: null });
  tour.began = model.now;
  tour.strangers = new Set(model.tasks.keys());
  byName('lesson').dataset.met = false;
  byName('lesson').hidden = false;
  document.body.classList.add('in-lesson');
  // The buttons of the exercise before would ask about this lesson's, until the next picture.
  drawExercise(lesson.steps[0]);
  // Whatever was tried before: each lesson begins with a loop that runs.
  if (model.paused || model.errand) {
    await errand('', 'resume');
    model.paused = false;
  }
  // It may have been left meanwhile, or another one begun.
  if (tour.lesson !== lesson) return;
  if (model.dwell > 0) setSlow(0);
  followTurns();
  goToStep(0);
  byName('lesson-next').focus();
}

function setSlow(dwell) {
  const slow = byName('slow');
  slow.value = dwell;
  slow.dispatchEvent(new Event('change'));
}

function goToStep(at) {
  const step = tour.lesson.steps[at];
  if (tour.holds && !step.held) {
    tour.holds = false;
    // The loop may still be on its way to where it is to be held. An exercise opens another world: an order that is
    // still under way would set that going.
    const isReplaced = step.isExercise && model.hello?.back;
    if ((model.paused || model.errand) && !isReplaced) goOn();
  }
  tour.at = at;
  tour.moment = model.moment;
  awaitStep(at > tour.met);
  if (step.isExercise && tour.hasHappened) beginExercise();
  pointAt(step.look);
  followStep(null);
  showStep();
}

/** Writes the present step anew. */
function showStep() {
  // A word of the glossary is explained where it comes first.
  const known = new Set();
  const explain = (part) => (typeof part === 'string' ? explained(part, known) : [part]);
  byName('lesson-text').replaceChildren(
    ...paragraphs().map((text) => h('p', {}, ...withCode(text).flatMap(explain))),
  );
  if (tour.question) drawAnswers();
  // At once: what the step before has shown is not true of this one.
  drawTour();
  redraw();
}

/** The texts of the lesson, and of its present step. */
const lessonTexts = () => texts().lessons[tour.lesson.id];
const stepTexts = () => lessonTexts().steps[tour.lesson.steps[tour.at].id];

function paragraphs() {
  if (tour.lesson.steps[tour.at].isExercise) return exerciseParagraphs();
  return stepTexts().say;
}

/** Waits for what the step is for, unless that has happened. */
function awaitStep(isNew) {
  const step = tour.lesson.steps[tour.at];
  tour.hasHappened = isNew && step.until ? step.until() : null;
  tour.isBegun = !step.press?.scenario;
  tour.isSent = false;
  if (!tour.hasHappened) tour.met = Math.max(tour.met, tour.at);
  tour.question = isNew && step.ask ? QUESTIONS[step.ask]() : null;
  tour.answer = null;
}

function drawAnswers() {
  const { ask } = tour.lesson.steps[tour.at];
  const { options, values } = tour.question;
  setText(byName('lesson-question'), put(texts().questions[ask].ask, values));
  byName('lesson-answers').replaceChildren(
    ...options.map((option, at) =>
      h('button', { type: 'button', onclick: () => answerQuestion(at) }, optionText(ask, option)),
    ),
  );
}

function answerQuestion(at) {
  if (tour.answer !== null) return;
  tour.answer = at;
  redraw();
}

function drawQuestion(step) {
  const { question, answer } = tour;
  byName('lesson-ask').hidden = question === null;
  if (question === null) return;
  [...byName('lesson-answers').children].forEach((button, at) => {
    button.disabled = answer !== null;
    button.setAttribute('aria-pressed', at === answer);
  });
  const right = optionText(step.ask, question.options[question.right]);
  const told =
    answer === question.right ? `✓ ${tourText('right')}` : `✗ ${tourText('wrong', { right })}`;
  const why = put(texts().questions[step.ask][question.why], question.values);
  setWithCode(byName('lesson-verdict'), answer === null ? '' : `${told} ${why}`);
}

/** Does the step once more: a world that goes back is taken to where the step began. */
async function doAgain() {
  tour.met = tour.at - 1;
  if (model.hello?.back) await command(`go-to?moment=${tour.moment}`);
  awaitStep(true);
  showStep();
}

function pointAt(selector) {
  tour.target?.classList.remove('lesson-target');
  tour.target = selector ? document.querySelector(selector) : null;
  if (!tour.target) return;
  tour.target.classList.add('lesson-target');
  // What is folded away cannot be looked at.
  for (const folded of tour.target.querySelectorAll('details')) folded.open = true;
  tour.target.closest('details')?.setAttribute('open', '');
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  tour.target.scrollIntoView({ block: 'nearest', behavior: still ? 'instant' : 'smooth' });
}

function followStep(event) {
  if (!tour.lesson || !tour.hasHappened) return;
  const step = tour.lesson.steps[tour.at];
  // Whoever has begun them: the button of the page does it as well.
  tour.isBegun ||= event?.scenario === step.press?.scenario;
  if (!tour.isBegun) return;
  if (!tour.hasHappened(event)) {
    // Something of that name has happened, and not what was meant.
    const isElsewhere = tour.isSent && model.paused && model.found !== null;
    if (event === null && isElsewhere) runToHold(step.hold);
    return;
  }
  tour.met = tour.at;
  tour.hasHappened = null;
  redraw();
}

listeners.add(followStep);

function leaveLesson() {
  pointAt(null);
  tour.lesson = null;
  tour.hasHappened = null;
  tour.holds = false;
  byName('lesson').hidden = true;
  document.body.classList.remove('in-lesson');
  if (model.paused || model.errand) goOn();
  if (model.dwell > 0) setSlow(0);
  followTurns();
  byName('lesson-list').querySelector('button')?.focus();
}

function drawTour() {
  const { lesson, at } = tour;
  if (!lesson) return;
  const step = lesson.steps[at];
  const isAsked = tour.question !== null && tour.answer === null;
  const isMet = at <= tour.met;
  const isLast = at === lesson.steps.length - 1;
  setText(byName('lesson-name'), lessonTexts().name);
  setText(byName('lesson-count'), tourText('count', { at: at + 1, all: lesson.steps.length }));
  drawQuestion(step);
  const act = byName('lesson-act');
  act.hidden = !step.press || isMet || isAsked;
  setText(act, step.press ? stepTexts().press : '');
  allow(act, step.press ? reasonToWait(step.press) : '');
  drawExercise(step);
  setWithCode(byName('lesson-wait'), isAsked ? tourText('expect') : waitOf(step, isMet));
  byName('lesson').dataset.met = isMet && !isAsked;
  byName('lesson-again').hidden = !step.until || !isMet || step.isExercise === true;
  byName('lesson-back').disabled = at === 0;
  // Never disabled: nobody is locked in by something that does not happen.
  const way = isMet && !isAsked ? 'next' : 'skip';
  setText(byName('lesson-next'), tourText(isLast ? 'finish' : way));
}

panels.push(drawTour);

function waitOf(step, isMet) {
  if (step.isExercise) return verdictOnExercise();
  if (!isMet) return tourText('waiting', { what: stepTexts().for });
  if (!step.until) return '';
  const held = tour.holds && model.paused ? ` ${tourText('held')}` : '';
  return `✓ ${tourText('happened')}${held}`;
}

/** Why the button of the step cannot be pressed just now. */
function reasonToWait(press) {
  if (!press.button) return reasonAgainst('');
  const element = document.querySelector(press.button);
  if (!element) return tourText('none_yet');
  return element.disabled ? element.title || tourText('not_now') : '';
}

byName('lesson-act').addEventListener('click', async () => {
  const { press, hold } = tour.lesson.steps[tour.at];
  if (!press) return;
  tour.isBegun = true;
  if (press.slow !== undefined) setSlow(press.slow);
  // What is begun while the loop is held cannot be over before somebody looks.
  if (hold) await command('pause');
  // What is drawn has no `click`. What is begun has to have begun before the loop goes on.
  if (press.scenario) await command(`traffic?scenario=${press.scenario}`);
  else if (press.button) {
    const click = new MouseEvent('click', { bubbles: true });
    document.querySelector(press.button)?.dispatchEvent(click);
  }
  if (hold) await runToHold(hold);
});

/** Lets the loop run until what a step is to be held at. */
async function runToHold(hold) {
  tour.holds = true;
  tour.isSent = true;
  const isEvent = typeof hold === 'string';
  model.sought = isEvent ? hold.split('&')[0] : null;
  model.found = null;
  await errand('until', `until?${isEvent ? `what=event&name=${hold}` : hold()}`);
}

byName('lesson-again').addEventListener('click', doAgain);
byName('lesson-back').addEventListener('click', () => goToStep(tour.at - 1));
byName('lesson-next').addEventListener('click', () => {
  tour.met = Math.max(tour.met, tour.at);
  if (tour.at + 1 < tour.lesson.steps.length) goToStep(tour.at + 1);
  else leaveLesson();
});
byName('lesson-leave').addEventListener('click', leaveLesson);
showLanguage();
