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
  /** The lesson has held the loop at what it speaks of; going on lets it go. */
  holds: false,
  /** The question of the present step, and what was answered; `null` if there is none. */
  question: null,
  answer: null,
  /** Where the world stood when the step began. */
  moment: 0,
};

byName('lesson-list').append(
  ...LESSONS.map((lesson, at) =>
    h(
      'li',
      {},
      h(
        'button',
        {
          type: 'button',
          'data-lesson': at,
          onclick: () => beginLesson(at),
        },
        h('b', {}, lesson.name),
        h('small', {}, lesson.about),
      ),
    ),
  ),
);

async function beginLesson(at) {
  tour.lesson = LESSONS[at];
  tour.met = -1;
  tour.holds = false;
  tour.began = model.now;
  byName('lesson').hidden = false;
  document.body.classList.add('in-lesson');
  // Whatever was tried before: each lesson begins with a loop that runs.
  if (model.paused || model.errand) {
    await errand('', 'resume');
    model.paused = false;
  }
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
    if (model.paused) goOn();
  }
  tour.at = at;
  tour.moment = model.moment;
  awaitStep(at > tour.met);
  byName('lesson-text').replaceChildren(...paragraphs(step.say));
  pointAt(step.look);
  followStep(null);
  // At once: what the step before has shown is not true of this one.
  drawTour();
  redraw();
}

/** Waits for what the step is for, unless that has happened. */
function awaitStep(isNew) {
  const step = tour.lesson.steps[tour.at];
  tour.hasHappened = isNew && step.until ? step.until() : null;
  if (!tour.hasHappened) tour.met = Math.max(tour.met, tour.at);
  tour.question = isNew && step.ask ? QUESTIONS[step.ask]() : null;
  tour.answer = null;
  if (tour.question) drawAnswers();
}

function drawAnswers() {
  const { text, options } = tour.question;
  setText(byName('lesson-question'), text);
  byName('lesson-answers').replaceChildren(
    ...options.map((option) =>
      h('button', { type: 'button', onclick: () => answerQuestion(option) }, option),
    ),
  );
}

function answerQuestion(option) {
  if (tour.answer !== null) return;
  tour.answer = option;
  redraw();
}

function drawQuestion() {
  const { question, answer } = tour;
  byName('lesson-ask').hidden = question === null;
  if (question === null) return;
  for (const button of byName('lesson-answers').children) {
    button.disabled = answer !== null;
    button.setAttribute('aria-pressed', button.textContent === answer);
  }
  const isRight = answer === question.right;
  const verdict = isRight ? '✓ Right.' : `✗ It is: ${question.right}.`;
  setText(byName('lesson-verdict'), answer === null ? '' : `${verdict} ${question.why}`);
}

/** Does the step once more: a world that goes back is taken to where the step began. */
async function doAgain() {
  tour.met = tour.at - 1;
  if (model.hello?.back) await command(`go-to?moment=${tour.moment}`);
  awaitStep(true);
  redraw();
}

/** The paragraphs of a text; what stands in braces is code. */
function paragraphs(text) {
  return text.split(/\n\s*\n/).map((paragraph) => {
    const parts = paragraph.trim().replace(/\s+/g, ' ').split(/[{}]/);
    return h('p', {}, ...parts.map((part, at) => (at % 2 === 1 ? h('code', {}, part) : part)));
  });
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
  if (!tour.lesson || !tour.hasHappened || !tour.hasHappened(event)) return;
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
  setText(byName('lesson-name'), lesson.name);
  setText(byName('lesson-count'), `${at + 1} of ${lesson.steps.length}`);
  drawQuestion();
  const act = byName('lesson-act');
  act.hidden = !step.press || isMet || isAsked;
  setText(act, step.press ? step.press.label : '');
  allow(act, step.press ? reasonToWait(step.press) : '');
  setText(byName('lesson-wait'), isAsked ? 'What do you expect?' : waitOf(step, isMet));
  byName('lesson').dataset.met = isMet && !isAsked;
  byName('lesson-again').hidden = !step.until || !isMet;
  byName('lesson-back').disabled = at === 0;
  // Never disabled: nobody is locked in by something that does not happen.
  const way = isMet && !isAsked ? 'Next' : 'Skip';
  setText(byName('lesson-next'), isLast ? 'Finish' : way);
}

panels.push(drawTour);

function waitOf(step, isMet) {
  if (!isMet) return `Waiting for: ${step.for}.`;
  if (!step.until) return '';
  const held = tour.holds && model.paused ? ' The loop is held there; Next lets it go.' : '';
  return `✓ It has happened.${held}`;
}

/** Why the button of the step cannot be pressed just now. */
function reasonToWait(press) {
  if (!press.button) return reasonAgainst('');
  const element = document.querySelector(press.button);
  if (!element) return 'There is none yet.';
  return element.disabled ? element.title || 'not now' : '';
}

byName('lesson-act').addEventListener('click', async () => {
  const { press, hold } = tour.lesson.steps[tour.at];
  if (!press) return;
  if (press.slow !== undefined) setSlow(press.slow);
  if (press.choose) byName('until-what').value = press.choose;
  // What is begun while the loop is held cannot be over before somebody looks.
  if (hold) await command('pause');
  // What is drawn has no `click`. What is begun has to have begun before the loop goes on.
  if (press.scenario) await command(`traffic?scenario=${press.scenario}`);
  else if (press.button) {
    const click = new MouseEvent('click', { bubbles: true });
    document.querySelector(press.button)?.dispatchEvent(click);
  }
  if (!hold) return;
  tour.holds = true;
  model.sought = hold.split('&')[0];
  model.found = null;
  await errand('until', `until?what=event&name=${hold}`);
});
byName('lesson-again').addEventListener('click', doAgain);
byName('lesson-back').addEventListener('click', () => goToStep(tour.at - 1));
byName('lesson-next').addEventListener('click', () => {
  tour.met = Math.max(tour.met, tour.at);
  if (tour.at + 1 < tour.lesson.steps.length) goToStep(tour.at + 1);
  else leaveLesson();
});
byName('lesson-leave').addEventListener('click', leaveLesson);
