/* Where the figures come from: what was asked of the address bar, the key of this tab, the routes. */

const HOUR = 3600;
export const RANGES = [
  { name: "24h", label: "24 h", words: "the last 24 hours", seconds: 24 * HOUR, by: ["hourly"] },
  { name: "7d", label: "7 d", words: "the last 7 days", seconds: 7 * 24 * HOUR, by: ["hourly", "daily"] },
  { name: "30d", label: "30 d", words: "the last 30 days", seconds: 30 * 24 * HOUR, by: ["daily", "hourly", "weekly"] },
  { name: "90d", label: "90 d", words: "the last 90 days", seconds: 90 * 24 * HOUR, by: ["daily", "weekly", "monthly"] },
  { name: "1y", label: "1 y", words: "the last year", seconds: 365 * 24 * HOUR, by: ["weekly", "daily", "monthly"] },
  { name: "all", label: "all", words: "all time", seconds: 0, by: ["weekly", "daily", "monthly"] },
];
export const STEPS = [["hourly", "hour"], ["daily", "day"], ["weekly", "week"], ["monthly", "month"]];
export const SPLITS = ["team", "model", "client", "user", "provider", "transform"];
export const FILTERS = ["team", "model", "client", "user", "provider"];
const KEY = "headroom.key";

/** The view of the address bar; what it does not say is the default. */
export function fromAddress() {
  const asked = new URLSearchParams(location.search);
  const range = RANGES.find((range) => range.name === asked.get("range")) || RANGES[2];
  const where = {};
  for (const name of FILTERS) if (asked.has(name)) where[name] = asked.get(name);
  return {
    range: range.name,
    by: range.by.includes(asked.get("by")) ? asked.get("by") : range.by[0],
    split: SPLITS.includes(asked.get("split")) ? asked.get("split") : "team",
    measure: asked.get("measure") === "tokens" ? "tokens" : "dollars",
    where,
  };
}

/** So that a wall can be sent the address; never a key. */
export function toAddress({ range, by, split, measure, where }) {
  history.replaceState(null, "", `?${new URLSearchParams({ range, by, split, measure, ...where })}`);
}

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function read(path, signal) {
  const headers = key.get() ? { authorization: `Bearer ${key.get()}` } : {};
  const answer = await fetch(path, { headers, signal, cache: "no-store", credentials: "omit" });
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, body.error?.message || `The server answered ${answer.status}.`);
}

/** Figures and health; throws Refused, or TypeError where nobody answers. */
export async function load(view, signal) {
  const range = RANGES.find((range) => range.name === view.range);
  const asked = new URLSearchParams({ by: view.by, split: view.split, ...view.where });
  if (range.seconds) {
    const step = view.by === "hourly" ? HOUR : 24 * HOUR;
    const from = Math.ceil((Date.now() / 1000 - range.seconds) / step) * step;
    asked.set("from", new Date(from * 1000).toISOString().slice(0, 19) + "Z");
  }
  const [data, health] = await Promise.all([read(`dashboard/data?${asked}`, signal), read("health", signal)]);
  return { data, health };
}
