// -- Totals: what each task has cost so far, and how long it was ready and waited.

const TOTALS_MAX = 60;

const COLUMNS = [
  ['task', 'task', (task) => task.id, (task) => `${task.kind} ${task.id}${task.name ? ` ${task.name}` : ''}`],
  ['resumes', 'resumes', (task) => task.resumes ?? 0, (task) => grouped(task.resumes ?? 0)],
  ['busy', 'busy', (task) => task.busy_ns ?? 0, (task) => span(task.busy_ns ?? 0)],
  ['longest', 'longest resume', (task) => task.longest_ns ?? 0, (task) => span(task.longest_ns ?? 0)],
  ['ready', 'ready', (task) => timesOf(task).ready, (task) => span(timesOf(task).ready)],
  ['waiting', 'waiting', (task) => timesOf(task).waiting, (task) => span(timesOf(task).waiting)],
];

const totals = { by: 'busy' };

/** In the queue, and waiting, up to the last look at the loop. */
function timesOf({ ready_ns: ready = 0, waited_ns: waited = 0, status_since: since, waits_for: waits }) {
  const now = Math.max(0, (shown?.now ?? 0) - (since ?? shown?.now ?? 0));
  return waits === 'its turn'
    ? { ready: ready + now, waiting: waited }
    : { ready, waiting: waited + now };
}

byName('totals-head').append(
  ...COLUMNS.map(([column, label]) =>
    h(
      'th',
      { scope: 'col' },
      h('button', { type: 'button', onclick: () => sortTotals(column), 'data-column': column }, label),
    ),
  ),
);

function sortTotals(column) {
  totals.by = column;
  redraw();
}

byName('totals').addEventListener('toggle', redraw);

panels.push(function drawTotals() {
  if (!byName('totals').open) return;
  const [, , value] = COLUMNS.find(([column]) => column === totals.by);
  const isById = totals.by === 'task';
  const order = (a, b) => (isById ? byId(a.id, b.id) : value(b) - value(a) || byId(a.id, b.id));
  const all = [...model.tasks.values()].sort(order);
  for (const head of byName('totals-head').children) {
    const isSorted = head.firstChild.dataset.column === totals.by;
    if (isSorted) head.setAttribute('aria-sort', isById ? 'ascending' : 'descending');
    else head.removeAttribute('aria-sort');
  }
  keyed(
    byName('totals-rows'),
    all.slice(0, TOTALS_MAX),
    (task) => task.id,
    () => h('tr', {}, h('th', { scope: 'row' }), ...COLUMNS.slice(1).map(() => h('td'))),
    (row, task) =>
      COLUMNS.forEach(([, , , text], at) => {
        setText(row.children[at], text(task));
      }),
  );
  const beyond = model.groups.reduce((sum, group) => sum + group.count, 0);
  const left = all.length - TOTALS_MAX + beyond;
  setText(byName('totals-more'), left > 0 ? `and ${count(Math.max(left, beyond), 'more task')}` : '');
});
