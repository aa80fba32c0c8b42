// Asks an MCP service all that the judges want to know, with either official TypeScript package, and prints it as one JSON
// object. The argument is one too, and what ../python/client.py takes, with "package": "sdk" | "client" beside it.
import { createInterface } from "node:readline";

const plan = JSON.parse(process.argv[2]);
const isFirst = plan.package === "sdk";
const from = (path) => import(`@modelcontextprotocol/${plan.package}${path}`);
const { Client } = await from(isFirst ? "/client/index.js" : "");
const { StreamableHTTPClientTransport } = await from(isFirst ? "/client/streamableHttp.js" : "");
const { StdioClientTransport } = await from(isFirst ? "/client/stdio.js" : "/stdio");

function transport({ command, env, url, bearer, origin }) {
  if (command) return new StdioClientTransport({ command: command[0], args: command.slice(1), env, stderr: "inherit" });
  const headers = { Authorization: `Bearer ${bearer}`, ...(origin && { Origin: origin }) };
  return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
}

async function connected(changes = {}) {
  const mode = /^\d/.test(plan.mode) ? { pin: plan.mode } : plan.mode;
  const client = new Client({ name: "judge", version: "1" }, isFirst ? {} : { versionNegotiation: { mode } });
  const way = transport({ ...plan, ...changes });
  // The first package tells the revision to the transport alone, and only to one that wants to know it.
  let revisionTold;
  if (isFirst) {
    const tell = way.setProtocolVersion?.bind(way);
    way.setProtocolVersion = (revision) => {
      revisionTold = revision;
      tell?.(revision);
    };
  }
  await client.connect(way);
  return { client, protocol: isFirst ? revisionTold : client.getNegotiatedProtocolVersion() };
}

// What a refusal says: the status or the code that the package hands on, else its text alone.
function told(error) {
  const account = { text: `${error.name}: ${error.message}` };
  const code = error.status ?? error.code;
  if (Number.isInteger(code)) account[code > 0 ? "status" : "code"] = code;
  return account;
}

const tried = (call) => call.then((result) => ({ result }), (error) => ({ error: told(error) }));

async function refused(changes) {
  try {
    const { client } = await connected(changes);
    await client.listTools();
    return null;
  } catch (error) {
    return told(error);
  }
}

async function asked() {
  const { client, protocol } = await connected();
  const call = (name, args = {}) => tried(client.callTool({ name, arguments: args }));
  const seen = { protocol, server: client.getServerVersion()?.name, instructions: client.getInstructions() };
  seen.tools = Object.fromEntries((await client.listTools()).tools.map((tool) => [tool.name, tool]));
  seen.get = await call("getoauth2accesstoken");
  seen.renew = await call("refreshoauth2accesstoken");
  seen.inspect = await call("inspect");
  seen.explain = await call("explain", { code: "claim-aud" });
  seen.unknown_tool = await call("no-such-tool");
  seen.wrong_type = await call("explain", { code: 7 });
  seen.missing_argument = await call("explain");
  seen.get_wrong_type = await call("getoauth2accesstoken", { client_id: ["x"] });
  await client.close();
  if (plan.url) {
    seen.wrong_bearer = await refused({ bearer: "wrong" });
    seen.foreign_origin = await refused({ origin: "https://attacker.example" });
  }
  return seen;
}

// A call that waits, until it is cancelled. The client stays connected, so that it is the cancellation that counts.
async function cancelled() {
  const { client } = await connected();
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const abort = new AbortController();
  const args = { name: "getoauth2accesstoken", arguments: plan.wait };
  const options = { signal: abort.signal };
  const call = tried(isFirst ? client.callTool(args, undefined, options) : client.callTool(args, options));
  await lines.next();
  abort.abort();
  const ended = await call;
  console.log(JSON.stringify({ cancelled: ended.error !== undefined, ended }));
  await lines.next();
  await client.close();
}

if (plan.wait) await cancelled();
else console.log(JSON.stringify(await asked()));
process.exit(0);
