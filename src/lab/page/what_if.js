// -- What if: two futures of this moment, side by side: as it is, and with one more client or fault.

/** What can go wrong, by the names of faults: each from the moment on at which one stands. */
const MISHAPS = [
  ['reset', 'the network resets the connection that was opened last'],
  ['short=100', 'every read and write moves a few bytes at most'],
  ['would-block=50', 'half of the reads and writes would block'],
  ['accept-error=100', 'accepting fails, as without descriptors'],
  ['spurious=100', 'sockets are reported for which nothing happened'],
  ['held=100', 'every report of the kernel comes late'],
  ['latency=100', 'new connections are far away'],
];

const whatIf = { futures: null, options: '' };

function takeFutures(futures) {
  whatIf.futures = futures;
  const [asIs, withMore] = futures.both;
  setText(byName('parting'), partingOf(futures, asIs, withMore));
  byName('futures').replaceChildren(
    future('As it is', asIs),
    future(`With “${nameOf(futures.what)}”`, withMore),
  );
  for (const row of byName('futures').querySelectorAll('.marked')) showRow(row.parentElement, row);
}

function nameOf(what) {
  const [, name] = [...SCENARIOS, ...MISHAPS].find(([known]) => known === what) ?? [, what];
  return name;
}

/** In a sentence or two: whether the futures part, and where. */
function partingOf({ parting, moment, compared }, ...both) {
  const from = `From moment ${moment} on:`;
  if (parting === 'never') {
    return `${from} nobody else notices. The same happens to them at the same times, to the end.`;
  }
  if (parting === 'not yet') {
    return `${from} nobody else notices, as far as ${count(compared, 'step')} lead.`;
  }
  const [asIs, withMore] = both.map(({ events, differs }) => events[differs ?? -1] ?? null);
  if (asIs?.text === withMore?.text) {
    const [apart, way] = [withMore.at - asIs.at, withMore.at > asIs.at ? 'later' : 'earlier'];
    return `${from} the first difference for others is in time. ${sentenceCase(asIs.text)}: ${span(Math.abs(apart))} ${way}.`;
  }
  const told = (event) => (event ? `${event.text}, at ${millis(event.at)} ms` : 'nothing more');
  return `${from} the first difference for others. As it is: ${told(asIs)}. With it: ${told(withMore)}.`;
}

function sentenceCase(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** One of the two: its turn, the event that differs marked, and a way to go there. */
function future(title, { recipe, events, differs }) {
  const turn = { timeout: null, ready: 0, timers: 0, waits: 0, waited: 0 };
  const say = (event) => {
    if (event.event === 'turn_began') Object.assign(turn, event);
    if (event.event === 'waiting') Object.assign(turn, { timeout: event, waits: event.at });
    if (event.event === 'waited') turn.waited = event.at;
    return event.event === 'stall' ? event.text : sentence(event, turn);
  };
  const moment = recipe.split('at=').at(-1);
  const go = async () => {
    if (await command(`open?${recipe}`)) toggle('what-if', false);
  };
  const list = sentences();
  events.forEach((event, at) => list.add(event, say(event), at === differs ? ' marked' : ''));
  list.element.tabIndex = 0;
  list.element.setAttribute('aria-label', `What happens: ${title}`);
  return h(
    'article',
    { class: 'future', 'aria-label': title },
    h('h3', {}, title, h('button', { type: 'button', onclick: go }, `Go there: moment ${moment}`)),
    list.element,
  );
}

async function compare() {
  setText(byName('parting'), 'Comparing …');
  byName('futures').replaceChildren();
  const isTaken = await command(`what-if?what=${byName('what-if-what').value}`);
  if (!isTaken) setText(byName('parting'), '');
}

byName('compare').addEventListener('click', compare);

panels.push(function drawWhatIf() {
  const refusal = reasonAgainst('held') || (model.hello?.back ? '' : GOES_ON);
  allow(byName('compare'), refusal);
  if (byName('what-if').hidden) return;
  setText(byName('what-if-moment'), `moment ${model.moment}`);
  const offered = SCENARIOS.filter(([name]) => model.hello?.scenarios?.includes(name) ?? true);
  const options = offered.map(([name]) => name).join();
  if (options === whatIf.options) return;
  whatIf.options = options;
  const group = (label, all) =>
    h('optgroup', { label }, ...all.map(([value, name]) => h('option', { value }, name)));
  byName('what-if-what').replaceChildren(
    group('a client begins:', offered),
    group('something goes wrong from here on:', MISHAPS),
  );
});
