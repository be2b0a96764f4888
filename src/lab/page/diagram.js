// -- Diagram: a state machine as a picture, from its states and edges alone.

const DIAGRAM = {
  node_width: 108,
  node_height: 26,
  column: 124,
  row: 58,
  left: 8,
  top: 32,
  bow: 36,
};

/** On a narrow page, two columns fit without making the text small. */
const narrow = matchMedia('(max-width: 520px)');

/**
 * The layout of a machine: its states in declared order, as a snake. States that follow each other
 * lie beside each other, and every edge has room.
 */
function layoutOf(machine) {
  const { column: step, row: down, node_width: wide, bow, left, top } = DIAGRAM;
  const columns = narrow.matches ? 2 : Math.ceil(machine.states.length / 2);
  const rows = Math.ceil(machine.states.length / columns);
  const margin = left + (rows > 2 ? bow : 0);
  const places = new Map();
  machine.states.forEach((state, at) => {
    const row = Math.floor(at / columns);
    const column = row % 2 === 0 ? at % columns : columns - 1 - (at % columns);
    const [x, y] = [margin + column * step + wide / 2, top + row * down];
    places.set(state.name, { row, column, x, y });
  });
  const width = 2 * margin + (columns - 1) * step + wide;
  return { places, width, height: 2 * top + (rows - 1) * down };
}

/** The curve of an edge; both directions of a pair are apart. */
function edgePath(from, to) {
  if (from.row !== to.row) {
    const isFar = from.column === to.column && Math.abs(from.row - to.row) > 1;
    return isFar ? bowPath(from, to) : straightPath(from, to);
  }
  return Math.abs(from.column - to.column) === 1 ? sidePath(from, to) : arcPath(from, to);
}

/** To a neighbour in the row. */
function sidePath(from, to) {
  const half = DIAGRAM.node_width / 2;
  const way = Math.sign(to.x - from.x);
  const y = from.y + way * 5;
  return `M ${from.x + way * half} ${y} L ${to.x - way * (half + 2)} ${y}`;
}

/** Over others in the row. */
function arcPath(from, to) {
  const half = DIAGRAM.node_height / 2;
  const outside = from.row === 0 ? -1 : 1;
  const edge = from.y + outside * half;
  const lift = edge + outside * (8 + 6 * Math.abs(from.column - to.column));
  const shift = Math.sign(to.x - from.x) * 12;
  const [left, right] = [from.x + shift, to.x - shift];
  return `M ${left} ${edge} C ${left} ${lift} ${right} ${lift} ${right} ${edge + outside * 3}`;
}

/** To another row. */
function straightPath(from, to) {
  const half = DIAGRAM.node_height / 2;
  const down = Math.sign(to.y - from.y);
  const shift = down * 7;
  const [top, bottom] = [from.y + down * half, to.y - down * (half + 3)];
  return `M ${from.x + shift} ${top} L ${to.x + shift} ${bottom}`;
}

/** Past others in the column. */
function bowPath(from, to) {
  const outside = from.column === 0 ? -1 : 1;
  const edge = from.x + (outside * DIAGRAM.node_width) / 2;
  const out = edge + outside * (DIAGRAM.bow - 8 + 4 * Math.sign(to.y - from.y));
  const shift = Math.sign(to.y - from.y) * 4;
  const [top, bottom] = [from.y + shift, to.y + shift];
  return `M ${edge} ${top} C ${out} ${top} ${out} ${bottom} ${edge + outside * 3} ${bottom}`;
}

/** Draws the head of an arrow at the end of a path. */
function withHead(path) {
  const length = path.getTotalLength();
  const [end, before] = [path.getPointAtLength(length), path.getPointAtLength(length - 4)];
  const angle = Math.atan2(end.y - before.y, end.x - before.x);
  const at = (turn) =>
    `${(end.x - 6 * Math.cos(angle + turn)).toFixed(1)} ${(end.y - 6 * Math.sin(angle + turn)).toFixed(1)}`;
  const head = `M ${at(0.5)} L ${end.x.toFixed(1)} ${end.y.toFixed(1)} L ${at(-0.5)}`;
  path.setAttribute('d', `${path.getAttribute('d')} ${head}`);
  return path;
}

/** A machine as a picture. `update(task, counts)` lights what is so now. */
function makeDiagram(machine) {
  const { places, width, height } = layoutOf(machine);
  const svg = s('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', class: 'diagram' });
  const title = s('title');
  const edges = new Map(
    machine.edges.map(([from, to]) => [
      `${from}>${to}`,
      withHead(s('path', { d: edgePath(places.get(from), places.get(to)), class: 'edge' })),
    ]),
  );
  const nodes = new Map(machine.states.map((state) => [state.name, makeNode(state, places)]));
  // Text in all pictures has the same size.
  svg.style.maxWidth = `${width}px`;
  svg.append(title, ...edges.values(), ...[...nodes.values()].map((node) => node.group));
  return { svg, title, edges, nodes };
}

function makeNode(state, places) {
  const { x, y } = places.get(state.name);
  const name = s('text', { x, y: y + 4, 'text-anchor': 'middle' }, state.name);
  const badge = s('text', {
    x: x + DIAGRAM.node_width / 2 - 2,
    y: y - DIAGRAM.node_height / 2 - 4,
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
    setText(badge, number > 0 ? `× ${grouped(number)}` : '');
  }
  const told = [...counts].map(([state, number]) => `${number} ${state}`).join(', ');
  setText(diagram.title, `Connections by state: ${told}.`);
}
