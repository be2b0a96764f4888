// -- Controls: buttons and keys that hold the loop and let it go.

const READ_ONLY = 'This lab is read-only: you may look, and nothing more.';
const LOST = 'The connection to the lab is lost.';
const RUNS_ALREADY = 'The loop runs already.';
const RUNNING = 'The loop runs: pause it first.';
const NO_LESSONS = 'Only the server of “helloop lab” has what this asks for.';
const LESSON_SCENARIOS = new Set([
  'sleep',
  'block',
  'slow-reader',
  'gather',
  'descriptors',
  'thread',
]);
const HELD = 'The loop is held already.';
const GOES_ON = 'A live loop does not go back.';
const BEGINNING = 'This is the beginning.';
const NO_CLIENT = 'This page was built without the client.';

/** Why a button cannot be pressed now, or an empty text. */
function reasonAgainst(needs) {
  if (model.link !== 'live') return LOST;
  if (model.hello?.read_only) return READ_ONLY;
  if (needs === 'held' && !model.paused) return RUNNING;
  if (needs === 'held or sent' && !model.paused && !model.errand) return RUNS_ALREADY;
  if (needs === 'running' && model.paused) return HELD;
  if (needs === 'a past' && !model.hello?.back) return GOES_ON;
  if (needs === 'a past' && model.moment === 0) return BEGINNING;
  return '';
}

/** Each button: its key, what it needs, and what it does. */
const BUTTONS = [
  { id: 'pause', key: 'p', needs: 'running', about: 'pause', act: () => command('pause') },
  { id: 'resume', key: 'r', needs: 'held or sent', about: 'resume', act: goOn },
  {
    id: 'step-resume',
    key: 's',
    needs: 'held',
    about: 'step one resume',
    act: () => errand('one resume', 'step-resume'),
  },
  {
    id: 'step-turn',
    key: 't',
    needs: 'held',
    about: 'step one turn',
    act: () => errand('one turn', 'step-turn'),
  },
  {
    id: 'back-resume',
    key: 'b',
    needs: 'a past',
    about: 'back one resume (in a simulated world)',
    act: () => command('back-resume'),
  },
  {
    id: 'back-turn',
    key: 'T',
    needs: 'a past',
    about: 'back one turn (in a simulated world)',
    act: () => command('back-turn'),
  },
  { id: 'until', key: 'u', needs: '', about: 'run until what is chosen', act: runUntil },
];

/** Sends the loop on, and remembers what for. */
async function errand(name, path) {
  // Before the lab has answered: what it does may be seen before that.
  model.errand = name;
  if (!(await command(path)) && model.errand === name) model.errand = '';
  redraw();
}

/** Lets the loop run, whether it is held or on an errand. */
function goOn() {
  errand('', 'resume');
}

/** The events of what can be run until. */
const SOUGHT = { accept: 'accepted', 'would-block': 'would_block', stall: 'stall' };

function runUntil() {
  const what = byName('until-what').value;
  const task =
    what === 'connection' ? `&task=${encodeURIComponent(byName('until-task').value)}` : '';
  model.sought = SOUGHT[what] ?? null;
  model.found = null;
  errand('until', `until?what=${what}${task}`);
}

for (const button of BUTTONS) byName(button.id).addEventListener('click', button.act);

/** Disables with a reason, or enables. */
function allow(element, reason) {
  if (element.disabled !== (reason !== '')) element.disabled = reason !== '';
  if (element.title !== reason) element.title = reason;
}

panels.push(function drawControls() {
  for (const button of BUTTONS) allow(byName(button.id), reasonAgainst(button.needs));
  const refusal = reasonAgainst('');
  allow(byName('slow'), refusal);
  allow(byName('until-what'), refusal);
  document.querySelectorAll('[data-scenario], [data-lesson]').forEach((button) => {
    allow(button, refusal || (needsLessons(button) ? NO_LESSONS : reasonAgainstOne(button)));
  });
  drawUntil(refusal);
  setText(byName('reason'), refusal === LOST ? '' : refusal);
  if (document.activeElement !== byName('slow')) byName('slow').value = model.dwell;
  setText(byName('slow-value'), model.dwell > 0 ? `${model.dwell} ms a turn` : 'off');
});

/** A source may be without some of the clients. */
function reasonAgainstOne(button) {
  const { scenario, lesson } = button.dataset;
  const needed = scenario ?? LESSONS[lesson].needs;
  const all = model.hello?.scenarios;
  return needed && all && !all.includes(needed) ? NO_CLIENT : '';
}

/** An ordinary server has no handlers for lessons. */
function needsLessons(button) {
  if (model.hello?.lessons !== false) return false;
  return 'lesson' in button.dataset || LESSON_SCENARIOS.has(button.dataset.scenario);
}

