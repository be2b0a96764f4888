// -- Code: the lines of the loop that are a phase, where the ring shows that phase.

function showPhase(name) {
  const phase = PHASES.find((phase) => phase.name === name);
  const { file, first_line: first, lines } = model.hello?.phases?.[name] ?? {};
  if (!lines) return;
  setText(byName('code-title'), `Phase ${phase.label}`);
  setText(byName('code-about'), phase.about);
  const rows = lines.map((line, at) => h('li', { value: first + at }, h('code', {}, line)));
  byName('code-listing').replaceChildren(
    h('figcaption', {}, h('small', {}, place(file, first))),
    h('ol', { tabindex: '0', 'aria-label': `Source of phase ${phase.label}` }, ...rows),
  );
  openedBy.code = document.activeElement;
  toggle('code', true);
}
