// -- Texts of the lessons: which language they are in. In a text, `{name}` is filled in, and what stands
// between backticks is code.

let language = languageOfReader();

/** The one that the address asks for, else the first of the browser's that there is, else English. */
function languageOfReader() {
  const asked = new URLSearchParams(location.search).get('lang');
  const wanted = [asked ?? '', ...navigator.languages].map((tag) => tag.toLowerCase().split('-')[0]);
  return wanted.find((name) => Object.hasOwn(TEXTS, name)) ?? 'en';
}

/** The texts in the present language. */
const texts = () => TEXTS[language];

/** A text of the tour, filled in. */
const tourText = (name, values) => put(texts().tour[name], values);

function put(text, values = {}) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** What is in a text, as children of an element. */
function withCode(text) {
  return text.split('`').map((part, at) => (at % 2 === 1 ? h('code', {}, part) : part));
}

/** Writes a text, only if it is new. */
function setWithCode(element, text) {
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(...withCode(text));
}

const languageSelect = byName('lesson-language');
languageSelect.append(
  ...Object.entries(TEXTS).map(([name, { language }]) =>
    h('option', { value: name, lang: name }, language),
  ),
);
languageSelect.value = language;

languageSelect.addEventListener('change', () => {
  language = languageSelect.value;
  const address = new URL(location.href);
  address.searchParams.set('lang', language);
  try {
    history.replaceState(null, '', address);
  } catch {
    // The page may not write its address: the choice holds until it is closed.
  }
  showLanguage();
});
