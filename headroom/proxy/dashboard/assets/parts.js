/* The parts of the page. Each shows what it is given and keeps nothing, but for what is folded out. */

import { html, useState } from "./vendor/htm-preact.js";
import { Chart, Spark } from "./charts.js";
import { ago, bucket, bytes, clock, ms, percent, short, shortUsd, usd, whole } from "./format.js";
import { reason } from "./words.js";

export const COLORS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
const tone = (value) => (value < 0 ? "lost" : value > 0 ? "saved" : "");

/** One of several, as radio buttons: arrow keys work, screen readers know it. The browser unchecks by itself, so each is told anew. */
export function Choice({ name, label, options, value, onChange }) {
  return html`<fieldset class="choice"><legend>${label}</legend>${options.map(
    ([key, text]) => html`<label key=${key} class=${key === value ? "on" : ""}><input type="radio" name=${name} value=${key} ref=${(node) => node && (node.checked = key === value)}
      onChange=${() => onChange(key)} /><span>${text}</span></label>`,
  )}</fieldset>`;
}

export function Section({ id, title, note, controls, children, className = "" }) {
  return html`<section class=${`block ${className}`} aria-labelledby=${id}><header><h2 id=${id}>${title}</h2>${note && html`<p>${note}</p>`}
    ${controls && html`<div class="controls">${controls}</div>`}</header>${children}</section>`;
}

/** A chart, its legend, and the same as a table. */
export function Figure({ chart, legend = true }) {
  const [open, setOpen] = useState(false);
  const { at, by, lines, format, label } = chart;
  const id = label.replace(/\W+/g, "-");
  return html`<figure>
    <div class="legend">${legend && lines.map((line) => html`<span key=${line.name}><i style=${{ background: `var(${line.color})` }}></i>${line.name}</span>`)}
      <button class="quiet" aria-expanded=${open} aria-controls=${id} onClick=${() => setOpen(!open)}>${open ? "Chart" : "Table"}</button></div>
    ${open
      ? html`<div class="scroll tall" id=${id} tabindex="0" role="group" aria-label=${label}><table class="data"><caption class="away">${label}</caption>
          <thead><tr><th scope="col">UTC</th>${lines.map((line) => html`<th scope="col" class="n">${line.name}</th>`)}</tr></thead>
          <tbody>${at.map((moment, index) => html`<tr key=${moment}><th scope="row">${bucket(moment, by)}</th>${lines.map((line) =>
            html`<td class="n">${line.values[index] === null ? "\u2013" : format(line.values[index])}</td>`)}</tr>`).reverse()}</tbody></table></div>`
      : html`<${Chart} ...${chart} />`}
  </figure>`;
}

function Bar({ share, color = "--c1" }) {
  return html`<span class="bar" aria-hidden="true"><i style=${{ width: `${Math.max(0, Math.min(100, 100 * share)).toFixed(2)}%`, background: `var(${color})` }}></i></span>`;
}

export function Hero({ data, words }) {
  const { total, series, lifetime, measured } = data;
  const most = Math.max(total.counterfactual, total.cost) || 1;
  const since = lifetime.cost;
  const chart = {
    kind: "gap", at: series.at, by: data.by, format: shortUsd, height: 236, label: "Bill without and with Headroom over time",
    lines: [
      { name: "without Headroom", values: series.counterfactual, color: "--without", dash: [5, 3], width: 1.25 },
      { name: "billed", values: series.cost, color: "--ink", width: 1.75 },
    ],
    extra: (index) => [["saved", usd(series.saved[index])], ["requests", whole(series.requests[index])]],
  };
  return html`<section class="hero" aria-labelledby="saved-title">
    <div class="sum">
      <h2 id="saved-title">Saved in ${words}</h2>
      <p class=${`big ${tone(total.saved)}`}>${usd(total.saved)}</p>
      <p class="of"><b>${percent(total.saved, total.counterfactual)}</b> of what ${short(total.priced)} requests with a known price would have cost.</p>
      <dl class="bills">
        <dt>without</dt><dd><span class="bill hollow"><i style=${{ width: `${(100 * total.counterfactual) / most}%` }}></i></span><b>${usd(total.counterfactual)}</b></dd>
        <dt>billed</dt><dd><span class="bill"><i style=${{ width: `${(100 * total.cost) / most}%` }}></i></span><b>${usd(total.cost)}</b></dd>
      </dl>
      ${measured && html`<p class="measured">Measured against ${short(measured.held_out)} requests held out: <b>${percent(measured.value, 100)}</b>, between ${percent(measured.ci95_low, 100)} and ${percent(measured.ci95_high, 100)} with 95 % confidence.</p>`}
      <p class="fine">An estimate, signed: tokens taken out, priced as the provider billed their part of the prompt.
        ${total.unpriced > 0 && html` ${whole(total.unpriced)} requests to models without a known price are not in it.`}
        ${since && html` Since the beginning: <b>${usd(since.total_saved_usd)}</b> of ${usd(since.without_headroom_usd)}.`}</p>
    </div>
    <div class="plot"><${Figure} chart=${chart} /></div>
  </section>`;
}

