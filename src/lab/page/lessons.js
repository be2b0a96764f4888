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
  {
    name: 'Keep-alive and idle',
    about: 'one connection, many requests',
    steps: [
      {
        say: `
          A connection is kept after an answer. Two requests in one packet show it: they are
          answered in order, by the same task.`,
        look: '#talk',
        press: traffic('pair', 'Send the pair'),
        until: times(2, is('response')),
        for: 'two answers',
      },
      {
        say: `
          This client asks once and keeps its connection open. The connection is {idle} now: it
          owns no buffer, only a timer, which closes it if nothing comes for 75 seconds.`,
        look: '#tasks',
        press: traffic('one', 'Make one request'),
        hold: 'response',
        until: once(is('response')),
        for: 'an answer',
      },
      {
        say: `
          It was answered, and stays. What does the loop wait for now?`,
        look: '#timers',
        held: true,
        ask: 'first_timer',
      },
      {
        say: `
          A hundred at once, while the loop is held: the kernel makes the connections without it, and
          keeps them in the accept queue.`,
        look: '#talk',
        held: true,
        press: traffic('hundred', 'Make 100 at once'),
        until: once(is('traffic note', (note) => note.scenario === 'hundred')),
        for: 'a hundred clients',
      },
      {
        say: `
          Step. The acceptor takes a share of them and then gives up control: no task, not even the
          acceptor, may keep the others waiting. Cards become one diagram with numbers; press a
          small button to see the card of one.`,
        look: '#tasks',
        held: true,
        ask: 'timeout',
        press: PRESS_TURN,
        until: times(100, is('accepted')),
        for: 'a hundred accepts',
      },
      {
        say: `
          Let them go. Each is resumed in its turn, answered, and closed.`,
        look: '#resume',
        press: PRESS_RESUME,
        until: whenEnded('hundred'),
        for: 'the hundred to be gone',
      },
      {
        say: `
          A client that is done says so: it shuts its side, which the server reads as the end of
          the stream. It still gets its answer.`,
        look: '#talk',
        press: traffic('half-close', 'Make a half-close'),
        until: each(is('read_end'), is('response')),
        for: 'the end of the client’s stream, and the answer',
      },
    ],
  },
  {
    name: 'Gather and cancellation',
    about: 'waiting for several things at once',
    needs: 'gather',
    steps: [
      {
        say: `
          The handler of this request is a coroutine. It starts two fetches from its own server and
          waits for both: {gather}. See the tree: each coroutine stands below the one that waits
          for it, and what it waits for is beside it.`,
        look: '#tasks',
        press: traffic('gather', 'Start the gather'),
        hold: 'state&to=serving',
        until: once(is('state', (event) => event.to === 'serving')),
        for: 'a connection whose handler waits',
      },
      {
        say: `
          The handler has begun, and the loop is held. Two more coroutines were made; they have not
          run yet.`,
        look: '#ready',
        held: true,
        ask: 'next_task',
      },
      {
        say: `
          A coroutine that waits is no thread that waits.`,
        look: '#tasks',
        held: true,
        ask: 'timeout',
      },
      {
        say: `
          One of the two is answered at once, the other sleeps for a second. The gather is over when
          the slowest is; the results have the order of the call, not that of the wire.`,
        look: '#talk',
        until: before(is('request', (event) => event.line.startsWith('GET /sleep/9'))),
        for: 'the next fetch, which begins after the gather',
      },
      {
        say: `
          That third fetch would take nine seconds, and the handler drops it after two: it is
          cancelled at the point where it waits. Its connection is closed, the handler at the other
          end notices that its peer is gone, and its timer is cancelled, too.`,
        look: '#timers',
        until: whenEnded('gather'),
        for: 'the answer of the gather',
      },
    ],
  },
  {
    name: 'A handler that awaits',
    about: 'a coroutine is a task, too',
    steps: [
      {
        say: `
          A handler may be an {async} function. It is begun when its request is complete, and its
          connection waits for it like for anything else.`,
        look: '#talk',
        press: traffic('sleep', 'Ask the handler that sleeps'),
        hold: 'state&to=serving',
        until: once(is('state', (event) => event.to === 'serving')),
        for: 'a connection that is serving',
      },
      {
        say: `
          The handler was spawned: a task of its own, which is in the ready queue and has not run yet.`,
        look: '#ready',
        held: true,
        ask: 'next_task',
      },
      {
        say: `
          Step until it sleeps. Sleeping is a timer, and control is given back at once.`,
        look: '#timers',
        held: true,
        press: { label: 'Run until it sets its timer' },
        hold: 'timer_set',
        until: once(is('timer_set')),
        for: 'a timer to be set',
      },
      {
        say: `
          Two tasks wait now: the handler for its timer, the connection for the handler.`,
        look: '#timers',
        held: true,
        ask: 'first_timer',
      },
      {
        say: `
          When the timer fires, the handler is woken; when that has its answer, the connection is. Two
          wakes, two resumes, and nobody called anybody.`,
        look: '#tasks',
        until: whenEnded('sleep'),
        for: 'all three clients to be answered',
      },
    ],
  },
  {
    name: 'Batches and fairness',
    about: 'a hundred connections, in shares',
    steps: [
      {
        say: `
          A hundred clients connect at the same moment. The acceptor could take all of them in one
          resume. It does not. Let it run once.`,
        look: '#talk',
        press: traffic('hundred', 'Make 100 at once'),
        hold: 'accepted',
        until: once(is('accepted')),
        for: 'the first accepts',
      },
      {
        say: `
          It has taken a share, 64 at most. If that was not all, it has queued itself again behind them,
          and the others wait in the kernel.`,
        look: '#ready',
        held: true,
        ask: 'next_task',
      },
      {
        say: `
          Phase 4 resumes exactly those that were queued when it began. The acceptor’s next turn
          to come is the next turn of the loop, and before it, the world is asked again.`,
        look: '#ready',
        held: true,
        ask: 'timeout',
      },
      {
        say: `
          Let them go. Nobody had to wait for more than one share of everybody else.`,
        look: '#timeline',
        until: whenEnded('hundred'),
        for: 'the hundred to be gone',
      },
    ],
  },
  {
    name: 'Half-close and lingering',
    about: 'two ends of one connection',
    steps: [
      {
        say: `
          A connection ends twice, once in each direction. This client asks, and says that it sends no
          more.`,
        look: '#talk',
        press: traffic('half-close', 'Make a half-close'),
        hold: 'read_end',
        until: once(is('read_end')),
        for: 'the end of what the client sends',
      },
      {
        say: `
          The server has read the request and the end after it, and has answered all the same. Only then
          did it close.`,
        look: '#told',
        held: true,
        ask: 'timeout',
      },
      {
        say: `
          The other way round: a server that wants to close, and a client that still sends. To close at
          once would be a reset, which can destroy the answer on its way.`,
        look: '#talk',
        held: true,
        press: traffic('smuggle', 'Send a request that must end so'),
        hold: 'state&to=lingering',
        until: once(is('state', (event) => event.to === 'lingering')),
        for: 'a connection that lingers',
      },
      {
        say: `
          It has answered and shut its own side. What does it do now?`,
        look: '#tasks',
        held: true,
        ask: 'state',
      },
      {
        say: `
          It reads and throws away, for two seconds at most, until the client has closed as well.`,
        look: '#timers',
        held: true,
        ask: 'first_timer',
      },
      {
        say: `
          Let it go on.`,
        look: '#talk',
        until: whenEnded('smuggle'),
        for: 'the end of the connection',
      },
    ],
  },
  {
    name: 'Smuggling',
    about: 'one message, two lengths',
    steps: [
      {
        say: `
          This request says twice how long its body is: {Content-Length: 36}, and
          {Transfer-Encoding: chunked}. A server that believes the first sees one request, one that
          believes the second sees two.`,
        look: '#talk',
        press: traffic('smuggle', 'Send it'),
        hold: 'response',
        until: once(is('response')),
        for: 'an answer',
      },
      {
        say: `
          The answer is 400, and it is the only one. The rest of the bytes is never looked at as a
          request.`,
        look: '#told',
        held: true,
        ask: 'state',
      },
      {
        say: `
          Where would the hidden request have been answered? Between this server and a gateway that
          counts the other way, to somebody else on the same connection. So the connection ends here.`,
        look: '#talk',
        held: true,
        ask: 'timeout',
      },
      {
        say: `
          Let it go on.`,
        look: '#talk',
        until: whenEnded('smuggle'),
        for: 'the end of the connection',
      },
    ],
  },
];
