/* Figures and times as the page writes them. Everything is UTC: so are the buckets. */

const plain = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
const MINUS = "\u2212";

const signed = (value, text) => (value < 0 ? MINUS + text : text);

export const whole = (value) => signed(value, plain.format(Math.abs(value)));

/** 1,234 up to four digits, then three significant ones: 12.3 k, 1.04 B. */
export function short(value) {
  const size = Math.abs(value);
  if (size < 10_000) return whole(Math.round(value));
  const [unit, name] = UNITS.find(([unit]) => size >= unit * 0.9995);
  const scaled = size / unit;
  return signed(value, `${scaled.toFixed(scaled < 10 ? 2 : scaled < 100 ? 1 : 0)} ${name}`);
}

/** Dollars: cents where they matter, more digits where there is less than a dollar. */
export function usd(value) {
  const size = Math.abs(value);
  const digits = size === 0 ? 2 : size < 0.01 ? 4 : size < 1 ? 3 : size < 10_000 ? 2 : 0;
  const text = size.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return signed(value, `$${text}`);
}

/** Dollars on an axis or in a tight column. */
export const shortUsd = (value) => (Math.abs(value) >= 10_000 ? signed(value, `$${short(Math.abs(value))}`) : usd(value));

export function percent(part, whole) {
  if (!whole) return "\u2013";
  const share = (100 * part) / whole;
  const size = Math.abs(share);
  return signed(share, `${size.toFixed(size < 10 && size > 0 ? 1 : size < 99.95 ? 1 : 0)} %`);
}

export function ms(value) {
  if (value === null || value === undefined) return "\u2013";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 100 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;
}

export function bytes(value) {
  const [unit, name] = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]].find(([unit]) => value >= unit) || [1, "B"];
  return `${(value / unit).toFixed(unit === 1 ? 0 : 1)} ${name}`;
}

const part = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const DAY = part({ day: "numeric", month: "short" });
const DAY_YEAR = part({ day: "numeric", month: "short", year: "numeric" });
const MONTH = part({ month: "long", year: "numeric" });
const HOUR = part({ weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const CLOCK = part({ hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** A bucket that begins at `at` (seconds). */
export function bucket(at, by) {
  const date = new Date(at * 1000);
  if (by === "hourly") return HOUR.format(date);
  if (by === "monthly") return MONTH.format(date);
  return (by === "weekly" ? "Week from " : "") + DAY_YEAR.format(date);
}

export function clock(at) {
  const date = new Date(at * 1000);
  const today = new Date().toISOString().slice(0, 10) === date.toISOString().slice(0, 10);
  return today ? CLOCK.format(date) : `${DAY.format(date)} ${CLOCK.format(date)}`;
}

export function ago(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129_600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
