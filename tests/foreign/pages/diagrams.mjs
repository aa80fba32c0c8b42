// Parses Mermaid diagrams, as GitHub's and GitLab's pages do before they draw them.
//
// Standard input is a JSON list of texts. Standard output is a list of what is wrong with each, null where nothing is.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { runInThisContext } from "node:vm";
import { parseHTML } from "linkedom";

const require = createRequire(import.meta.url);
const script = require.resolve("@mermaid-js/tiny");

if (process.argv[2] === "--version") {
  const { version } = require("@mermaid-js/tiny/package.json");
  console.log(`mermaid ${version}`);
  process.exit();
}

// The parser cleans labels with the browser's own means, and is a script for a browser.
const { window } = parseHTML("<html><body></body></html>");
Object.assign(globalThis, { window, document: window.document });
runInThisContext(readFileSync(script, "utf8"), { filename: script });

const found = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    await globalThis.mermaid.parse(text);
    found.push(null);
  } catch (error) {
    found.push(error.message);
  }
}
console.log(JSON.stringify(found));
