// -- Listings: the same connection as a state machine and as a coroutine, with one cursor in both.

/** The connection that the cursor follows: one whose card was asked for, else the last that moved. */
let followed = null;

listeners.add((event) => {
  if (event?.event === 'resumed' && event.kind === SHOWN_KIND) followed = event.task;
});

function followedTask() {
  const asked = [...pinned].find((id) => model.tasks.get(id)?.kind === SHOWN_KIND);
  return model.tasks.get(asked ?? followed) ?? model.gone.find((task) => task.id === followed);
}

panels.push(function drawListings() {
  const listings = model.hello?.listings ?? [];
  byName('twins').hidden = listings.length === 0;
  const task = followedTask();
  const isGone = task !== undefined && !model.tasks.has(task.id);
  const state = isGone ? 'closed' : task?.state;
  setText(
    byName('twins-note'),
    task
      ? `connection ${task.id} is ${state}: one cursor, in both`
      : 'both do the same, event for event; make traffic, and a cursor shows where a connection is',
  );
  keyed(
    byName('listings'),
    listings,
    (listing) => listing.file,
    makeListing,
    (element, listing) => drawListing(element, listing, state),
  );
});

function makeListing(listing) {
  const { title, file, first_line: first, lines } = listing;
  const rows = lines.map((line, at) => h('li', { value: first + at }, h('code', {}, line)));
  return h(
    'figure',
    { class: 'listing' },
    h('figcaption', {}, h('b', {}, `As ${title}`), h('small', {}, place(file, first))),
    h('ol', { tabindex: '0', 'aria-label': `Source of ${title}` }, ...rows),
  );
}

function drawListing(element, listing, state) {
  const here = listing.cursor[state];
  [...element.lastChild.children].forEach((row, at) => {
    const isNew = at === here && !row.classList.contains('here');
    row.classList.toggle('here', at === here);
    // A list that has just been made has no height yet.
    if (isNew) requestAnimationFrame(() => showRow(element.lastChild, row));
    if (at === here) row.setAttribute('aria-current', 'true');
    else row.removeAttribute('aria-current');
  });
}

/** Brings a row into sight, and moves nothing but its list. */
function showRow(list, row) {
  const above = row.offsetTop - list.offsetTop;
  list.scrollTop = Math.max(0, above - list.clientHeight / 2);
}
