// -- Timeline: a column per turn; a click shows what happened in it.

const TURN_HEIGHT = 84;
const ZOOMS = [6, 10, 18, 30, 48];

const timeline = {
  zoom: 2,
  follows: true,
  selected: null,
  drawn: '',
  /** How wide the box is, and how far it is scrolled: to ask for it while drawing would lay the page out once more. */
  room: 0,
  left: 0,
  width: 0,
};

/** Pixels for a duration: a decade is a step, from a microsecond to ten seconds. */
function barHeight(nanoseconds) {
  return nanoseconds <= 0 ? 0 : Math.max(2, Math.min(7, Math.log10(nanoseconds / 1e3)) * 8);
}

const turnsBox = byName('turns');
const turnsSvg = turnsBox.appendChild(s('svg', { class: 'turn-columns', height: TURN_HEIGHT }));

/** Only the columns in sight are drawn, however many turns are kept. */
panels.push(function drawTimeline() {
  const column = ZOOMS[timeline.zoom];
  const width = Math.max(timeline.room, model.turns.length * column);
  const end = width - timeline.room;
  if (timeline.width !== width) turnsSvg.setAttribute('width', width);
  timeline.width = width;
  if (timeline.follows && timeline.left !== end) {
    timeline.left = end;
    turnsBox.scrollLeft = end;
  }
  const first = Math.max(0, Math.floor(timeline.left / column) - 2);
  const last = Math.min(model.turns.length, first + Math.ceil(timeline.room / column) + 4);
  const seen = model.turns.slice(first, last);
  const drawn = [
    first,
    last,
    column,
    seen.at(-1)?.events.length,
    seen[0]?.turn,
    timeline.selected,
    model.turns.length,
  ].join();
  if (drawn !== timeline.drawn) {
    timeline.drawn = drawn;
    turnsSvg.replaceChildren(
      ...seen.map((turn, at) => turnColumn(turn, (first + at) * column, column)),
    );
  }
  byName('follow').setAttribute('aria-pressed', timeline.follows);
  byName('zoom-in').disabled = timeline.zoom === ZOOMS.length - 1;
  byName('zoom-out').disabled = timeline.zoom === 0;
  drawTurn();
});

function turnColumn(turn, x, width) {
  const wait = barHeight(turn.waited - turn.waits);
  const work = barHeight(turn.ended - turn.waited);
  const base = TURN_HEIGHT - 18;
  const inner = Math.max(3, width - 3);
  const isSelected = turn.turn === timeline.selected;
  const bar = (kind, height, left, share) =>
    s('rect', {
      x: x + left,
      y: base - height,
      width: share,
      height,
      class: kind,
    });
  const group = s(
    'g',
    {
      class: `turn${isSelected ? ' selected' : ''}${turn.stalls ? ' stalled' : ''}`,
      'data-turn': turn.turn,
      role: 'option',
      id: `turn-${turn.turn}`,
      'aria-selected': isSelected,
      'aria-label': turnSummary(turn),
    },
    s('title', {}, turnSummary(turn)),
    s('rect', { x, y: 0, width, height: TURN_HEIGHT, class: 'back' }),
    bar('wait', wait, 1, inner / 2),
    bar('work', work, 1 + inner / 2, inner / 2),
  );
  if (width >= 18) {
    const marks = [turn.stalls && '!', turn.accepts && '▲', turn.blocked && '⊘']
      .filter(Boolean)
      .join('');
    const dots = '●'.repeat(Math.min(turn.resumes, width >= 30 ? 4 : 2));
    group.append(
      s(
        'text',
        { x: x + width / 2, y: 10, 'text-anchor': 'middle', class: 'marks' },
        width >= 30 ? marks + dots : marks || dots,
      ),
    );
    if (width >= 30 || turn.turn % 5 === 0) {
      group.append(
        s(
          'text',
          { x: x + width / 2, y: TURN_HEIGHT - 4, 'text-anchor': 'middle', class: 'number' },
          turn.turn,
        ),
      );
    }
  }
  return group;
}

function turnSummary(turn) {
  const parts = [
    `turn ${turn.turn}: waited ${span(turn.waited - turn.waits)}`,
    `worked ${span(turn.ended - turn.waited)}`,
    count(turn.resumes, 'resume'),
  ];
  if (turn.accepts) parts.push(count(turn.accepts, 'accept'));
  if (turn.blocked) parts.push(`${turn.blocked}× would block`);
  if (turn.stalls) parts.push('a stall');
  return parts.join(', ');
}

function selectTurn(turn) {
  timeline.selected = turn;
  if (turn !== null) timeline.follows = false;
  tellListeners(null);
  redraw();
}

/** Back to the newest turn. */
function followTurns() {
  timeline.follows = true;
  selectTurn(null);
}

