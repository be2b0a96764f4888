// -- Words: numbers, times and bytes as people read them.

/** The phases of a turn, in order, as the narrator names them. */
const PHASES = [
  { name: 'timeout', label: '1 timeout', about: 'How long may we wait?' },
  { name: 'wait', label: '2 wait', about: 'Ask the world what happened.' },
  { name: 'queue', label: '3 queue', about: 'Queue the tasks that it concerns.' },
  { name: 'resume', label: '4 resume', about: 'Resume them, first come, first served.' },
];

/** Making either costs more than using it a hundred times. */
const NUMBERS = new Intl.NumberFormat('en');
const ORDER = new Intl.Collator('en', { numeric: true });

/** `1,000`. */
function grouped(number) {
  return NUMBERS.format(number);
}

/** `1 byte`, `2 bytes`. */
function count(number, word) {
  return `${grouped(number)} ${word}${number === 1 ? '' : 's'}`;
}

/** Nanoseconds with a unit that keeps the number short: `340 µs`, `1.2 ms`, `29.5 s`. */
function span(nanoseconds) {
  const ns = Math.max(0, nanoseconds);
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${short(ns / 1e3)} µs`;
  if (ns < 1e9) return `${short(ns / 1e6)} ms`;
  return `${short(ns / 1e9)} s`;
}

function short(number) {
  return number < 10 ? number.toFixed(1) : Math.round(number).toString();
}

/** Milliseconds since the loop began, as in the narrator's lines: `1734.201`. */
function millis(nanoseconds) {
  return (nanoseconds / 1e6).toFixed(3);
}

/** The reasoning of phase 1. */
function timeoutReason(timeout, ready, timers) {
  const set = `${count(timers, 'timer')} ${timers === 1 ? 'is' : 'are'} set`;
  switch (timeout?.timeout) {
    case 'zero':
      return ready > 0
        ? `${count(ready, 'task')} ready: do not wait`
        : 'something is due: do not wait';
    case 'until':
      return `nothing is ready, ${set}: wait at most ${span(timeout.timeout_ns)}`;
    case 'forever':
      return 'nothing is ready, no timer is set: wait for ever';
    default:
      return '';
  }
}

/** `read_closed` as `read closed`. */
function plain(name) {
  return name.replaceAll('_', ' ');
}

/** The order of task ids as a person expects it: by number, then by generation. */
function byId(a, b) {
  return ORDER.compare(a, b);
}

/** `src/server/connection/mod.rs:45` without the folders that all have in common. */
function place(file, line) {
  return file ? `${file.replace(/^.*?src\//, 'src/')}${line ? `:${line}` : ''}` : '';
}
