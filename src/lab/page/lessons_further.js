// -- Further lessons: connections, coroutines, many at once, and what goes wrong.

LESSONS.push(
  {
    id: 'batches',
    steps: [
      {
        id: 'crowd',
        look: '#talk',
        press: traffic('hundred'),
        hold: 'accepted',
        until: once(is('accepted')),
      },
      { id: 'share', look: '#ready', held: true, ask: 'next_task' },
      { id: 'batch', look: '#ready', held: true, ask: 'timeout' },
      { id: 'end', look: '#timeline', until: whenEnded('hundred') },
    ],
  },
  {
    id: 'backpressure',
    steps: [
      {
        id: 'big',
        look: '#talk',
        press: traffic('slow-reader'),
        hold: 'state&to=flushing',
        until: once(leadsTo('flushing')),
      },
      { id: 'short', look: '#tasks', held: true, ask: 'state' },
      { id: 'waits', look: '#kernel', held: true, ask: 'timeout' },
      { id: 'end', look: '#kernel', until: whenEnded('slow-reader') },
    ],
  },
  {
    id: 'keep-alive',
    steps: [
      { id: 'pair', look: '#talk', press: traffic('pair'), until: times(2, is('response')) },
      {
        id: 'one',
        look: '#tasks',
        press: traffic('one'),
        hold: 'response',
        until: once(is('response')),
      },
      { id: 'idle', look: '#timers', held: true, ask: 'first_timer' },
      {
        id: 'crowd',
        look: '#talk',
        held: true,
        press: traffic('hundred'),
        until: once(is('traffic note', (note) => note.scenario === 'hundred')),
      },
      {
        id: 'count',
        look: '#tasks',
        held: true,
        ask: 'timeout',
        press: PRESS_TURN,
        until: times(100, is('accepted')),
      },
      { id: 'gone', look: '#resume', press: PRESS_RESUME, until: whenEnded('hundred') },
    ],
  },
  {
    id: 'half-close',
    steps: [
      {
        id: 'half',
        look: '#talk',
        press: traffic('half-close'),
        hold: 'read_end',
        until: once(is('read_end')),
      },
      { id: 'answered', look: '#told', held: true, ask: 'timeout' },
      {
        id: 'linger',
        look: '#talk',
        held: true,
        press: traffic('smuggle'),
        hold: 'state&to=lingering',
        until: once(leadsTo('lingering')),
      },
      { id: 'does', look: '#tasks', held: true, ask: 'state' },
      { id: 'limit', look: '#timers', held: true, ask: 'first_timer' },
      { id: 'end', look: '#talk', until: whenEnded('smuggle') },
    ],
  },
  {
    id: 'gather',
    needs: 'gather',
    steps: [
      {
        id: 'begin',
        look: '#tasks',
        press: traffic('gather'),
        hold: 'state&to=serving',
        until: once(leadsTo('serving')),
      },
      { id: 'spawned', look: '#ready', held: true, ask: 'next_task' },
      { id: 'waits', look: '#tasks', held: true, ask: 'timeout' },
      {
        id: 'third',
        look: '#talk',
        until: before(is('request', (event) => event.line.startsWith('GET /sleep/9'))),
      },
      { id: 'cancel', look: '#timers', until: whenEnded('gather') },
    ],
  },
  {
    id: 'thread',
    needs: 'thread',
    steps: [
      {
        id: 'ask',
        look: '#talk',
        press: traffic('thread'),
        hold: 'state&to=serving',
        until: once(leadsTo('serving')),
      },
      { id: 'spawned', look: '#ready', held: true, ask: 'next_task' },
      {
        id: 'waits',
        look: '#tasks',
        held: true,
        press: RUN_ON,
        hold: 'suspended',
        until: once(is('suspended', (event) => event.task === handlerTask)),
      },
      { id: 'forever', look: '#timers', held: true, ask: 'timeout' },
      { id: 'ring', look: '#loop', held: true, ask: 'ends_wait' },
      {
        id: 'run',
        look: '#ready',
        held: true,
        press: RUN_ON,
        hold: beforeHandler,
        until: once(
          is('queued', (event) => event.task === handlerTask && event.cause.includes('woken')),
        ),
      },
      { id: 'woken', look: '#told', held: true, ask: 'ended_wait' },
      { id: 'end', look: '#talk', until: whenEnded('thread') },
    ],
  },
  {
    id: 'descriptors',
    needs: 'descriptors',
    steps: [
      {
        id: 'short',
        look: '#talk',
        press: traffic('descriptors'),
        hold: 'state&to=backing-off',
        until: once(leadsTo('backing off')),
      },
      { id: 'where', look: '#talk', held: true, ask: 'where' },
      { id: 'spin', look: '#timers', held: true, ask: 'timeout' },
      {
        id: 'retry',
        look: '#timers',
        held: true,
        press: RUN_ON,
        hold: 'timer_fired',
        until: once(is('timer_fired')),
      },
      { id: 'next', look: '#ready', held: true, ask: 'next_task' },
      { id: 'end', look: '#timeline', until: whenEnded('descriptors') },
    ],
  },
  {
    id: 'smuggling',
    steps: [
      {
        id: 'send',
        look: '#talk',
        press: traffic('smuggle'),
        hold: 'response',
        until: once(is('response')),
      },
      { id: 'answer', look: '#told', held: true, ask: 'state' },
      { id: 'hidden', look: '#talk', held: true, ask: 'timeout' },
      { id: 'end', look: '#talk', until: whenEnded('smuggle') },
    ],
  },
);

// Each ends with an exercise; only a world that goes back can judge its answer.
for (const lesson of LESSONS) {
  lesson.steps.push({
    id: 'exercise',
    look: '#time',
    isExercise: true,
    until: () => (model.hello?.back ? isSolved : () => true),
  });
}
