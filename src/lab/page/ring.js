// -- Ring: the four phases of a turn, where the loop is, and how long it chose to wait.

const RING = { size: 260, radius: 88, width: 30, gap: 0.06 };

const ring = makeRing();

function makeRing() {
  const centre = RING.size / 2;
  const svg = s('svg', {
    viewBox: `0 20 ${RING.size} ${RING.size - 40}`,
    role: 'group',
    class: 'ring',
  });
  const arcs = PHASES.map((phase, at) => {
    const from = (at / 4) * 2 * Math.PI - Math.PI / 2 + RING.gap;
    const to = from + Math.PI / 2 - 2 * RING.gap;
    const path = s('path', {
      d: arc(centre, RING.radius, from, to),
      class: `phase ${phase.name}`,
      'stroke-width': RING.width,
    });
    const middle = (from + to) / 2;
    const label = s(
      'text',
      {
        x: centre + Math.cos(middle) * (RING.radius + RING.width / 2 + 4),
        y: centre + Math.sin(middle) * (RING.radius + RING.width / 2 + 4) + 4,
        class: 'phase-name',
        'text-anchor': Math.cos(middle) > 0 ? 'start' : 'end',
      },
      phase.label,
    );
    // A phase is a way to its code.
    const way = s(
      'g',
      {
        class: 'way',
        role: 'button',
        tabindex: '0',
        'data-phase': phase.name,
        'aria-label': `Phase ${phase.label}: ${phase.about} Shows its code.`,
        onclick: () => showPhase(phase.name),
      },
      path,
      label,
    );
    way.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      showPhase(phase.name);
    });
    svg.append(way);
    return { path, label, phase };
  });
  const hand = s('circle', { r: 9, class: 'hand' });
  const lines = [0, 1, 2].map((row) =>
    s('text', {
      x: centre,
      y: centre - 16 + row * 24,
      'text-anchor': 'middle',
      class: row === 0 ? 'ring-turn' : 'ring-phase',
    }),
  );
  svg.append(hand, ...lines);
  byName('ring').append(svg);
  return { svg, arcs, hand, lines, centre };
}

function arc(centre, radius, from, to) {
  const at = (share) => (centre + share * radius).toFixed(2);
  const point = (angle) => `${at(Math.cos(angle))} ${at(Math.sin(angle))}`;
  return `M ${point(from)} A ${radius} ${radius} 0 0 1 ${point(to)}`;
}

/** Where the hand stands: in the middle of a phase, or at the top between two turns. */
function handAngle() {
  const at = PHASES.findIndex((phase) => phase.name === model.phase);
  return (at < 0 ? 0 : (at + 0.5) / 4) * 2 * Math.PI - Math.PI / 2;
}

panels.push(function drawRing() {
  const { svg, arcs, hand, lines, centre } = ring;
  for (const { path, label, phase } of arcs) {
    const isHere = phase.name === model.phase;
    path.classList.toggle('here', isHere);
    label.classList.toggle('here', isHere);
  }
  const angle = handAngle();
  hand.setAttribute('cx', centre + Math.cos(angle) * RING.radius);
  hand.setAttribute('cy', centre + Math.sin(angle) * RING.radius);
  const phase = PHASES.find((phase) => phase.name === model.phase);
  setText(lines[0], `turn ${model.turn}`);
  setText(lines[1], placeOnRing());
  setText(lines[2], model.paused ? 'held' : '');
  const where = phase ? `phase ${phase.label}` : 'between turns';
  const told = `The loop is in turn ${model.turn}, ${where}${model.paused ? ', held' : ''}.`;
  if (svg.getAttribute('aria-label') !== told) svg.setAttribute('aria-label', told);
  const reason = timeoutReason(model.timeout, model.turnReady, model.turnTimers);
  setText(byName('timeout'), reason ? `Phase 1 decided: ${reason}.` : '');
});
