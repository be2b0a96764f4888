// The facts on Node: one function per fact. A callback is `setImmediate`, a task is an async function that
// was called, yielding is `await null`, a turn is a round of microtasks, cancelling is an AbortSignal.
//
// Prints `ID<TAB>answer`, or `ID<TAB>-<TAB>why` where the question has no meaning here.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import v8 from 'node:v8';
import vm from 'node:vm';
import { Worker } from 'node:worker_threads';

const SELF = fileURLToPath(import.meta.url);
const NO_MEANING = {
  '53': 'there is no shield: work is safe from a signal that it is not given',
  '54': 'there are no groups of tasks',
  '58': 'there is no semaphore',
  '58b': 'there is no semaphore',
  '59': 'there is no semaphore',
  '66': 'the loop cannot be run by a program',
  '74': 'descriptors cannot be watched, only streams',
};

/** Of 50: slower than the luckiest, faster than what a busy machine holds up. */
const TENTH = 5;

const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const inOrder = (got) => got.every((item, i) => item === i);
const later = (function_) => void Promise.resolve().then(function_);

/** Counts rounds of microtasks while `main` runs; at most 10,000, as timers starve meanwhile. */
async function withTurns(main) {
  const turns = { count: 0 };
  let ended = false;
  (async () => {
    while (!ended && turns.count < 10_000) {
      turns.count += 1;
      await null;
    }
  })();
  try {
    return await main(turns);
  } finally {
    ended = true;
  }
}

const turns = (count) => (count === 0 ? 'no turn' : count === 1 ? '1 turn' : `${count} turns`);

/** How three tasks that step three times took turns, in several trials. */
function rounds(orders) {
  const isRound = (round) => [...round].sort().join('') === 'abc';
  if (![...orders].every((order) => order.length === 9 && order.match(/.../g).every(isRound))) {
    return 'do not take turns';
  }
  if (orders.size > 1) return 'take turns at random';
  return orders.has('abcabcabc') ? 'take turns in order' : 'take turns in changing order';
}

/** Whether another task runs while what `step` returns is awaited. */
async function givesWay(step) {
  const ran = [];
  later(() => ran.push(1));
  await step();
  return ran.length ? 'gives way' : 'goes on';
}