function Tile({ label, value, sub, values, color, tone = "" }) {
  return html`<div class="tile"><dt>${label}</dt><dd class=${`value ${tone}`}>${value}</dd><dd class="sub">${sub}</dd><dd class="course"><${Spark} values=${values} color=${color} /></dd></div>`;
}

export function Tiles({ data }) {
  const { total, times, series, originals } = data;
  const prompt = total.read_tokens + total.write_tokens + total.plain_tokens;
  const rate = series.read_tokens.map((read, index) => {
    const all = read + series.write_tokens[index] + series.plain_tokens[index];
    return all ? read / all : null;
  });
  const { overhead, ttfb } = times;
  return html`<dl class="tiles">
    <${Tile} label="Tokens left out" value=${short(total.tokens_saved)} sub=${`${percent(total.tokens_saved, total.tokens_before)} of ${short(total.tokens_before)}`}
      values=${series.tokens_saved} color="--saved" tone=${tone(total.tokens_saved)} />
    <${Tile} label="Prompt cache, hit rate" value=${percent(total.read_tokens, prompt)} sub=${`of ${short(prompt)} prompt tokens billed`} values=${rate} color="--c2" />
    <${Tile} label="Prompt cache, busts" value=${whole(total.busts)} sub=${`${percent(total.busts, total.requests)} of requests wrote it anew`} values=${series.busts} color="--lost" />
    <${Tile} label="Latency added, p50" value=${ms(overhead.p50_ms)} sub=${`p95 ${ms(overhead.p95_ms)}, p99 ${ms(overhead.p99_ms)}`} values=${series.overhead_p50} color="--c4" />
    <${Tile} label="First byte, p50" value=${ms(ttfb.p50_ms)} sub=${`p95 ${ms(ttfb.p95_ms)}, provider included`} values=${series.ttfb_p50} color="--c5" />
    <${Tile} label="Requests" value=${short(total.requests)} sub=${`${percent(total.failed, total.requests)} failed, ${short(total.rate_limited)} over a limit`} values=${series.requests} color="--ink" />
    <${Tile} label="From our own cache" value=${percent(total.cached, total.requests)} sub=${`${short(total.cached)} requests, nothing billed`} values=${series.cached} color="--c3" />
    <${Tile} label="Read back by models" value=${short(total.retrievals)} sub=${originals ? `${short(originals.stored)} originals kept, ${bytes(originals.bytes)}` : "the store does not answer"} values=${series.retrievals} color="--c6" />
  </dl>`;
}

export function Sources({ data, view, change }) {
  const { split } = view;
  const inTokens = view.measure === "tokens" || split === "transform";
  const parts = data.split_by === split ? data.split : [];
  const color = (name, isRest) => {
    const index = parts.findIndex((part) => part.name === name && part.is_rest === isRest);
    return index < 0 ? "" : parts[index].is_rest ? "--rest" : COLORS[index % COLORS.length];
  };
  const lines = parts.map((part) => ({ name: part.name || "not named", values: inTokens ? part.tokens_saved : part.saved, color: color(part.name, part.is_rest) }));
  const chart = { kind: "bars", at: data.series.at, by: data.by, lines, format: inTokens ? short : shortUsd, height: 232, label: `Saved over time by ${split}` };
  return html`<${Section} id="sources" title="Where it comes from" className="sources" controls=${html`
      <${Choice} name="split" label="Split by" value=${split} onChange=${(value) => change({ split: value })}
        options=${["team", "model", "client", "user", "provider", "transform"].map((name) => [name, name])} />
      ${split !== "transform" && html`<${Choice} name="measure" label="In" value=${view.measure} onChange=${(value) => change({ measure: value })} options=${[["dollars", "$"], ["tokens", "tokens"]]} />`}`}>
    <div class="pair"><${Figure} chart=${chart} legend=${false} />
    ${split === "transform" ? html`<${Transforms} rows=${data.transforms} color=${color} />` : html`<${Names} rows=${data.names[split]} split=${split} color=${color} change=${change} view=${view} />`}</div>
  <//>`;
}

