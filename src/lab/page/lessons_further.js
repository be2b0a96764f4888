// -- Further lessons: connections, coroutines, and many at once.

LESSONS.push(
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
);