function drawUntil(refusal) {
  const isOne = byName('until-what').value === 'connection';
  const select = byName('until-task');
  select.hidden = !isOne;
  if (!isOne) return;
  const tasks = awaitedTasks().slice(0, 200);
  keyed(
    select,
    tasks,
    (task) => task.id,
    ({ id, kind, name }) => h('option', { value: id }, [kind, id, name].filter(Boolean).join(' ')),
    () => {},
  );
  if (!refusal && tasks.length === 0) allow(byName('until'), 'There is no connection to wait for.');
}

byName('until-what').addEventListener('change', redraw);

byName('slow').addEventListener('input', (input) => {
  const value = Number(input.target.value);
  setText(byName('slow-value'), value > 0 ? `${value} ms a turn` : 'off');
});
byName('slow').addEventListener('change', (change) => {
  model.dwell = Number(change.target.value);
  command(`slow?dwell_ms=${model.dwell}`);
  // A loop that sleeps says nothing of it before it wakes.
  tellListeners(null);
  redraw();
});

/** In a word or two. A step of an idle loop is over when something has happened. */
function statusOfLoop() {
  if (model.link !== 'live') return model.link === 'lost' ? 'connection lost' : 'connecting';
  if (model.paused) return 'held';
  if (model.errand === 'until') return 'running until';
  if (model.errand) return 'stepping';
  return model.dwell > 0 ? 'slow motion' : 'running';
}

panels.push(function drawHeader() {
  const status = statusOfLoop();
  const chip = byName('status');
  setText(chip, status);
  chip.dataset.status = status;
  chip.dataset.stops = model.stops;
  setText(byName('turn-number'), `turn ${model.turn}`);
  const link = byName('server-url');
  if (hasServer() && model.hello && link.textContent !== model.hello.url) {
    setText(link, model.hello.url);
    link.href = model.hello.url;
  }
  setText(byName('counts'), model.counts.events === undefined ? '' : countsOf(model.counts));
  drawBanner();
});

function countsOf({ connections, requests, tasks }) {
  const lost = model.dropped > 0 ? `, ${count(model.dropped, 'event')} too fast for the page` : '';
  if (!hasServer()) return `${count(tasks, 'task')}${lost}`;
  return `${count(connections, 'connection')}, ${count(requests, 'request')}${lost}`;
}

function drawBanner() {
  const lost =
    `${LOST} The page tries again by itself. ` +
    'If the lab was started again, open the address that it printed.';
  const text = model.link === 'lost' ? lost : said;
  const banner = byName('banner');
  banner.hidden = text === '';
  setText(banner, text);
}

/** What lies over the page when it is asked for, and what it was asked for with, if that was no button of its own. */
const OVER = ['log', 'keys', 'what-if', 'code'];
const openedBy = {};

/** Opens and closes what lies over the page. */
function toggle(name, isOpen) {
  byName(name).hidden = !isOpen;
  const opener = document.getElementById(`open-${name}`);
  opener?.setAttribute('aria-expanded', isOpen);
  (isOpen ? byName(`close-${name}`) : (opener ?? openedBy[name]))?.focus();
  redraw();
}

for (const name of OVER) {
  const opener = document.getElementById(`open-${name}`);
  opener?.addEventListener('click', () => toggle(name, byName(name).hidden));
  byName(`close-${name}`).addEventListener('click', () => toggle(name, false));
}

const KEYS = [
  ...BUTTONS.map((button) => ({ ...button, press: button.id })),
  { key: '[', about: 'less slow', act: () => slower(-250) },
  { key: ']', about: 'slower', act: () => slower(250) },
  { key: 'f', about: 'follow the newest turn', press: 'follow' },
  { key: 'w', about: 'what if: compare two futures (in a simulated world)', press: 'open-what-if' },
  { key: 'l', about: 'open or close the text log', press: 'open-log' },
  { key: '?', about: 'show the keys', press: 'open-keys' },
];

byName('key-list').append(
  ...KEYS.flatMap(({ key, about }) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, about)]),
  h('dt', {}, h('kbd', {}, '← →')),
  h('dd', {}, 'in the timeline: another turn; else, in a simulated world: another moment'),
  h('dt', {}, h('kbd', {}, 'Home End')),
  h('dd', {}, 'in a simulated world: its beginning, and the latest moment'),
  h('dt', {}, h('kbd', {}, 'Esc')),
  h('dd', {}, 'close what lies over the page'),
);

function slower(by) {
  const slow = byName('slow');
  if (slow.disabled) return;
  slow.value = model.dwell + by;
  slow.dispatchEvent(new Event('change'));
  redraw();
}

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    for (const name of OVER) if (!byName(name).hidden) toggle(name, false);
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || !byName('keys-on').checked) return;
  if (event.target.closest('input:not([type=checkbox], [type=range]), select, textarea')) return;
  const shortcut = KEYS.find((known) => known.key === event.key);
  if (!shortcut || (shortcut.press && byName(shortcut.press).closest('[hidden]'))) return;
  event.preventDefault();
  if (shortcut.press) byName(shortcut.press).click();
  else shortcut.act();
});
