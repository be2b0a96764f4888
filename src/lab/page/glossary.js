// -- Glossary: what a word means, where it stands. The sentences come from the lab; a word is whatever has `data-word`.

const glossary = new Map();

/** All words, longest first, so that `sticky readiness` is not read as `readiness`. */
let wordsInTexts = null;

function takeGlossary(words) {
  for (const [word, text] of Object.entries(words ?? {})) glossary.set(word.toLowerCase(), { word, text });
  const all = [...glossary.keys()].sort((a, b) => b.length - a.length);
  wordsInTexts = all.length > 0 ? new RegExp(`\\b(${all.join('|')})\\b`, 'i') : null;
}

/** A text whose first word of the glossary is explained; the others were perhaps explained before. */
function explained(text, known) {
  const found = wordsInTexts?.exec(text);
  if (!found || known.has(found[0].toLowerCase())) return [text];
  known.add(found[0].toLowerCase());
  const after = text.slice(found.index + found[0].length);
  return [text.slice(0, found.index), term(found[0]), ...explained(after, known)];
}

/** A word that can be pointed at, and reached by the keyboard. */
function term(word) {
  return h('button', { type: 'button', class: 'term', 'data-word': word.toLowerCase() }, word);
}

const hint = byName('hint');
let hinted = null;

function showHint(element) {
  const entry = glossary.get(element?.dataset.word?.toLowerCase());
  if (!entry) return hideHint();
  if (hinted === element) return;
  hideHint();
  hinted = element;
  hint.replaceChildren(h('b', {}, entry.word), ` ${entry.text}`);
  hint.hidden = false;
  element.setAttribute('aria-describedby', 'hint');
  // Below the word, or above it where there is no room; always in sight.
  const [at, own] = [element.getBoundingClientRect(), hint.getBoundingClientRect()];
  const left = Math.max(8, Math.min(at.left, innerWidth - own.width - 8));
  const below = at.bottom + 6;
  const top = below + own.height > innerHeight - 8 ? Math.max(8, at.top - own.height - 6) : below;
  hint.style.left = `${left}px`;
  hint.style.top = `${top}px`;
}

function hideHint() {
  hinted?.removeAttribute('aria-describedby');
  hinted = null;
  hint.hidden = true;
}

for (const name of ['pointerover', 'focusin']) {
  document.addEventListener(name, ({ target }) => {
    if (target === hint || hint.contains(target)) return;
    const element = target.closest?.('[data-word]');
    // Where the focus is, its word stays explained while the pointer wanders about.
    if (element) showHint(element);
    else if (name === 'focusin' || !hinted?.matches(':focus-visible')) hideHint();
  });
}
addEventListener('scroll', hideHint, { passive: true });
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') hideHint();
});
