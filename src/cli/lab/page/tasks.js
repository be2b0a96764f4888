// -- Tasks: connections as their state diagram, coroutines as a tree, many as counts.

const CARDS_MAX = 6;
const CHIPS_MAX = 160;
const TREE_MAX = 80;
const DIAGRAM = { node_width: 108, node_height: 26, column: 124, row: 70, left: 8, top: 32 };

/** Tasks whose card stays although there are many. */
const pinned = new Set();

/**
 * The layout of a machine: its states in declared order, as a snake of two rows. States that follow
 * each other lie beside each other, and every edge has room.
 */
function layoutOf(machine) {
  const columns = Math.ceil(machine.states.length / 2);
  const places = new Map(
    machine.states.map((state, at) => {
      const row = at < columns ? 0 : 1;
      const column = row === 0 ? at : 2 * columns - 1 - at;
      return [
        state.name,
        {
          row,
          column,
          x: DIAGRAM.left + column * DIAGRAM.column + DIAGRAM.node_width / 2,
          y: DIAGRAM.top + row * DIAGRAM.row,
        },
      ];
    }),
  );
  return {
    places,
    width: 2 * DIAGRAM.left + (columns - 1) * DIAGRAM.column + DIAGRAM.node_width,
    height: 2 * DIAGRAM.top + DIAGRAM.row,
  };
}

/** The curve of an edge; both directions of a pair are apart. */
function edgePath(from, to) {
  const half = { x: DIAGRAM.node_width / 2, y: DIAGRAM.node_height / 2 };
  if (from.row === to.row && Math.abs(from.column - to.column) === 1) {
    const way = Math.sign(to.x - from.x);
    const y = from.y + way * 5;
    return `M ${from.x + way * half.x} ${y} L ${to.x - way * (half.x + 3)} ${y}`;
  }
  if (from.row === to.row) {
    const outside = from.row === 0 ? -1 : 1;
    const lift = from.y + outside * (half.y + 8 + 6 * Math.abs(from.column - to.column));
    const edge = from.y + outside * half.y;
    const shift = Math.sign(to.x - from.x) * 12;
    const [left, right] = [from.x + shift, to.x - shift];
    return `M ${left} ${edge} C ${left} ${lift} ${right} ${lift} ${right} ${edge + outside * 3}`;
  }
  const down = Math.sign(to.y - from.y);
  const shift = down * 7;
  const [top, bottom] = [from.y + down * half.y, to.y - down * (half.y + 3)];
  return `M ${from.x + shift} ${top} L ${to.x + shift} ${bottom}`;
}

/** A machine as a picture. `update(task, counts)` lights what is so now. */
function makeDiagram(machine) {
  const { places, width, height } = layoutOf(machine);
  const svg = s('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', class: 'diagram' });
  const title = s('title');
  const edges = new Map(
    machine.edges.map(([from, to]) => [
      `${from}>${to}`,
      s('path', { d: edgePath(places.get(from), places.get(to)), class: 'edge' }),
    ]),
  );
  const nodes = new Map(machine.states.map((state) => [state.name, makeNode(state, places)]));
  svg.append(title, ...edges.values(), ...[...nodes.values()].map((node) => node.group));
  return { svg, title, edges, nodes };
}

function makeNode(state, places) {
  const { x, y } = places.get(state.name);
  const name = s('text', { x, y: y + 4, 'text-anchor': 'middle' }, state.name);
  const badge = s('text', {
    x: x + DIAGRAM.node_width / 2 - 2,
    y: y - 10,
    'text-anchor': 'end',
    class: 'badge',
  });
  const group = s(
    'g',
    { class: 'node' },
    s('title', {}, `${state.name}: ${state.about ?? ''} ${place(state.file, state.line)}`),
    s('rect', {
      x: x - DIAGRAM.node_width / 2,
      y: y - DIAGRAM.node_height / 2,
      rx: 9,
      width: DIAGRAM.node_width,
      height: DIAGRAM.node_height,
    }),
    name,
    badge,
  );
  return { group, badge };
}

