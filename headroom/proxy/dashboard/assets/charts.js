/* Charts: uPlot, in the colours of the page, with a tooltip that a pointer or the arrow keys move. */

import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import { bucket } from "./format.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const LENGTH = { hourly: 3600, daily: 86_400, weekly: 7 * 86_400, monthly: 31 * 86_400 };

/** Steps and bars fill their bucket, so the last needs an end. */
function closed(at, by) {
  return at.length ? [...at, at[at.length - 1] + LENGTH[by]] : [];
}

/** On a logarithmic axis only powers of ten. */
function decades(_, __, low, high) {
  const found = [];
  for (let power = Math.round(Math.log10(low)); power <= Math.round(Math.log10(high)); power++) found.push(10 ** power);
  return found;
}

function axes(format, by, logarithmic) {
  const common = {
    stroke: () => css("--dim"),
    grid: { stroke: () => css("--grid"), width: 1 },
    ticks: { show: false },
    font: "11px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace",
  };
  return [
    { ...common, grid: { show: false }, size: 24, gap: 6, space: 64, incrs: INCREMENTS[by], values: (_, ticks) => ticks.map((at) => tick(at, by, ticks)) },
    { ...common, size: 58, gap: 6, space: 34, values: (_, ticks) => ticks.map(format), ...(logarithmic && { splits: decades, filter: (_, splits) => splits }) },
  ];
}

const DAY = 86_400;
const INCREMENTS = {
  hourly: [3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600, DAY, 2 * DAY, 7 * DAY],
  daily: [DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 61 * DAY, 122 * DAY, 365 * DAY],
  weekly: [7 * DAY, 14 * DAY, 28 * DAY, 61 * DAY, 122 * DAY, 365 * DAY],
  monthly: [31 * DAY, 61 * DAY, 122 * DAY, 365 * DAY],
};
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function tick(at, by, ticks) {
  const date = new Date(at * 1000);
  const gap = ticks.length > 1 ? ticks[1] - ticks[0] : LENGTH[by];
  if (gap < DAY && date.getUTCHours()) return `${String(date.getUTCHours()).padStart(2, "0")}:00`;
  if (gap >= 28 * DAY) return MONTHS[date.getUTCMonth()] + (date.getUTCMonth() === 0 ? ` ${date.getUTCFullYear()}` : "");
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
}

/** Parts that are stacked, each behind the next: what is below zero goes down. */
function stacked(parts) {
  const up = [];
  const down = [];
  return parts.map((values) =>
    values.map((value, index) => {
      const pile = value < 0 ? down : up;
      return (pile[index] = (pile[index] || 0) + (value || 0));
    }),
  );
}

/**
 * kind: "gap" (two steps and what is between them), "bars" (stacked), "lines".
 * lines: [{name, values, color, dash}], values one per `at`; format writes a value.
 */