function Names({ rows, split, color, change, view }) {
  const most = Math.max(...rows.map((row) => Math.abs(row.saved)), 1e-9);
  const pick = (name) => change({ where: { ...view.where, [split]: name } });
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${`By ${split}`}><table class="data">
    <thead><tr><th scope="col">${split}</th><th scope="col" class="n">requests</th><th scope="col" class="n">left out</th><th scope="col" class="n">cache hit</th>
      <th scope="col" class="n">billed</th><th scope="col" class="n">saved</th><th scope="col" class="n">of bill</th><th scope="col"><span class="away">share</span></th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${`${row.name}${row.is_rest}`}>
      <th scope="row"><i class="swatch" style=${{ background: color(row.name, row.is_rest) ? `var(${color(row.name, row.is_rest)})` : "transparent" }}></i>${
        row.is_rest ? "all others" : html`<button class="name" title=${`Only ${split} ${row.name || "not named"}`} onClick=${() => pick(row.name)}>${row.name || "not named"}</button>`}</th>
      <td class="n">${short(row.requests)}</td><td class="n">${percent(row.tokens_saved, row.tokens_before)}</td>
      <td class="n">${percent(row.read_tokens, row.read_tokens + row.write_tokens + row.plain_tokens)}</td>
      <td class="n">${row.priced ? shortUsd(row.cost) : "no price"}</td><td class=${`n ${tone(row.saved)}`}>${row.priced ? shortUsd(row.saved) : "\u2013"}</td>
      <td class="n">${percent(row.saved, row.counterfactual)}</td><td class="wide"><${Bar} share=${Math.abs(row.saved) / most} color=${row.saved < 0 ? "--lost" : "--saved"} /></td></tr>`)}</tbody></table></div>`;
}

function Transforms({ rows, color = () => "" }) {
  const most = Math.max(...rows.map((row) => row.tokens_saved), 1);
  if (!rows.length) return html`<p class="none">Nothing was made smaller here.</p>`;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="What was made smaller"><table class="data">
    <thead><tr><th scope="col">transform</th><th scope="col" class="n">texts</th><th scope="col" class="n">left out</th><th scope="col" class="n"><abbr title="originals that models read back">back</abbr></th><th scope="col" class="n">ms each</th><th scope="col"><span class="away">share</span></th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.name}><th scope="row">${color(row.name, false) && html`<i class="swatch" style=${{ background: `var(${color(row.name, false)})` }}></i>`}${row.name}</th>
      <td class="n">${short(row.texts)}</td><td class=${`n ${tone(row.tokens_saved)}`}>${short(row.tokens_saved)}</td>
      <td class="n">${short(row.read_back)}</td><td class="n">${row.average_ms === null ? "\u2013" : row.average_ms.toFixed(1)}</td><td class="wide"><${Bar} share=${row.tokens_saved / most} /></td></tr>`)}</tbody></table></div>`;
}

export function Smaller({ data }) {
  return html`<${Section} id="smaller" title="Made smaller" note=${`${short(sum(data.transforms.map((row) => row.texts)))} texts`}><${Transforms} rows=${data.transforms} /><//>`;
}

export function Kept({ data }) {
  const most = Math.max(...data.skipped.map((row) => row.count), 1);
  return html`<${Section} id="kept" title="Left as it came, and why" note=${`${short(sum(data.skipped.map((row) => row.count)))} texts and requests`}>
    ${data.skipped.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Reasons"><table class="data"><thead class="away"><tr><th scope="col">reason</th><th scope="col">count</th><th scope="col">share</th></tr></thead>
      <tbody>${data.skipped.map((row) => html`<tr key=${row.name}><th scope="row"><code>${row.name}</code><small>${reason(row.name)}</small></th><td class="n">${short(row.count)}</td>
        <td class="wide"><${Bar} share=${row.count / most} color="--without" /></td></tr>`)}</tbody></table></div>` : html`<p class="none">Nothing was left as it came.</p>`}
  <//>`;
}

