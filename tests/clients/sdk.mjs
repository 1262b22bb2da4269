// Every call of the TypeScript SDK against a running Headroom: node sdk.mjs URL LISTING.json ROUTES.json, in the directory of its packages.
//
// Prints one JSON line per call: its name, where its result is not of the declared type, and the result.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { declared, problems } from "./declared.mjs";

const require = createRequire(path.join(process.cwd(), "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { HeadroomClient, SharedContext, compress, simulate, collectStream } = await load("headroom-ai");
const [url, listing, served] = [process.argv[2], readFileSync(process.argv[3], "utf8"), JSON.parse(process.argv[4])];
const options = { baseUrl: url, fallback: false, retries: 0, providerApiKey: "key" };
const client = new HeadroomClient(options);
const call = { id: "call_1", type: "function", function: { name: "list_nodes", arguments: "{}" } };
const messages = [
  { role: "system", content: "Be brief. Today is 2026-03-14." },
  { role: "user", content: "how busy is node-3?" },
  { role: "assistant", content: null, tool_calls: [call] },
  { role: "tool", tool_call_id: "call_1", content: listing },
];
const blocks = [
  { role: "user", content: "how busy is node-3?" },
  { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "list_nodes", input: {} }] },
  { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: listing }] },
];

async function tell(name, type, run) {
  let line;
  try {
    const value = await run();
    line = { name, problems: type ? problems(value, type) : [], value };
  } catch (error) {
    line = { name, problems: [`${error.name}: ${error.message}`], value: null };
  }
  console.log(JSON.stringify(line));
  return line.value;
}
const method = (name, ...given) =>
  tell(name, declared("HeadroomClient", name), () => {
    const path = name.split(".");
    const owner = path.slice(0, -1).reduce((object, key) => object[key], client);
    return owner[path.at(-1)](...given);
  });
const within = (route) => served.includes(route);

const compressed = await method("compress", messages, { model: "gpt-4o" });
await tell("compress (function)", declared("compress"), () => compress(blocks, { ...options, model: "claude-sonnet-4-5" }));
await tell("simulate (function)", declared("simulate"), () => simulate(messages, { ...options, model: "gpt-4o" }));
await method("chat.completions.create", { model: "gpt-4o", messages });
await tell("chat.completions.create (stream)", null, async () => collectStream(await client.chat.completions.create({ model: "gpt-4o", messages, stream: true })));
await method("chat.completions.simulate", { model: "gpt-4o", messages });
await method("messages.create", { model: "claude-sonnet-4-5", messages: blocks, headroomMode: "optimize" });
await tell("messages.stream", null, async () => collectStream(await client.messages.stream({ model: "claude-sonnet-4-5", messages: blocks })));
await method("messages.simulate", { model: "claude-sonnet-4-5", messages: blocks });
await method("health");
await method("proxyStats");
await method("prometheusMetrics");
if (within("/stats-history")) await method("statsHistory", { format: "json", series: "daily" });
await method("memoryUsage");
if (within("/cache/clear")) await method("clearCache");
await method("getMetrics", { limit: 5 });
await method("getSummary");
await method("getStats");
await method("validateSetup");
const hash = compressed.ccrHashes[0];
await method("retrieve", hash);
await method("retrieve", hash, { query: "node-3" });
await method("getCCRStats");
await method("handleToolCall", { toolCall: { id: "toolu_9", name: "headroom_retrieve", input: { hash } }, provider: "anthropic" });
const asked = { id: "call_9", type: "function", function: { name: "headroom_retrieve", arguments: JSON.stringify({ hash, query: "node-3" }) } };
await method("handleToolCall", { toolCall: asked, provider: "openai" });
await method("telemetry.getStats");
const telemetry = await method("telemetry.export");
await method("telemetry.import", telemetry);
const tools = await method("telemetry.getTools");
const signature = tools.tools[0]?.hash;
await method("telemetry.getTool", signature);
await method("feedback.getStats");
await method("feedback.getHints", "list_nodes");
await method("toin.getStats");
await method("toin.getPatterns", 10);
await method("toin.getPattern", signature);
await tell("SharedContext", null, async () => {
  const shared = new SharedContext(options);
  const entry = await shared.put("nodes", listing);
  return { entry, full: shared.get("nodes", { full: true }), stats: shared.stats() };
});
await tell("an unknown hash", null, () => client.retrieve("0123456789abcdef").then(() => "found", (error) => ({ name: error.name, status: error.statusCode, type: error.errorType })));
