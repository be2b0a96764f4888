// -- Time: a bar over all moments of a world that goes back, and the link that leads here.

/** Browsers refuse a page that writes its address too often. */
const LINK_EVERY = 500;

const momentBar = byName('moment');
let wanted = null;

/** Goes to a moment; while it is on its way, only the last wish counts. */
async function goToMoment(moment) {
  const isBusy = wanted !== null;
  wanted = Math.max(0, Math.min(model.moments, moment));
  if (isBusy) return;
  while (wanted !== null) {
    const next = wanted;
    await command(`go-to?moment=${next}`);
    if (wanted === next) wanted = null;
  }
}

momentBar.addEventListener('input', () => goToMoment(Number(momentBar.value)));

panels.push(function drawTime() {
  const isThere = model.hello?.back === true;
  byName('time').hidden = !isThere;
  if (!isThere) return;
  momentBar.max = model.moments;
  if (document.activeElement !== momentBar || wanted === null) momentBar.value = model.moment;
  const text = `moment ${model.moment} of ${model.moments}`;
  setText(byName('moment-value'), text);
  momentBar.setAttribute('aria-valuetext', text);
  writeLink();
});

let linkDue = 0;
let isLinkWritten = true;

/** The address leads to what one sees, as soon as the loop is held. */
function writeLink() {
  const fragment = `#${model.recipe}`;
  if (!model.paused || !model.recipe || location.hash === fragment || hasLink()) return;
  const wait = linkDue - performance.now();
  if (wait > 0) {
    if (isLinkWritten) setTimeout(redraw, wait);
    isLinkWritten = false;
    return;
  }
  isLinkWritten = true;
  linkDue = performance.now() + LINK_EVERY;
  try {
    history.replaceState(null, '', fragment);
  } catch {
    // It is written later, or the page may not.
  }
}

/** What the address asked for when the page was opened, or when somebody changed it. */
let asked = location.hash.slice(1);

function hasLink() {
  return asked !== '';
}

async function followLink() {
  const recipe = asked;
  if (recipe && model.hello?.back) await command(`open?${decodeURIComponent(recipe)}`);
  if (asked === recipe) asked = '';
  redraw();
}

addEventListener('hashchange', () => {
  asked = location.hash.slice(1);
  if (asked !== model.recipe) followLink();
  else asked = '';
});

byName('copy-link').addEventListener('click', async () => {
  const link = `${location.href.split('#')[0]}#${model.recipe}`;
  try {
    await navigator.clipboard.writeText(link);
    say('');
    setText(byName('copy-link'), 'Copied');
    setTimeout(() => setText(byName('copy-link'), 'Copy link'), 1500);
  } catch {
    say(`The link: ${link}`);
  }
});

/** Keys that go through time, wherever nothing else wants them. */
const TIME_KEYS = {
  ArrowLeft: () => model.moment - 1,
  ArrowRight: () => model.moment + 1,
  Home: () => 0,
  End: () => model.moments,
};

/** Where the arrow keys do something else: they choose, or scroll. */
const SCROLLED =
  'input, select, textarea, #turns, pre, ol[tabindex], ul[tabindex], .table, .sources, .conversations';

document.addEventListener('keydown', (event) => {
  const isElsewhere = event.target.closest(SCROLLED);
  if (isElsewhere || !(event.key in TIME_KEYS) || model.hello?.back !== true) return;
  if (event.ctrlKey || event.metaKey || event.altKey || !byName('keys-on').checked) return;
  event.preventDefault();
  goToMoment(TIME_KEYS[event.key]());
});
