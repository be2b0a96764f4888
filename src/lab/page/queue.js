// -- Queue: the ready queue, and the timers on a line.

const QUEUE_SHOWN_MAX = 60;

panels.push(function drawReady() {
  const shown = model.ready.slice(0, QUEUE_SHOWN_MAX).map((id, at) => ({ id, at }));
  const items = model.current ? [{ id: model.current, at: -1 }, ...shown] : shown;
  keyed(byName('ready-queue'), items, (item) => item.id, makePlace, drawPlace);
  const left = model.ready.length - shown.length;
  const note =
    model.ready.length === 0 && !model.current
      ? 'empty'
      : `${count(model.ready.length, 'task')} in line, the front is on the left`;
  setText(byName('ready-note'), left > 0 ? `${note}; ${left} more are not drawn` : note);
});

function makePlace() {
  return h('li', {}, h('b'), h('span'));
}

function drawPlace(element, { id, at }) {
  const kind = model.tasks.get(id)?.kind ?? '';
  const isLater = model.batch !== null && at >= model.batch;
  element.className = at < 0 ? 'now' : isLater ? 'later' : '';
  setText(element.firstChild, `task ${id}`);
  setText(element.lastChild, at < 0 ? 'is at work' : isLater ? `${kind} · next turn` : kind);
}

const TIMERS = { height: 92, lanes: 3, left: 44, right: 26, shown_max: 24 };
const TICKS = [
  [0, 'now'],
  [10e6, '10 ms'],
  [100e6, '100 ms'],
  [1e9, '1 s'],
  [10e9, '10 s'],
  [60e9, '1 min'],
];

const timerLine = byName('timer-line').appendChild(
  s('svg', { height: TIMERS.height, role: 'img', class: 'timer-line' }),
);

/** In pixels: text keeps its size whatever the width is. To ask for it while a page is drawn would lay the page out once more. */
let timerRoom = 0;

new ResizeObserver(([{ contentRect }]) => {
  timerRoom = contentRect.width;
  redraw();
}).observe(byName('timer-line'));

/** Where a moment so far away is drawn: near ones have more room. */
function timerX(nanoseconds) {
  const room = timerRoom - TIMERS.left - TIMERS.right;
  const most = Math.log1p(60e9 / 2e6);
  return TIMERS.left + room * Math.min(1, Math.log1p(Math.max(0, nanoseconds) / 2e6) / most);
}

panels.push(function drawTimers() {
  const now = nowOfLoop();
  const timers = [...model.timers.values()].sort((a, b) => a.deadline - b.deadline);
  const nearest = timers[0];
  setText(
    byName('timers-note'),
    nearest
      ? `${timers.length} set; the next is task ${nearest.task}’s, ${untilDeadline(nearest, now)}`
      : 'none set',
  );
  const base = TIMERS.height - 26;
  const axis = s('line', {
    x1: TIMERS.left,
    x2: timerRoom - TIMERS.right,
    y1: base,
    y2: base,
    class: 'axis',
  });
  const ticks = TICKS.flatMap(([at, label]) => [
    s('line', { x1: timerX(at), x2: timerX(at), y1: base - 4, y2: base + 4, class: 'axis' }),
    s('text', { x: timerX(at), y: base + 20, 'text-anchor': 'middle', class: 'tick' }, label),
  ]);
  const title = s(
    'title',
    {},
    timers
      .slice(0, 10)
      .map((timer) => `task ${timer.task} ${untilDeadline(timer, now)}`)
      .join(', ') || 'No timer is set.',
  );
  timerLine.replaceChildren(title, axis, ...ticks, ...timerMarks(timers, now, base));
});

function untilDeadline(timer, now) {
  return timer.deadline > now ? `in ${span(timer.deadline - now)}` : 'due now';
}

/** A mark per timer; those that would lie on each other share one, with their number. */
function timerMarks(timers, now, base) {
  const laneEnds = new Array(TIMERS.lanes).fill(-Infinity);
  const marks = [];
  let crowd = null;
  for (const timer of timers) {
    const x = timerX(timer.deadline - now);
    const text = `task ${timer.task}`;
    const half = text.length * 3.4 + 6;
    const lane = laneEnds.findIndex((end) => end < x - half);
    if (lane < 0 || marks.length >= TIMERS.shown_max) {
      if (crowd && x - crowd.x < 40) {
        crowd.more += 1;
        setText(crowd.label, `+${crowd.more}`);
        continue;
      }
      const label = s('text', { x, y: 12, 'text-anchor': 'middle', class: 'crowd' }, '+1');
      crowd = { x, more: 1, label };
      marks.push(label);
      continue;
    }
    laneEnds[lane] = x + half;
    const y = base - 15 - lane * 18;
    marks.push(
      s('line', { x1: x, x2: x, y1: y + 4, y2: base, class: 'stem' }),
      s('circle', { cx: x, cy: base, r: 4, class: timer.deadline <= now ? 'due' : 'set' }),
      s('text', { x, y, 'text-anchor': 'middle', class: 'whose' }, text),
    );
  }
  return marks;
}

// While the loop waits, only its clock moves.
setInterval(() => {
  if (!model.paused && model.link === 'live' && model.timers.size > 0) redraw();
}, 500);
