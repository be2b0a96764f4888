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

function beginLesson(at) {
  tour.lesson = LESSONS[at];
  tour.met = -1;
  tour.began = model.now;
  byName('lesson').hidden = false;
  document.body.classList.add('in-lesson');
  // Whatever was tried before: each lesson begins with a loop that runs.
  if (model.paused || model.errand) goOn();
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
  tour.at = at;
  const step = tour.lesson.steps[at];
  tour.hasHappened = at > tour.met && step.until ? step.until() : null;
  if (!tour.hasHappened) tour.met = Math.max(tour.met, at);
  byName('lesson-text').replaceChildren(...paragraphs(step.say));
  pointAt(step.look);
  followStep(null);
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
  byName('lesson').hidden = true;
  document.body.classList.remove('in-lesson');
  if (model.paused || model.errand) goOn();
  if (model.dwell > 0) setSlow(0);
  followTurns();
  byName('lesson-list').querySelector('button')?.focus();
}

panels.push(function drawTour() {
  const { lesson, at } = tour;
  if (!lesson) return;
  const step = lesson.steps[at];
  const isMet = at <= tour.met;
  const isLast = at === lesson.steps.length - 1;
  setText(byName('lesson-name'), lesson.name);
  setText(byName('lesson-count'), `${at + 1} of ${lesson.steps.length}`);
  const act = byName('lesson-act');
  act.hidden = !step.press || isMet;
  setText(act, step.press ? step.press.label : '');
  allow(act, step.press ? reasonToWait(step.press) : '');
  const wait = isMet ? (step.until ? '✓ It has happened.' : '') : `Waiting for: ${step.for}.`;
  setText(byName('lesson-wait'), wait);
  byName('lesson').dataset.met = isMet;
  byName('lesson-back').disabled = at === 0;
  const next = byName('lesson-next');
  setText(next, isLast ? 'Finish' : 'Next');
  allow(next, isMet ? '' : 'This step waits for what it names.');
});

/** Why the button of the step cannot be pressed just now. */
function reasonToWait(press) {
  if (!press.button) return reasonAgainst('');
  const element = document.querySelector(press.button);
  if (!element) return 'There is none yet.';
  return element.disabled ? element.title || 'not now' : '';
}

byName('lesson-act').addEventListener('click', () => {
  const { press } = tour.lesson.steps[tour.at];
  if (press.slow !== undefined) setSlow(press.slow);
  if (press.choose) byName('until-what').value = press.choose;
  // What is drawn has no `click`.
  if (press.button) {
    const click = new MouseEvent('click', { bubbles: true });
    document.querySelector(press.button)?.dispatchEvent(click);
  }
});
byName('lesson-back').addEventListener('click', () => goToStep(tour.at - 1));
byName('lesson-next').addEventListener('click', () => {
  if (tour.at > tour.met) return;
  if (tour.at + 1 < tour.lesson.steps.length) goToStep(tour.at + 1);
  else leaveLesson();
});
byName('lesson-leave').addEventListener('click', leaveLesson);
