// -- Tasks: connections as their state diagram, coroutines as a tree, many as counts.

const CARDS_MAX = 6;
const CHIPS_MAX = 160;
const TREE_MAX = 80;

/** Tasks whose card stays although there are many. */
const pinned = new Set();

/** These tasks have cards by themselves, others that have a machine on demand. */
const SHOWN_KIND = 'connection';

/** The tasks with cards of their own, by their ids. */
function shownTasks() {
  return [...model.tasks.values()]
    .filter((task) => task.kind === SHOWN_KIND)
    .sort((a, b) => byId(a.id, b.id));
}

/** Those that can be run until: where nobody has a card, any. */
function awaitedTasks() {
  const shown = shownTasks();
  if (shown.length > 0 || hasServer()) return shown;
  return [...model.tasks.values()].sort((a, b) => byId(a.id, b.id));
}

/** How many tasks of a kind are in which state, those beyond the snapshot included. */
function stateCounts(kind) {
  const counts = new Map();
  for (const task of model.tasks.values()) {
    if (task.kind === kind) counts.set(task.state, (counts.get(task.state) ?? 0) + 1);
  }
  for (const group of model.groups) {
    if (group.kind === kind) counts.set(group.state, (counts.get(group.state) ?? 0) + group.count);
  }
  return counts;
}

panels.push(function drawTasks() {
  const connections = shownTasks();
  const beyond = model.groups.reduce((sum, group) => sum + group.count, 0);
  const all = model.tasks.size + beyond;
  const isMany = connections.length + beyond > CARDS_MAX;
  for (const id of pinned) if (!model.tasks.has(id)) pinned.delete(id);
  const shown = [
    ...[...pinned].map((id) => model.tasks.get(id)).filter((task) => task.kind !== SHOWN_KIND),
    ...connections.filter((task) => !isMany || pinned.has(task.id)),
  ];
  keyed(byName('cards'), shown, (task) => task.id, makeCard, drawCard);
  drawOverview(connections, isMany);
  setText(byName('tasks-note'), `${count(all, 'task')}${isMany ? '; press one for its card' : ''}`);
  drawCoroutines();
  const others = [...model.tasks.values()]
    .filter((task) => task.kind !== SHOWN_KIND && task.kind !== 'coroutine')
    .sort((a, b) => byId(a.id, b.id))
    .slice(0, TREE_MAX);
  keyed(byName('others'), others, (task) => task.id, makeOther, drawOther);
  drawGone();
});

function makeCard(task) {
  const machine = model.machines.get(task.kind);
  const diagram = makeDiagram(machine);
  const card = h(
    'article',
    { class: 'card', 'aria-label': `task ${task.id}` },
    h('h3', {}, h('span'), h('small')),
    diagram.svg,
    h('p', { class: 'state' }),
    h('p', { class: 'doing' }),
    h('p', { class: 'path' }),
  );
  card.diagram = diagram;
  return card;
}

function drawCard(card, task) {
  const machine = model.machines.get(task.kind);
  const state = machine.states.find((state) => state.name === task.state);
  const [heading, , where, doing, path] = card.children;
  setText(heading.firstChild, `${task.kind} ${task.id}${task.name ? ` ${task.name}` : ''}`);
  setText(heading.lastChild, task.waits_for ? `waits for ${task.waits_for}` : '');
  lightTask(card.diagram, task);
  setText(where, `${task.state}: ${state?.about ?? ''} — ${place(state?.file, state?.line)}`);
  setText(
    doing,
    [
      task.about?.replace(/ \(.*\)$/, ''),
      task.request && `asked: ${task.request}`,
      task.answer && `answered: ${task.answer}`,
      task.ending && `ends: ${task.ending}`,
      totalsOf(task),
    ]
      .filter(Boolean)
      .join(' · '),
  );
  setText(path, wayOf(task));
  card.classList.toggle('current', model.current === task.id);
  card.classList.toggle('queued', model.ready.includes(task.id));
}

/** How often it was resumed, and for how long, when the loop was last looked at. */
function totalsOf({ resumes, busy_ns: busy, longest_ns: longest }) {
  if (!resumes) return '';
  const time = busy > 0 ? `, busy ${span(busy)}, at most ${span(longest)} at once` : '';
  return `${count(resumes, 'resume')}${time}`;
}

/** The last states of a task: `idle → receiving head → idle`. */
function wayOf(task) {
  const last = task.path.slice(-6);
  return last.length > 0 ? [last[0][0], ...last.map(([, to]) => to)].join(' → ') : '';
}

const overviews = new Map();

/**
 * One diagram with a number at each state, and a small button per task: where there are too many
 * for cards. And where there are none, so that one sees the states at all.
 */
