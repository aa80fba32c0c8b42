// Reads a component as GitLab does: two YAML documents, a header with the inputs and the configuration. Duplicate keys,
// unknown tags and anything else that is not plain YAML are errors. Prints them as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../consumers/package.json", import.meta.url));
const yaml = require("js-yaml");

const documents = yaml.loadAll(readFileSync(process.argv[2], "utf8"));
process.stdout.write(JSON.stringify(documents));
