// -- Traffic: buttons that make the lab's own clients talk, and what went over the wire.

const SCENARIOS = [
  ['one', 'One request', 'GET, an answer'],
  ['pair', 'Pipelined pair', 'two requests in one packet'],
  ['dribble', 'Dribble', 'a request byte by byte'],
  ['slow-reader', 'Slow reader', 'asks, and does not read'],
  ['hundred', '100 at once', 'a hundred connections'],
  ['half-close', 'Half-close', 'asks, and says that it is done'],
  ['smuggle', 'Smuggling', 'two lengths for one body'],
  ['sleep', 'Handler sleeps', 'others go on'],
  ['block', 'Handler blocks', 'everybody waits'],
  ['gather', 'Gather', 'fetches side by side'],
  ['descriptors', 'No descriptors', 'for two seconds'],
  ['thread', 'Another thread', 'works, and wakes'],
];

/** The word of the glossary that a scenario shows. */
const WORDS_OF_SCENARIOS = {
  one: 'keep-alive',
  pair: 'pipelining',
  dribble: 'slowloris',
  'slow-reader': 'backpressure',
  hundred: 'accept queue',
  'half-close': 'half-close',
  smuggle: 'request smuggling',
  block: 'starvation',
  gather: 'coroutine',
};

byName('scenarios').append(
  ...SCENARIOS.map(([scenario, name, about]) =>
    h(
      'button',
      {
        type: 'button',
        'data-scenario': scenario,
        'data-word': WORDS_OF_SCENARIOS[scenario],
        onclick: () => command(`traffic?scenario=${scenario}`),
      },
      h('b', {}, name),
      h('small', {}, about),
    ),
  ),
);

const BYTES_SHOWN_MAX = 1200;
const MARKS = { sent: '→', received: '←', ended: '■', note: '·' };
const MARK_NAMES = { sent: 'sent', received: 'received', ended: 'ended', note: 'note' };

panels.push(function drawTalks() {
  for (const name of ['traffic', 'lessons', 'talk']) byName(name).hidden = !hasServer();
  const talks = [...model.talks.values()].reverse();
  const empty = { id: 'empty' };
  keyed(
    byName('conversations'),
    talks.length > 0 ? talks : [empty],
    (talk) => talk.id,
    (talk) =>
      talk === empty
        ? h(
            'p',
            {},
            'Press a button under “Make traffic”: what its client sends and gets comes here.',
          )
        : h(
            'article',
            { class: 'talk', 'data-talk': talk.scenario },
            h('h3', {}, h('b'), h('small')),
            h('ol'),
            h('p'),
          ),
    (element, talk) => talk === empty || drawTalk(element, talk),
  );
});

function drawTalk(element, talk) {
  // It is drawn when something new was said.
  if (element.talk === talk && element.notes === talk.notes) return;
  Object.assign(element, { talk, notes: talk.notes });
  const [heading, lines, rest] = element.children;
  const [, name] = SCENARIOS.find(([scenario]) => scenario === talk.scenario) ?? [, talk.scenario];
  setText(heading.firstChild, name);
  const asked = talk.lines.find((line) => line.step === 'sent')?.bytes.join('');
  const what = asked?.match(/^[A-Z]+ [^ \\]+/)?.[0] ?? '';
  setText(heading.lastChild, ` ${what}${talk.ended ? ' ended' : ' goes on'}`);
  keyed(
    lines,
    talk.lines.map((line, at) => ({ ...line, at })),
    (line) => line.at,
    (line) =>
      h(
        'li',
        { class: line.step },
        h('b', { title: MARK_NAMES[line.step] }, MARKS[line.step] ?? '·'),
        h('code'),
        h('small'),
      ),
    drawTalkLine,
  );
  setText(rest, talk.left_out > 0 ? `and ${count(talk.left_out, 'more line')}` : '');
}

/** Pieces that follow each other the same way are one line; a bar shows where they were cut. */
function drawTalkLine(item, line) {
  const isBytes = line.step === 'sent' || line.step === 'received';
  let text = line.bytes.join(isBytes ? '│' : ' ');
  if (text.length > BYTES_SHOWN_MAX) text = `${text.slice(0, BYTES_SHOWN_MAX)}…`;
  setText(item.children[1], text);
  setText(item.children[2], isBytes && line.pieces > 1 ? `in ${line.pieces} pieces` : '');
}