/** A named pipe: it is opened by `open`, and gone at the end of `use`. */
async function withPipe(use) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'facts-'));
  const pipe = path.join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  try {
    return await use(pipe);
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

const openPipe = (pipe) => fs.openSync(pipe, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);

/** What this file prints as a process with another task. */
const child = (task) => spawnSync(process.execPath, [SELF, task], { encoding: 'utf8' }).stdout;

const CHILDREN = {
  'callback-fails': () => {
    setImmediate(() => { throw new Error('a callback'); });
    setTimeout(() => console.log('went on'), 20);
  },
  'task-fails': () => {
    (async () => { throw new Error('a task'); })();
    setTimeout(() => console.log('went on'), 20);
  },
  'left-at-the-end': () => {
    (async () => {
      try {
        await sleep(150);
        console.log('ended');
      } finally {
        console.log('left');
      }
    })();
  },
  'until-sigint': async () => {
    try {
      console.log('ready');
      await sleep(9000);
    } finally {
      console.log('cleaned up');
    }
  },
};

const append = async (to, item) => { to.push(item); };

async function value(ms, item, ended) {
  await sleep(ms);
  ended?.push(item);
  return item;
}

async function fails(ms) {
  await sleep(ms);
  throw new TypeError('it fails');
}

async function slowToLeave(cleaned, ms, signal) {
  try {
    await sleep(9000, null, { signal });
  } finally {
    await sleep(ms);
    cleaned.push(1);
  }
}

/** Runs a task, cancels it once it waits, and returns its value, or 'cancelled'. */
async function cancelled(task) {
  const controller = new AbortController();
  const running = task(controller.signal);
  running.catch(() => {});
  await sleep(10);
  controller.abort();
  return running.catch((error) => {
    if (error.name !== 'AbortError') throw error;
    return 'cancelled';
  });
}

/** How long 50 sleeps lasted, the shortest first. */
async function lasted(ms) {
  const lasted = [];
  for (let i = 0; i < 50; i++) {
    const began = performance.now();
    await sleep(ms);
    lasted.push(performance.now() - began);
  }
  return lasted.sort((a, b) => a - b);
}

const FACTS = {
  '01': async () => {
    const got = [];
    for (let i = 0; i < 10; i++) setImmediate(() => got.push(i));
    await sleep(10);
    return inOrder(got) ? 'in order' : 'not in order';
  },
  '02': async () => {
    const got = [];
    setImmediate(() => { got.push('a'); setImmediate(() => got.push('c')); });
    setImmediate(() => got.push('b'));
    await sleep(20);
    return { abc: 'after what was queued', acb: 'before what was queued' }[got.join('')];
  },
  '03': async () => {
    const fired = [];
    setTimeout(() => fired.push(1), 20);
    const due = performance.now() + 20;
    for (let turnsLeft = 10_000; !fired.length && turnsLeft; turnsLeft -= performance.now() > due) {
      await null;
    }
    return fired.length ? 'fires' : 'starves';
  },
  '04': () => withPipe(async (pipe) => {
    const [ours, theirs] = [openPipe(pipe), openPipe(pipe)];
    const got = [];
    const socket = new net.Socket({ fd: ours, readable: true, writable: false });
    socket.on('data', () => got.push('socket'));
    await sleep(10);
    await immediate();
    setTimeout(() => got.push('timer'), 5);
    fs.writeSync(theirs, 'x');
    block(20);
    setImmediate(() => got.push('callback'));
    await sleep(50);
    socket.destroy();
    fs.closeSync(theirs);
    return got.join(', ');
  }),
  '05': async () => {
    await immediate();
    const got = [];
    setTimeout(() => got.push('timer first'), 0);
    setImmediate(() => got.push('callback first'));
    block(5);
    await sleep(20);
    return got[0];
  },
  '06': async () => {
    const got = [];
    for (const ms of [300, 100, 200]) setTimeout(() => got.push(ms), ms);
    await sleep(400);
    return got.join() === '100,200,300' ? 'by deadline' : 'not by deadline';
  },
  '07': async () => {
    const orders = new Set();
    for (let trial = 0; trial < 10; trial++) {
      const got = [];
      for (let i = 0; i < 10; i++) setTimeout(() => got.push(i), 10);
      await sleep(30);
      orders.add(got.join());
    }
    if (orders.size > 1) return 'in changing order';
    return orders.has('0,1,2,3,4,5,6,7,8,9') ? 'in order' : 'in another order';
  },
  '08': async () => {
    const got = [];
    for (const ms of [1, 2, 3]) {
      setTimeout(() => { got.push('t'); later(() => got.push('o')); }, ms);
    }
    block(10);
    await sleep(20);
    return got.join('').startsWith('ttt') ? 'before anything else' : 'one by one';
  },
  '09': async () => ((await lasted(0.1))[TENTH] >= 0.5 ? 'is rounded up' : 'is not'),
  '09b': async () => ((await lasted(1.4))[0] >= 1.4 ? 'never early' : 'early'),
  '11': async () => {
    const ran = [];
    clearImmediate(setImmediate(() => ran.push(1)));
    await sleep(10);
    return ran.length ? 'runs' : 'does not run';
  },
  '12': () => (child('callback-fails').includes('went on') ? 'goes on' : 'ends'),
  '16': async () => {
    const worker = new Worker(`
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
      require('node:worker_threads').parentPort.postMessage('wake');`, { eval: true });
    const began = performance.now();
    const timer = new AbortController();
    const woken = new Promise((resolve) => worker.once('message', resolve));
    await Promise.race([woken, sleep(5000, null, timer).catch(() => {})]);
    const lasted = performance.now() - began;
    timer.abort();
    await worker.terminate();
    return lasted < 2500 ? 'at once' : 'at the next timer';
  },
  '17': async () => {
    const began = performance.now();
    const fired = [];
    setTimeout(() => fired.push(performance.now() - began), 10);
    block(100);
    await sleep(20);
    return fired[0] >= 99 ? 'waits' : 'fires';
  },
  '18': async () => {
    const ran = [];
    append(ran, 1);
    return ran.length ? 'at once' : 'later';
  },
  '18b': async () => {
    const got = [];
    await Promise.all(Array.from({ length: 10 }, (_, i) => append(got, i)));
    return inOrder(got) ? 'in order' : 'not in order';
  },
  '19': () => givesWay(() => append([], 1)),
  '19b': async () => {
    const task = append([], 1);
    await sleep(10);
    return givesWay(() => task);
  },
  '20': () => withTurns(async (loop) => {
    const before = loop.count;
    await sleep(0);
    return loop.count - before < 2 ? turns(loop.count - before) : 'until a timer';
  }),
  '22': async () => {
    const got = [];
    const step = async (name) => {
      for (let i = 0; i < 3; i++) {
        got.push(name);
        await null;
      }
    };
    await Promise.all(['a', 'b', 'c'].map(step));
    return rounds(new Set([got.join('')]));
  },
  '23': async () => {
    let set;
    const promise = new Promise((resolve) => { set = resolve; });
    const got = [];
    (async () => { got.push(await promise); })();
    await sleep(10);
    set(1);
    return got.length ? 'at once' : 'later';
  },
  '25': () => {
    const promise = Promise.resolve(1);
    return givesWay(() => promise);
  },
  '25b': async () => {
    const promise = Promise.resolve(1);
    const ran = [];
    later(() => ran.push(1));
    for (let i = 0; i < 100_000 && !ran.length; i++) await promise;
    return ran.length ? 'run meanwhile' : 'starve';
  },
  '26': async () => {
    let set;
    const promise = new Promise((resolve) => { set = resolve; });
    set(1);
    try {
      set(2);
    } catch {
      return 'is an error';
    }
    return (await promise) === 1 ? 'is ignored' : 'overwrites';
  },
  '27': () => withTurns(async (loop) => {
    const leaf = async () => {
      await null;
      return loop.count;
    };
    const via = async (depth) => await (depth ? via(depth - 1) : leaf());
    const way = async (depth) => {
      const atLeaf = await via(depth);
      return loop.count - atLeaf;
    };
    // Less what it takes through no task: `await` costs a turn here even where there is no task.
    return turns((await way(5)) - (await way(0)));
  }),
  '28': async () => {
    v8.setFlagsFromString('--expose-gc');
    const collect = vm.runInNewContext('gc');
    let held;
    (async () => {
      const witness = { mark: 1 };
      held = new WeakRef(witness);
      await new Promise(() => {});
      return witness.mark;
    })();
    await sleep(10);
    collect();
    return held.deref() ? 'goes on' : 'is collected';
  },
  '29': async () => {
    const ran = [];
    append(ran, 1);
    await sleep(10);
    return ran.length ? 'begins' : 'never begins';
  },
  '30': () => (child('task-fails').includes('went on') ? 'goes on' : 'ends'),
  '35': async () => {
    const got = await Promise.all([value(30, 'a'), value(10, 'b'), value(20, 'c')]);
    return got.join('') === 'abc' ? 'of the arguments' : 'of ending';
  },
  '36': async () => {
    const ran = [];
    const gathered = Promise.all([append(ran, 1)]);
    await sleep(10);
    const answer = ran.length ? 'begin' : 'do not begin';
    await gathered;
    return answer;
  },
  '37': () => withTurns(async (loop) => {
    const ended = [];
    const task = async () => {
      await null;
      ended.push(loop.count);
    };
    await Promise.all([task(), task()]);
    return turns(loop.count - ended[1]);
  }),
  '38': () => givesWay(() => Promise.all([])),
  '40': async () => {
    const ended = [];
    await Promise.all([fails(10), value(100, 'ok', ended)]).catch(() => {});
    await sleep(150);
    return ended.length ? 'run on' : 'are cancelled';
  },
  '41': async () => {
    const got = await Promise.allSettled([value(10, 1), fails(0), value(0, 2)]);
    const places = [got[0].value, got[1].reason instanceof TypeError, got[2].value];
    return places.join() === '1,true,2' ? 'in place' : 'elsewhere';
  },
  '43': async () => {
    const cleaned = [];
    await cancelled((signal) =>
      Promise.all([30, 500].map((ms) => slowToLeave(cleaned, ms, signal))));
    return ['is not awaited', 'is awaited of the first', 'is awaited'][cleaned.length];
  },
  '44': async () => {
    const controller = new AbortController();
    const left = [];
    const task = (async () => {
      try {
        await sleep(9000, null, controller);
      } finally {
        left.push(1);
      }
    })();
    await sleep(10);
    controller.abort();
    const answer = left.length ? 'at the call' : 'later';
    await task.catch(() => {});
    return left.length ? answer : 'never';
  },
  '45': async () => {
    const controller = new AbortController();
    const ran = [];
    const task = (async (signal) => {
      ran.push(1);
      await sleep(10, null, { signal });
    })(controller.signal);
    controller.abort();
    await task.catch(() => {});
    return ran.length ? 'begins' : 'never begins';
  },
  '46': async () => {
    const answer = await cancelled(async (signal) => {
      try {
        await sleep(9000, null, { signal });
      } catch (error) {
        return error instanceof Error ? 'swallows it' : 'does not see it';
      }
    });
    return answer === 'cancelled' ? 'does not see it' : answer;
  },
  '47': async () => {
    const answer = await cancelled((signal) => sleep(9000, null, { signal }).catch(() => 'yes'));
    return answer === 'cancelled' ? 'no' : answer;
  },
  '47b': () => cancelled(async (signal) => {
    await sleep(9000, null, { signal }).catch(() => {});
    return sleep(10, 'goes on', { signal }).catch(() => 'is cancelled too');
  }),
  '48': async () => {
    const ended = [];
    const leaves = async (words, step) => {
      try {
        await step();
      } finally {
        ended.push(words);
      }
    };
    await cancelled((signal) => leaves('outer first', () =>
      leaves('inner first', () => sleep(9000, null, { signal }))));
    return ended.length === 2 ? ended[0] : 'inner runs on';
  },
  '49': async () => {
    const cleaned = [];
    await slowToLeave(cleaned, 30, AbortSignal.timeout(10)).catch(() => {});
    return cleaned.length ? 'is awaited' : 'is not awaited';
  },
  '50': async () => {
    const ran = [];
    const task = async (signal) => {
      ran.push(1);
      await sleep(9000, null, { signal });
    };
    await task(AbortSignal.timeout(0)).catch(() => {});
    return ran.length ? 'begins' : 'never begins';
  },
  '50b': async () => {
    const task = async (signal) => {
      const ready = await Promise.resolve('is returned');
      signal.throwIfAborted();
      return ready;
    };
    return task(AbortSignal.timeout(0)).catch(() => 'times out');
  },
  '51': async () => {
    const swallows = (signal) => sleep(9000, null, { signal }).catch(() => 'its value');
    return swallows(AbortSignal.timeout(10)).catch(() => 'the timeout');
  },
  '56': async () => {
    const ended = [];
    await Promise.race([10, 100].map((ms) => value(ms, ms, ended)));
    await sleep(150);
    return ended.length === 2 ? 'runs on' : 'is cancelled';
  },
  '60': async () => {
    let set;
    const event = new Promise((resolve) => { set = resolve; });
    const got = [];
    const waits = async (i) => {
      await event;
      got.push(i);
    };
    const tasks = Array.from({ length: 8 }, (_, i) => waits(i));
    set();
    await Promise.all(tasks);
    return inOrder(got) ? 'in order' : 'at random';
  },
  '61': async () => {
    const queue = new PassThrough({ objectMode: true, writableHighWaterMark: 2, readableHighWaterMark: 0 });
    const errors = [];
    queue.on('error', (error) => errors.push(error));
    for (let i = 0; i < 20; i++) queue.write({ i });
    const got = [];
    queue.on('data', ({ i }) => got.push(i));
    await sleep(20);
    return errors.length ? 'is an error' : got.length === 20 ? 'takes it' : 'loses it';
  },
  // The pool's threads run no JavaScript. Opening a pipe that nobody writes blocks one of them; when all
  // are blocked, nothing else that needs the pool ends.
  '63': () => withPipe(async (pipe) => {
    const opened = [];
    let blocked = 0;
    for (; blocked < 64; blocked++) {
      const answer = fs.promises.stat(pipe).then(() => 'ended');
      if ((await Promise.race([answer, sleep(800, 'blocked')])) === 'blocked') break;
      opened.push(fs.promises.open(pipe, 'r'));
    }
    const writer = openPipe(pipe);
    for (const file of await Promise.all(opened)) await file.close();
    fs.closeSync(writer);
    return blocked === Math.min(32, os.cpus().length + 4) ? 'cpus + 4' : `${blocked}`;
  }),
  '64': () => withPipe(async (pipe) => {
    let writer;
    const release = sleep(200).then(() => { writer = openPipe(pipe); });
    const file = await fs.promises.readFile(pipe, { signal: AbortSignal.timeout(10) }).catch((error) => error);
    if (!(file instanceof Error)) throw new Error('the pipe had an end');
    const answer = writer === undefined ? 'leaves at once' : 'waits for it';
    await release;
    fs.closeSync(writer);
    return answer;
  }),
  '65': () => {
    const words = child('left-at-the-end');
    if (words.includes('ended')) return 'are waited for';
    return words.includes('left') ? 'are cancelled' : 'stay as they are';
  },
  '67': () => new Promise((resolve) => {
    const process_ = spawn(process.execPath, [SELF, 'until-sigint']);
    let words = '';
    process_.stdout.on('data', (data) => {
      if (!words) setTimeout(() => process_.kill('SIGINT'), 50);
      words += data;
    });
    process_.on('close', () => resolve(words.includes('cleaned up') ? 'runs' : 'does not run'));
  }),
  '69': async () => {
    const got = [];
    const handler = () => got.push('handler');
    process.on('SIGUSR2', handler);
    setImmediate(() => {
      process.kill(process.pid, 'SIGUSR2');
      block(20);
      got.push('callback');
    });
    await sleep(500);
    process.off('SIGUSR2', handler);
    return { 'callback handler': 'after it', 'handler callback': 'in its midst' }[got.join(' ')] ?? 'never';
  },
  '76': async () => {
    const fd = fs.openSync(SELF, 'r');
    try {
      new net.Socket({ fd });
      return 'is taken';
    } catch {
      return 'is refused';
    } finally {
      fs.closeSync(fd);
    }
  },
  '77': () => withPipe(async (pipe) => {
    const [ours, theirs] = [openPipe(pipe), openPipe(pipe)];
    const socket = new net.Socket({ fd: ours, readable: false, writable: true });
    socket.write('x');
    let answer;
    try {
      answer = fs.readSync(theirs, Buffer.alloc(1)) === 1 ? 'at once' : 'later';
    } catch {
      answer = 'later';
    }
    socket.destroy();
    fs.closeSync(theirs);
    return answer;
  }),
  '81': async () => {
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => setTimeout(() => socket.write('answer'), 30));
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = net.connect({ port: server.address().port, allowHalfOpen: true });
    let got = '';
    client.on('data', (data) => { got += data; });
    client.end('question');
    await sleep(100);
    client.destroy();
    server.close();
    return got === 'answer' ? 'arrives' : 'is lost';
  },
};

async function main() {
  const task = CHILDREN[process.argv[2]];
  if (task) return task();
  for (const [name, why] of Object.entries(NO_MEANING)) console.log(`${name}\t-\t${why}`);
  for (const [name, function_] of Object.entries(FACTS)) console.log(`${name}\t${await function_()}`);
}

await main();