/** Selects the turn so many places further, and scrolls it into sight. */
function moveSelection(by) {
  if (model.turns.length === 0) return;
  const at = model.turns.findIndex((turn) => turn.turn === timeline.selected);
  const from = at < 0 ? model.turns.length - (by < 0 ? 0 : 1) : at;
  const next = Math.max(0, Math.min(model.turns.length - 1, from + by));
  const column = ZOOMS[timeline.zoom];
  selectTurn(model.turns[next].turn);
  const left = next * column;
  if (left < turnsBox.scrollLeft) turnsBox.scrollLeft = left;
  const right = left + column - turnsBox.clientWidth;
  if (right > turnsBox.scrollLeft) turnsBox.scrollLeft = right;
}

/** What stands there: of which turn, under which heading, and how many of its events. */
let told = { turn: null, heading: '', events: 0, list: null };

/** The sentences of the selected turn, or of the latest one that did something. A turn that goes on is told on. */
function drawTurn() {
  const turn =
    timeline.selected === null
      ? latestTurn()
      : model.turns.find((turn) => turn.turn === timeline.selected);
  const heading = turn ? `${turnHeading(turn)} ${turn.turn}` : '';
  const isSame = told.turn === turn && told.heading === heading;
  if (isSame && told.events === (turn?.events.length ?? 0)) return;
  if (isSame && turn && turn.events.length > told.events && told.events < TURN_LINES_MAX) {
    tellOn(turn);
    return;
  }
  turnsBox.setAttribute('aria-activedescendant', turn ? `turn-${turn.turn}` : '');
  told = { turn, heading, events: 0, list: sentences() };
  if (!turn) {
    byName('turn-detail').replaceChildren('No turn was seen yet.');
    return;
  }
  byName('turn-detail').replaceChildren(h('h3', {}, heading), told.list.element);
  tellOn(turn);
}

/** Adds what has happened in the turn since. */
function tellOn(turn) {
  const [from, to] = [told.events, Math.min(turn.events.length, TURN_LINES_MAX)];
  for (let at = from; at < to; at += 1) told.list.add(turn.events[at], sentence(turn.events[at], turn));
  told.events = turn.events.length;
  const left = turn.events.length - TURN_LINES_MAX;
  if (left > 0) told.list.end(`and ${count(left, 'more event')}; the log has all`);
}

function latestTurn() {
  return model.turns.findLast((turn) => turn.resumes > 0) ?? model.turns.at(-1);
}

function turnHeading(turn) {
  if (timeline.selected !== null) return 'Turn';
  return turn.resumes > 0 ? 'Latest with a resume: turn' : 'Latest, without a resume: turn';
}

const TURN_LINES_MAX = 250;

/** A list of sentences, each new chapter with its label. */
function sentences() {
  const element = h('ol', { class: 'sentences' });
  let chapter = 'heading';
  let last = null;
  return {
    element,
    add(event, said, mark = '') {
      const before = chapter;
      chapter = chapterAfter(chapter, event);
      if (event.event === 'turn_began') return;
      const label = chapter !== before ? PHASES.find((phase) => phase.name === chapter)?.label : '';
      element.append(
        h(
          'li',
          { class: `in-${chapter} ${event.event}${mark}` },
          h('time', {}, millis(event.at)),
          h('b', {}, label ?? ''),
          h('span', {}, said),
        ),
      );
    },
    /** A last line, in the place of the one before. */
    end(text) {
      last?.remove();
      last = element.appendChild(h('li', {}, h('span', {}, text)));
    },
  };
}

turnsBox.addEventListener('click', (click) => {
  const column = click.target.closest('[data-turn]');
  if (column) selectTurn(Number(column.dataset.turn));
});

turnsBox.addEventListener('keydown', (key) => {
  const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };
  if (key.key === 'Escape') selectTurn(null);
  else if (key.key in moves) moveSelection(moves[key.key]);
  else return;
  key.preventDefault();
});

new ResizeObserver(([{ contentRect }]) => {
  timeline.room = contentRect.width;
  redraw();
}).observe(turnsBox);

turnsBox.addEventListener('scroll', () => {
  timeline.left = turnsBox.scrollLeft;
  const isAtEnd = turnsBox.scrollLeft + turnsBox.clientWidth >= turnsBox.scrollWidth - 4;
  if (!isAtEnd) timeline.follows = false;
  redraw();
});

turnsBox.addEventListener(
  'wheel',
  (wheel) => {
    if (!wheel.ctrlKey) return;
    wheel.preventDefault();
    zoomBy(wheel.deltaY < 0 ? 1 : -1);
  },
  { passive: false },
);

function zoomBy(by) {
  const before = ZOOMS[timeline.zoom];
  timeline.zoom = Math.max(0, Math.min(ZOOMS.length - 1, timeline.zoom + by));
  turnsBox.scrollLeft *= ZOOMS[timeline.zoom] / before;
  redraw();
}

byName('zoom-in').addEventListener('click', () => zoomBy(1));
byName('zoom-out').addEventListener('click', () => zoomBy(-1));
byName('follow').addEventListener('click', () => {
  if (!timeline.follows) followTurns();
  else timeline.follows = false;
  redraw();
});