export function Chart({ kind, at, by, lines, format, label, height = 220, extra }) {
  const box = useRef(null);
  const tip = useRef(null);
  const plot = useRef(null);
  const stand = useRef(null); // the moment the arrow keys have reached; it stays while the figures change under it
  const now = useRef({});
  now.current = { kind, at, by, lines, format, extra, stand };
  const shape = `${kind}|${by}|${lines.map((line) => line.name + line.color).join("|")}`;

  useEffect(() => {
    const options = setup(kind, now, tip.current, box.current, height);
    plot.current = new window.uPlot(options, table(now.current), box.current);
    point();
    const watch = new ResizeObserver(([entry]) => plot.current.setSize({ width: Math.max(120, entry.contentRect.width), height }));
    watch.observe(box.current);
    const recolor = () => plot.current.redraw(false);
    window.addEventListener("headroom-theme", recolor);
    return () => {
      window.removeEventListener("headroom-theme", recolor);
      watch.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => {
    plot.current?.setData(table(now.current));
    point();
  }, [at, lines]);

  const point = () => {
    const u = plot.current;
    if (u && stand.current !== null) u.setCursor({ left: u.valToPos(stand.current + 1, "x"), top: 10 });
  };
  const step = (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!move || !at.length) return;
    event.preventDefault();
    const from = stand.current === null ? (plot.current.cursor.idx ?? (move < 0 ? at.length : -1)) : bucketAt(at, stand.current);
    stand.current = at[Math.min(Math.max(from + move, 0), at.length - 1)];
    point();
  };
  const leave = () => {
    stand.current = null;
    plot.current?.setCursor({ left: -10, top: -10 });
  };
  return html`<div class="chart" ref=${box} role="img" aria-label=${label} tabindex="0" onKeyDown=${step} onBlur=${leave}
    onPointerMove=${() => (stand.current = null)}><div class="tip" ref=${tip} aria-live="polite"></div></div>`;
}

/** The index of the bucket that holds a moment; -1 before the first. */
function bucketAt(at, moment) {
  return at.findLastIndex((start) => start <= moment);
}

function table({ kind, at, by, lines }) {
  if (!at.length) return [[], ...lines.map(() => [])];
  if (kind === "gap") return [closed(at, by), ...lines.map((line) => [...line.values, line.values[line.values.length - 1]])];
  if (kind === "lines") return [at, ...lines.map((line) => line.values)];
  return [at, ...stacked(lines.map((line) => line.values)).reverse()];
}

function setup(kind, now, tip, box, height) {
  const { uPlot } = window;
  const { by, lines } = now.current;
  const color = (line) => () => css(line.color);
  const drawn = kind === "bars" ? [...lines].reverse() : lines;
  const paths = { gap: uPlot.paths.stepped({ align: 1 }), bars: uPlot.paths.bars({ size: [0.82, 72], align: 1 }), lines: uPlot.paths.linear() }[kind];
  const series = drawn.map((line) => ({
    label: line.name,
    paths,
    stroke: kind === "bars" ? undefined : color(line),
    fill: kind === "bars" ? color(line) : undefined,
    width: kind === "bars" ? 0 : line.width || 1.5,
    dash: line.dash,
    spanGaps: false,
    points: { show: kind === "lines" ? (u) => u.data[0].length < 40 : false, size: 4, fill: color(line) },
  }));
  return {
    width: Math.max(120, box.clientWidth),
    height,
    legend: { show: false },
    cursor: { y: false, sync: { key: "headroom", setSeries: false }, drag: { setScale: false, x: false, y: false }, points: { show: kind === "lines", size: 6 } },
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    scales: {
      x: { range: (_, low, high) => [low ?? 0, kind === "gap" ? (high ?? 1) : (high ?? 1) + LENGTH[by] * (kind === "bars" ? 1 : 0.02)] },
      y: kind === "lines" ? { distr: 3, range: (_, low, high) => [low ? 10 ** Math.floor(Math.log10(Math.max(low, 0.1))) : 1, high ? 10 ** Math.ceil(Math.log10(high)) : 100] } : { range: (_, low, high) => [Math.min(0, (low || 0) * 1.05), Math.max(high || 0, 0) * 1.06 || 1] },
    },
    axes: axes((value) => now.current.format(value), by, kind === "lines"),
    series: [{}, ...series],
    bands: kind === "gap" ? [
      { series: [1, 2], fill: () => css("--saved-soft"), dir: -1 },
      { series: [2, 1], fill: () => css("--lost-soft"), dir: -1 },
    ] : [],
    hooks: { setCursor: [(u) => show(u, now.current, tip)] },
  };
}

/** The tooltip of the bucket under the cursor. Built of text nodes: names come from requests. */
function show(u, { at, by, lines, format, extra, stand }, tip) {
  const left = u.cursor.left;
  const index = left < 0 ? -1 : bucketAt(at, stand.current ?? u.posToVal(left, "x"));
  tip.hidden = index < 0;
  if (index < 0) return;
  const row = (name, text, color) => {
    const line = document.createElement("div");
    const swatch = document.createElement("i");
    if (color) swatch.style.background = `var(${color})`;
    const label = document.createElement("span");
    label.textContent = name;
    const figure = document.createElement("b");
    figure.textContent = text;
    line.append(swatch, label, figure);
    return line;
  };
  const head = document.createElement("strong");
  head.textContent = bucket(at[index], by);
  const rows = lines.filter((line) => line.values[index] !== null).map((line) => row(line.name, format(line.values[index]), line.color));
  tip.replaceChildren(head, ...rows, ...(extra ? extra(index).map(([name, text]) => row(name, text)) : []));
  const from = u.over.offsetLeft + left;
  const flip = from + tip.offsetWidth + 24 > u.root.clientWidth;
  tip.style.transform = `translate(${Math.max(0, flip ? from - tip.offsetWidth - 12 : from + 12)}px, 8px)`;
}

/** A course in the size of a word. */
export function Spark({ values, color = "--dim" }) {
  const known = values.map((value) => value ?? 0);
  if (known.length < 2) return html`<svg class="spark" aria-hidden="true"></svg>`;
  const low = Math.min(0, ...known);
  const high = Math.max(...known) || 1;
  const points = known.map((value, index) => `${((100 * index) / (known.length - 1)).toFixed(2)},${(23 - (22 * (value - low)) / (high - low)).toFixed(2)}`);
  return html`<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true"><polyline points=${points.join(" ")}
    style=${{ stroke: `var(${color})` }} /></svg>`;
}
