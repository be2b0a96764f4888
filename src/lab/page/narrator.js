// -- Narrator: the last sentence under everything, and the whole text.

const HEARD_EVERY = 1500;
const LOG_EVERY = 500;

panels.push(function drawNarrator() {
  const turn = model.turns.at(-1);
  const told = model.paused && model.why === 'until' && model.found ? model.found : model.last;
  const text = told && turn ? sentence(told, turn) : 'Nothing has happened yet';
  const which = told === model.found && told !== model.last ? 'Found' : 'Last';
  setText(byName('narrator'), model.paused ? `${heldSentence()} ${which}: ${text}.` : `${text}.`);
  setText(byName('narrator-label'), placeOnRing());
  hearSoon();
});

/** The name of the phase in which the loop is: the ring and the narrator say the same. */
function placeOnRing() {
  return PHASES.find((phase) => phase.name === model.phase)?.label ?? 'between turns';
}

function heldSentence() {
  const before = model.before ? `before ${model.before}` : 'at the gate';
  return `The loop is held ${before}.`;
}

let isToBeHeard = false;

/** What a screen reader says: the newest sentence, and not more often than one can listen. */
function hearSoon() {
  if (isToBeHeard) return;
  isToBeHeard = true;
  setTimeout(() => {
    isToBeHeard = false;
    setText(byName('narrator-live'), byName('narrator').textContent);
  }, HEARD_EVERY);
}

/** All that is kept, as the narrator of the command line writes it. */
function wholeText() {
  const lines = [];
  for (const turn of model.turns) {
    let chapter = 'heading';
    for (const event of turn.events) {
      const before = chapter;
      chapter = chapterAfter(chapter, event);
      if (event.event === 'turn_began') {
        lines.push(`turn ${turn.turn}`);
        continue;
      }
      const label =
        chapter === before ? '' : (PHASES.find((phase) => phase.name === chapter)?.label ?? '');
      lines.push(`${millis(event.at).padStart(12)}  ${label.padEnd(9)}  ${sentence(event, turn)}`);
    }
  }
  return lines.join('\n');
}

let logDue = 0;

panels.push(function drawLog() {
  if (byName('log').hidden) return;
  const wait = logDue - performance.now();
  if (wait > 0) {
    setTimeout(redraw, wait);
    return;
  }
  logDue = performance.now() + LOG_EVERY;
  const pre = byName('log-text');
  const isAtEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 8;
  const lost =
    model.dropped > 0
      ? `${count(model.dropped, 'event')} came too fast for this page and are missing.\n`
      : '';
  const text = lost + wholeText();
  if (pre.textContent === text) return;
  pre.textContent = text;
  if (isAtEnd) pre.scrollTop = pre.scrollHeight;
});