function drawOverview(tasks, isMany) {
  const element = byName('machine-overview');
  const isNeeded =
    model.machines.has(SHOWN_KIND) && (isMany || (tasks.length === 0 && hasServer()));
  const kinds = isNeeded ? [SHOWN_KIND] : [];
  keyed(
    element,
    kinds,
    (kind) => kind,
    (kind) => {
      const diagram = makeDiagram(model.machines.get(kind));
      overviews.set(kind, diagram);
      return h(
        'div',
        { class: 'overview' },
        diagram.svg,
        h('div', { class: 'chips', role: 'group', 'aria-label': `each ${kind}` }),
        h('p'),
      );
    },
    (overview, kind) => {
      const own = tasks.filter((task) => task.kind === kind);
      const counts = stateCounts(kind);
      lightCounts(overviews.get(kind), counts);
      keyed(overview.children[1], own.slice(0, CHIPS_MAX), (task) => task.id, makeChip, drawChip);
      const total = [...counts.values()].reduce((sum, number) => sum + number, 0);
      const left = total - Math.min(own.length, CHIPS_MAX);
      const none = `No ${kind} is here now. These are the states that one goes through.`;
      const more = left > 0 ? `and ${grouped(left)} more` : '';
      setText(overview.children[2], total === 0 ? none : more);
    },
  );
}

function makeChip(task) {
  return h('button', { type: 'button', class: 'task-chip', ...pinner(task) });
}

/** What makes a button show and hide the card of a task. */
function pinner(task) {
  const onclick = () => {
    if (!pinned.delete(task.id)) pinned.add(task.id);
    redraw();
  };
  return { onclick };
}

function drawChip(chip, task) {
  setText(chip, `${task.id} ${shortState(task.state)}`);
  chip.title = `task ${task.id}: ${task.state}`;
  chip.setAttribute('aria-pressed', pinned.has(task.id));
  chip.classList.toggle('current', model.current === task.id);
}

/** `receiving head` as `r. head`, so that a hundred fit. */
function shortState(state) {
  return (state ?? '').replace(/^(\w)\w+ /, '$1. ');
}

function makeOther(task) {
  const attributes = model.machines.has(task.kind) ? pinner(task) : { disabled: true };
  return h('li', {}, h('button', { type: 'button', ...attributes }, h('b'), h('span')));
}

function drawOther(element, task) {
  const button = element.firstChild;
  const wait = task.waits_for ? `waits for ${task.waits_for}` : '';
  setText(button.firstChild, `${task.kind} ${task.id}`);
  setText(button.lastChild, [task.state, task.name, wait].filter(Boolean).join(' · '));
  if (model.machines.has(task.kind)) button.setAttribute('aria-pressed', pinned.has(task.id));
  element.classList.toggle('current', model.current === task.id);
}

/** Coroutines as a tree: each below the one that waits for it. */
function drawCoroutines() {
  const all = [...model.tasks.values()]
    .filter((task) => task.kind === 'coroutine')
    .sort((a, b) => byId(a.id, b.id));
  const known = new Set(all.map((task) => task.id));
  const rows = [];
  const add = (task, depth) => {
    if (rows.length >= TREE_MAX || depth > 20) return;
    rows.push({ task, depth });
    all.filter((child) => child.parent === task.id).forEach((child) => add(child, depth + 1));
  };
  all.filter((task) => !known.has(task.parent)).forEach((task) => add(task, 0));
  keyed(byName('coroutines'), rows, ({ task }) => task.id, makeCoroutine, drawCoroutine);
}

function makeCoroutine() {
  return h('div', { class: 'coroutine' }, h('b'), h('span'), h('code'));
}

function drawCoroutine(element, { task, depth }) {
  element.style.setProperty('--depth', depth);
  setText(
    element.children[0],
    `${depth > 0 ? '└ ' : ''}coroutine ${task.id}${task.name ? ` “${task.name}”` : ''}`,
  );
  setText(
    element.children[1],
    task.waits_for ? `waits for ${task.waits_for}` : model.ready.includes(task.id) ? 'ready' : '',
  );
  setText(element.children[2], task.site ?? '');
  element.classList.toggle('current', model.current === task.id);
}

function drawGone() {
  byName('gone-title').hidden = model.gone.length === 0;
  keyed(
    byName('gone'),
    model.gone,
    (task) => `${task.id}@${task.at}`,
    (task) =>
      h(
        'li',
        {},
        h('b', {}, `${task.kind} ${task.id}${task.name ? ` “${task.name}”` : ''}`),
        h('span', {}, [wayOf(task), task.ending].filter(Boolean).join(' — ')),
      ),
    () => {},
  );
}

// What is drawn for another width is drawn anew.
narrow.addEventListener('change', () => {
  byName('cards').replaceChildren();
  byName('machine-overview').replaceChildren();
  redraw();
});