export function Tiers({ data, health }) {
  const checks = Object.entries(health?.checks || {});
  const dropped = data.dropped_outcomes;
  const lights = [
    ...checks.map(([name, check]) => [name, !check.enabled ? "off" : check.ready ? "good" : "wait", !check.enabled ? "off" : check.status]),
    ["store", data.originals ? "good" : "bad", data.originals ? "answers" : "does not answer"],
    ["ledger", dropped ? "bad" : "good", dropped ? `${whole(dropped)} requests are in no ledger` : "every request is in it"],
  ];
  return html`<${Section} id="tiers" title="Tiers" note="now, and what went on without one">
    <ul class="lights">${lights.map(([name, state, text]) => html`<li key=${name} class=${state}><i aria-hidden="true"></i><b>${name.replaceAll("_", " ")}</b><span>${text}</span></li>`)}</ul>
    ${data.degraded.length
      ? html`<table class="data"><thead><tr><th scope="col">went on without</th><th scope="col">because</th><th scope="col" class="n">times</th></tr></thead>
          <tbody>${data.degraded.map(({ name, count }) => {
            const [tier, ...why] = name.split(":");
            return html`<tr key=${name}><th scope="row">${tier}</th><td><code>${why.join(":")}</code></td><td class="n lost">${short(count)}</td></tr>`;
          })}</tbody></table>`
      : html`<p class="none">No request had to go on without a tier.</p>`}
  <//>`;
}

export function PromptCache({ data }) {
  const { series, total } = data;
  const chart = {
    kind: "bars", at: series.at, by: data.by, format: short, height: 200, label: "Prompt tokens billed, by how",
    lines: [
      { name: "read from the cache", values: series.read_tokens, color: "--c2" },
      { name: "written to it", values: series.write_tokens, color: "--c3" },
      { name: "plain", values: series.plain_tokens, color: "--rest" },
    ],
    extra: (index) => [["hit rate", percent(series.read_tokens[index], series.read_tokens[index] + series.write_tokens[index] + series.plain_tokens[index])], ["busts", whole(series.busts[index])]],
  };
  return html`<${Section} id="cache" title="The provider\u2019s prompt cache" note=${`saved ${usd(total.cache_saved)}, its own doing and not in our figure`}><${Figure} chart=${chart} /><//>`;
}

export function Latency({ data }) {
  const { series } = data;
  const chart = {
    kind: "lines", at: series.at, by: data.by, format: ms, height: 200, label: "Milliseconds added before the provider",
    lines: [["p50", "--c4"], ["p95", "--c3"], ["p99", "--lost"]].map(([name, color]) => ({ name, values: series[`overhead_${name}`], color })),
    extra: (index) => [["first byte, p50", ms(series.ttfb_p50[index])], ["requests", whole(series.requests[index])]],
  };
  return html`<${Section} id="latency" title="Latency added" note="before the provider has the request"><${Figure} chart=${chart} /><//>`;
}

export function Recent({ rows, now }) {
  return html`<${Section} id="recent" title="Last requests" note="never a prompt or an answer">
    <div class="scroll" tabindex="0" role="group" aria-label="Last requests"><table class="data recent">
      <thead><tr><th scope="col">UTC</th><th scope="col">model</th><th scope="col">team</th><th scope="col">client</th><th scope="col" class="n">status</th><th scope="col" class="n">tokens</th>
        <th scope="col" class="n">left out</th><th scope="col" class="n">saved</th><th scope="col">how, or why not</th><th scope="col" class="n">added</th><th scope="col" class="n">took</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${row.request_id} class=${row.status >= 400 || !row.status ? "refused" : ""}>
        <th scope="row"><time datetime=${new Date(row.timestamp * 1000).toISOString()} title=${`${ago(now - row.timestamp)} ago, request ${row.request_id}`}>${clock(row.timestamp)}</time></th>
        <td>${row.model || "\u2013"}</td><td>${row.team || "\u2013"}</td><td>${row.client || "\u2013"}</td>
        <td class="n">${row.status === 499 ? html`<abbr title="the client left">499</abbr>` : row.status || html`<abbr title="no answer">none</abbr>`}</td>
        <td class="n">${short(row.tokens_before)}</td><td class=${`n ${tone(row.tokens_saved)}`}>${percent(row.tokens_saved, row.tokens_before)}</td>
        <td class=${`n ${tone(row.saved_usd ?? 0)}`}>${row.saved_usd === null ? "no price" : usd(row.saved_usd)}</td>
        <td class="how">${row.cache_hit ? html`<em>from the cache</em>` : [...new Set(row.transforms)].join(", ") || html`<code>${row.skip_reason || (row.error ? "refused" : "")}</code>`}</td>
        <td class="n">${ms(row.overhead_ms)}</td><td class="n">${ms(row.total_ms)}</td></tr>`)}</tbody></table></div>
  <//>`;
}