function lightTask(diagram, task) {
  const last = task.path.at(-1);
  for (const [key, edge] of diagram.edges) {
    edge.classList.toggle('taken', last !== undefined && key === `${last[0]}>${last[1]}`);
  }
  const visited = new Set(task.path.flat());
  for (const [name, { group }] of diagram.nodes) {
    group.classList.toggle('here', name === task.state);
    group.classList.toggle('visited', visited.has(name));
  }
  setText(diagram.title, `Task ${task.id} is ${task.state}.`);
}

function lightCounts(diagram, counts) {
  for (const [name, { group, badge }] of diagram.nodes) {
    const number = counts.get(name) ?? 0;
    group.classList.toggle('here', number > 0);
    setText(badge, number > 0 ? `× ${number.toLocaleString('en')}` : '');
  }
  const told = [...counts].map(([state, number]) => `${number} ${state}`).join(', ');
  setText(diagram.title, `Connections by state: ${told}.`);
}

/** The tasks that have a machine, by the number that the server gave them. */
function machineTasks() {
  return [...model.tasks.values()]
    .filter((task) => model.machines.has(task.kind))
    .sort((a, b) => byId(a.id, b.id));
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
  const machines = machineTasks();
  const beyond = model.groups.reduce((sum, group) => sum + group.count, 0);
  const all = model.tasks.size + beyond;
  const isMany = machines.length + beyond > CARDS_MAX;
  for (const id of pinned) if (!model.tasks.has(id)) pinned.delete(id);
  const shown = isMany ? machines.filter((task) => pinned.has(task.id)) : machines;
  keyed(byName('cards'), shown, (task) => task.id, makeCard, drawCard);
  drawOverview(machines, isMany);
  setText(byName('tasks-note'), `${count(all, 'task')}${isMany ? '; press one for its card' : ''}`);
  drawCoroutines();
  const others = [...model.tasks.values()]
    .filter((task) => !model.machines.has(task.kind) && task.kind !== 'coroutine')
    .sort((a, b) => byId(a.id, b.id))
    .slice(0, TREE_MAX);
  keyed(
    byName('others'),
    others,
    (task) => task.id,
    () => h('li', {}, h('b'), h('span')),
    drawOther,
  );
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
      task.request && `asked: ${task.request}`,
      task.answer && `answered: ${task.answer}`,
      task.ending && `ends: ${task.ending}`,
    ]
      .filter(Boolean)
      .join(' · '),
  );
  setText(path, wayOf(task));
  card.classList.toggle('current', model.current === task.id);
  card.classList.toggle('queued', model.ready.includes(task.id));
}

/** The last states of a task: `idle → receiving head → idle`. */
function wayOf(task) {
  const last = task.path.slice(-6);
  return last.length > 0 ? [last[0][0], ...last.map(([, to]) => to)].join(' → ') : '';
}

const overviews = new Map();

/**
 * One diagram with a number at each state, and a small button per task: where there are too many for
 * cards. And where there are none, so that one sees the states at all.
 */
function drawOverview(tasks, isMany) {
  const element = byName('machine-overview');
  const kinds = isMany || tasks.length === 0 ? [...model.machines.keys()] : [];
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
      const more = left > 0 ? `and ${left.toLocaleString('en')} more` : '';
      setText(overview.children[2], total === 0 ? none : more);
    },
  );
}

function makeChip(task) {
  return h('button', {
    type: 'button',
    class: 'task-chip',
    onclick: () => {
      if (!pinned.delete(task.id)) pinned.add(task.id);
      redraw();
    },
  });
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

function drawOther(element, task) {
  setText(element.firstChild, `task ${task.id}`);
  const wait = task.waits_for ? `waits for ${task.waits_for}` : '';
  setText(element.lastChild, [task.kind, task.state, task.name, wait].filter(Boolean).join(' · '));
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
