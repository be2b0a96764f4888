// Prints the digests of seeds, as the module in a page works them out:
// node digests.mjs PAGE digests FIRST SEEDS STEPS
// node digests.mjs PAGE hostile_digests FIRST SEEDS

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const [page, what, ...numbers] = process.argv.slice(2);
const html = readFileSync(page, 'utf8');
const data = html.match(/<script id="wasm" type="text\/plain">([^<]*)<\/script>/)[1];
const { instance } = await WebAssembly.instantiate(gunzipSync(Buffer.from(data, 'base64')), {});
const module = instance.exports;
try {
  module[what](...numbers.map(Number));
} catch (error) {
  console.error(new TextDecoder().decode(text(module.words(), module.words_bytes())));
  throw error;
}
process.stdout.write(text(module.text(), module.text_bytes()));

function text(from, bytes) {
  return new Uint8Array(module.memory.buffer, from, bytes);
}
