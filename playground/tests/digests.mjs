// Prints the digests of seeds, as the module in a page works them out:
// node digests.mjs PAGE digests FIRST SEEDS STEPS
// node digests.mjs PAGE hostile_digests FIRST SEEDS

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const [page, what, ...numbers] = process.argv.slice(2);
const html = readFileSync(page, 'utf8');
const data = html.match(/<script id="wasm" type="text\/plain">([^<]*)<\/script>/)[1];
const compiled = await WebAssembly.compile(gunzipSync(Buffer.from(data, 'base64')));

/** The text that a function of a new module leaves. */
async function asked(what, numbers) {
  const module = (await WebAssembly.instantiate(compiled, {})).exports;
  const text = (from, bytes) =>
    new TextDecoder().decode(new Uint8Array(module.memory.buffer, from, bytes));
  try {
    module[what](...numbers.map(Number));
  } catch (error) {
    throw new Error(text(module.words(), module.words_bytes()), { cause: error });
  }
  return text(module.text(), module.text_bytes());
}

if (what === 'digests') {
  process.stdout.write(await asked(what, numbers));
} else {
  // Each seed has a module of its own: a panic ends it, and some services panic as planned.
  const [first, seeds] = numbers.map(Number);
  for (let seed = first; seed < first + seeds; seed += 1) {
    process.stdout.write(await asked(what, [seed, 1]).catch(() => `${seed} panics\n`));
  }
}
