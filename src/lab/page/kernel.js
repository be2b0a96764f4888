// -- Kernel lane: readiness, bytes, and what would have blocked, by source.

const SOURCES_SHOWN_MAX = 24;
const BITS = [
  ['readable', 'readable'],
  ['writable', 'writable'],
  ['read_closed', 'read end'],
  ['write_closed', 'write end'],
];

panels.push(function drawSources() {
  const isOfSignals = (source) => model.tasks.get(source.task)?.kind === 'signal';
  const signals = [...model.sources.values()].filter(isOfSignals);
  drawSignals(signals);
  const all = [...model.sources.values()].filter((source) => !isOfSignals(source));
  const shown = all
    .sort((a, b) => b.touched - a.touched)
    .slice(0, SOURCES_SHOWN_MAX)
    .sort((a, b) => Number(a.touched === 0) - Number(b.touched === 0) || byId(a.id, b.id));
  const rows = [
    ...shown,
    ...(all.length > shown.length ? [{ id: 'more', more: all.length - shown.length }] : []),
  ];
  keyed(
    byName('sources'),
    rows,
    (row) => row.id,
    (row) => (row.more ? h('p') : makeSource()),
    (element, row) => {
      if (row.more) setText(element, `and ${count(row.more, 'more source')}, quiet for longer`);
      else drawSource(element, row);
    },
  );
});

/** Sources of signals are quiet, and of no interest to most: they are folded away. */
function drawSignals(signals) {
  byName('signal-sources').hidden = signals.length === 0;
  setText(byName('signal-count'), count(signals.length, 'source'));
  keyed(byName('signals'), signals, (source) => source.id, makeSource, drawSource);
}

function makeSource() {
  const lamps = BITS.map(([name, label]) => h('span', { class: 'lamp', 'data-bit': name }, label));
  return h(
    'article',
    { class: 'source' },
    h('h3', {}, h('b'), h('small')),
    h('p', { class: 'lamps' }, ...lamps),
    h('p', { class: 'bytes' }),
    h('ol', { class: 'operations', 'aria-label': 'Last operations' }),
  );
}

function drawSource(element, source) {
  const [heading, lamps, bytes, operations] = element.children;
  const kind = model.tasks.get(source.task)?.kind;
  setText(heading.firstChild, `source ${source.id}`);
  setText(heading.lastChild, source.task ? ` of ${kind ?? 'task'} ${source.task}` : '');
  for (const lamp of lamps.children) {
    const name = plain(lamp.dataset.bit);
    const isOn = source.readiness.has(lamp.dataset.bit);
    lamp.classList.toggle('on', isOn);
    lamp.title = isOn ? name : `not ${name}`;
    lamp.setAttribute('aria-label', lamp.title);
  }
  setText(
    bytes,
    `${count(source.read, 'byte')} in, ${count(source.written, 'byte')} out, ` +
      `would block ${source.blocked}×`,
  );
  const last = source.operations.slice(-6).map((operation, at) => ({ ...operation, at }));
  keyed(
    operations,
    last,
    (operation) => operation.at,
    () => h('li'),
    (item, operation) => {
      item.className = operation.kind;
      setText(item, operation.text);
    },
  );
  element.classList.toggle('current', source.task !== null && source.task === model.current);
}
