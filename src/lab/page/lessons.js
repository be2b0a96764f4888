// -- Lessons. A step: what it says, where to look, what it offers to press, what it waits for. With
// `hold`, the loop is held when that event has happened, and stays so in steps that are `held`.
// `ask` is a question, to be answered before. In `say`, an empty line parts paragraphs, and braces
// enclose what is code.

const LESSONS = [
  {
    name: 'What is a turn?',
    about: 'four phases, again and again',
    steps: [
      {
        say: `
          An event loop is one function that is called again and again. One call is a
          turn, and a turn has four phases: the ring shows them.

          1: how long may we wait? 2: ask the world what happened. 3: queue the tasks
          that it concerns. 4: resume exactly those.`,
        look: '#loop',
      },
      {
        say: `
          Hold the loop. It stops where nothing is half done: at the start of a turn, or
          before a resume. Its clock stands still as well.`,
        look: '#pause',
        press: PRESS_PAUSE,
        until: whenHeld,
        for: 'the loop to be held',
      },
      {
        say: `
          Now a client connects and asks. The kernel takes its bytes; nobody here looks
          at them yet. See what the client has sent, and that no answer comes.`,
        look: '#talk',
        press: traffic('one', 'Make one request'),
        until: once(is('traffic sent')),
        for: 'a request on the wire',
      },
      {
        say: `
          Step, turn by turn, until the listener’s task (the acceptor) takes the
          connection from the kernel. That makes a new task. It is queued, and its turn
          is the next one.`,
        look: '#ready',
        ask: 'next_task',
        press: PRESS_TURN,
        until: once(is('accepted')),
        for: 'an accept',
      },
      {
        say: `
          Step again until the new task reads the request and answers it.`,
        look: '#tasks',
        ask: 'timeout',
        press: PRESS_TURN,
        until: once(is('response')),
        for: 'an answer',
      },
      {
        say: `
          Each column of the timeline is a turn. Select the last one, and read here what happened in
          each phase.`,
        look: '#told',
        press: button('Select the last turn', '#turns [data-turn]:last-of-type'),
        until: () => () => timeline.selected !== null,
        for: 'a turn to be selected',
      },
      GO_ON,
    ],
  },
  {
    name: 'Where does a slow client wait?',
    about: 'in its own state, not in ours',
    steps: [
      {
        say: `
          Here is a client that sends its request byte by byte, as a bad network does.
          Where will the server wait for it?`,
        look: '#talk',
        press: traffic('dribble', 'Start the dribble'),
        hold: 'state&to=receiving-head',
        until: once(is('state', (event) => event.to === 'receiving head')),
        for: 'a connection that is receiving a head',
      },
      {
        say: `
          The first byte is here, and the loop is held at that moment. There is time to look.`,
        look: '#tasks',
        held: true,
        ask: 'state',
      },
      {
        say: `
          The connection is in the state {receiving head}: that, and the bytes so far,
          is all that waiting costs. No thread waits anywhere.

          While it dribbles, another client asks. It is answered at once.`,
        look: '#tasks',
        held: true,
        press: traffic('one', 'Make one request'),
        hold: 'response',
        until: once(is('response')),
        for: 'an answer',
      },
      {
        say: `
          Both are on the loop now: one that was answered, and one that dribbles.`,
        look: '#timers',
        held: true,
        ask: 'timeout',
      },
      {
        say: `
          In the kernel lane you see the slow one: reads of one byte. A read that returns less
          than it could shows that the socket is empty, so the loop does not try again; it goes on to
          others, and the connection waits.`,
        look: '#kernel',
        until: before(is('read', (event) => event.bytes < 20)),
        for: 'a short read',
      },
      {
        say: `
          The slow client is answered when its request is complete, not earlier, and
          no other client had to wait for it.`,
        look: '#talk',
        until: whenEnded('dribble'),
        for: 'the end of the dribble',
      },
    ],
  },
  {
    name: 'Why is blocking a sin?',
    about: 'sleep, and block: the difference',
    steps: [
      {
        say: `
          This handler takes two seconds, but it sleeps on the loop: it sets a timer and
          gives control back. Its connection is {serving}.`,
        look: '#tasks',
        press: traffic('sleep', 'Ask the handler that sleeps'),
        hold: 'state&to=serving',
        until: once(is('state', (event) => event.to === 'serving')),
        for: 'a connection that is serving',
      },
      {
        say: `
          The handler has begun, and has given control back. Its connection waits for it.`,
        look: '#tasks',
        held: true,
        ask: 'state',
      },
      {
        say: `
          Meanwhile other clients are answered as usual. Try it.`,
        look: '#talk',
        held: true,
        press: traffic('one', 'Make one request'),
        hold: 'response',
        until: once(is('response')),
        for: 'an answer to somebody else',
      },
      {
        say: `
          And this handler blocks the thread for 300 ms. There is one thread, so all
          connections stand still. The detective reports it: a stall.`,
        look: '#timeline',
        held: true,
        press: traffic('block', 'Ask the handler that blocks'),
        hold: 'stall',
        until: once(is('stall')),
        for: 'a report of a stall',
      },
      {
        say: `
          The loop is held right after it. Nobody could be looked after for 300 ms; who asked
          meanwhile waits in the kernel.`,
        look: '#ready',
        held: true,
        ask: 'timeout',
      },
      {
        say: `
          The turn with the exclamation mark is that one: its work bar is the tallest.
          Work that takes long belongs on a helper thread, or must be cut into pieces.`,
        look: '#timeline',
      },
    ],
  },
  {
    name: 'A partial read',
    about: 'a stream has no messages',
    steps: [
      {
        say: `
          TCP carries a stream of bytes, not messages. A read returns what is there:
          perhaps half a line. Slow motion makes it visible.`,
        look: '#slow',
        press: { label: 'Turn on slow motion', slow: 250 },
        until: () => () => model.dwell > 0,
        for: 'slow motion',
      },
      {
        say: `
          A request that comes byte by byte.`,
        look: '#kernel',
        press: traffic('dribble', 'Start the dribble'),
        hold: 'read',
        until: once(is('read', (event) => event.bytes < 20)),
        for: 'a small read',
      },
      {
        say: `
          One byte was read, and the loop is held there. The request is far from complete.`,
        look: '#tasks',
        held: true,
        ask: 'state',
      },
      {
        say: `
          There is nothing to do before the next byte comes.`,
        look: '#timers',
        held: true,
        ask: 'timeout',
      },
      {
        say: `
          Each time the kernel says {readable}, the connection reads once. Less came than it has
          room for, so the socket is empty now, and another read would block. It gives control back
          and waits, in the same state, with the bytes that it holds.`,
        look: '#tasks',
        until: before(is('suspended', (event) => event.flow === 'wait')),
        for: 'a task that waits again',
      },
      {
        say: `
          Only when the empty line has come is the head complete. Back to full speed.`,
        look: '#talk',
        press: { label: 'Turn slow motion off', slow: 0 },
        until: () => () => model.dwell === 0 && hasEnded('dribble'),
        for: 'full speed, and the answer',
      },
    ],
  },
  {
    name: 'Backpressure',
    about: 'a client that does not read is not read from',
    steps: [
      {
        say: `
          This client asks for a great deal and does not read the answers. Where do they
          go?`,
        look: '#talk',
        press: traffic('slow-reader', 'Start the slow reader'),
        hold: 'state&to=flushing',
        until: once(is('state', (event) => event.to === 'flushing')),
        for: 'a connection that is flushing',
      },
      {
        say: `
          The kernel took what its buffers hold; the write was short. Where is the rest of the
          answer now?`,
        look: '#tasks',
        held: true,
        ask: 'state',
      },
      {
        say: `
          The connection is {flushing}: it keeps the rest, waits until the socket is writable, and
          reads nothing more.`,
        look: '#kernel',
        held: true,
        ask: 'timeout',
      },
      {
        say: `
          So the client’s own sends fill up, and it is slowed down in turn. That is
          backpressure: no queue here grows without end. When the client reads, the
          rest flows.`,
        look: '#kernel',
        until: whenEnded('slow-reader'),
        for: 'the slow reader to end',
      },
    ],
  },
  {
    name: 'Timers and their order',
    about: 'never early, by deadline',
    steps: [
      {
        say: `
          A timer is a moment and a task. Phase 1 looks at the nearest one to work out
          how long the loop may wait.`,
        look: '#timers',
        press: traffic('sleep', 'Ask the handler that sleeps'),
        hold: 'timer_set',
        until: once(is('timer_set')),
        for: 'a timer to be set',
      },
      {
        say: `
          The loop is held there, and its clock stands still: no timer comes nearer while you look.
          Timers stand in the order of their deadlines, whichever was set first.`,
        look: '#timers',
        held: true,
        ask: 'first_timer',
      },
      {
        say: `
          Run until a timer fires. It is queued in phase 3, after the sockets, and its task is resumed
          in phase 4.`,
        look: '#timers',
        held: true,
        press: { label: 'Run until a timer fires' },
        hold: 'timer_fired',
        until: once(is('timer_fired')),
        for: 'a timer that fires',
      },
      {
        say: `
          It has fired, and was not early.`,
        look: '#ready',
        held: true,
        ask: 'next_task',
      },
      {
        say: `
          Let it go on: the handler wakes, and answers.`,
        look: '#talk',
        until: whenEnded('sleep'),
        for: 'the answer',
      },
    ],
  },
];
