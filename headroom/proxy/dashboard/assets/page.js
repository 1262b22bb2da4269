/* The page: what is asked for, when it is asked again, and what the keyboard does. */

import { html, render, useCallback, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { ago, clock } from "./format.js";
import { Choice, Hero, Kept, Latency, PromptCache, Recent, Smaller, Sources, Tiers, Tiles } from "./parts.js";
import { RANGES, Refused, STEPS, fromAddress, key, load, toAddress } from "./source.js";

const EVERY_MS = 10_000;
const FIRST_MS = 2_000; // while the first request is waited for

function useFigures(view) {
  const [state, setState] = useState({ data: null, health: null, failure: null });
  const [turn, setTurn] = useState(0);
  const again = useCallback(() => setTurn((turn) => turn + 1), []);
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const ask = async () => {
      let wait = EVERY_MS;
      try {
        const found = await load(view, abort.signal);
        if (abort.signal.aborted) return;
        setState({ ...found, failure: null });
        if (!found.data.lifetime.requests) wait = FIRST_MS;
      } catch (failure) {
        if (abort.signal.aborted) return;
        setState((old) => (failure instanceof Refused && failure.status < 404 ? { data: null, health: null, failure } : { ...old, failure }));
        if (failure instanceof Refused && failure.status < 404) return;
      }
      timer = setTimeout(next, wait);
    };
    const next = () => (document.hidden ? document.addEventListener("visibilitychange", next, { once: true }) : ask());
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", next);
    };
  }, [view.range, view.by, view.split, JSON.stringify(view.where), turn]);
  return [state, again];
}

function useTheme() {
  const isDark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const [dark, setDark] = useState(isDark());
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const follow = () => (setDark(isDark()), window.dispatchEvent(new Event("headroom-theme")));
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, []);
  const flip = () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem("headroom.theme", chosen);
    setDark(chosen === "dark");
    window.dispatchEvent(new Event("headroom-theme"));
  };
  return [dark, flip];
}

const KEYS = [["1 \u2013 6", "how far back"], ["h d w m", "hours, days, weeks, months"], ["t", "light or dark"], ["r", "ask again now"], ["Esc", "all requests, no filter"],
  ["\u2190 \u2192", "move in a chart that has the focus"], ["?", "this list"]];

function useKeys(actions) {
  const current = useRef(actions);
  current.current = actions;
  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=radio]), textarea, select")) return;
      const action = current.current[event.key];
      if (action) action();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}

function Locked({ failure, again }) {
  const enter = (event) => {
    event.preventDefault();
    key.set(event.target.elements.key.value.trim());
    again();
  };
  return html`<main id="main" class="single"><h1>${failure.status === 401 ? "The admin key, please" : "Closed"}</h1><p>${failure.message}</p>
    ${failure.status === 401 && html`<form onSubmit=${enter}><label for="key">Admin key</label><input id="key" name="key" type="password" autocomplete="off" required autofocus />
      <button class="solid">Show the figures</button><p class="fine">Kept in this tab until it is closed, sent only to this server, never part of an address.</p></form>`}</main>`;
}

function Beginning() {
  const base = location.href.replace(/\/dashboard.*$/, "");
  return html`<main id="main" class="single"><h1>Nothing has come through yet</h1>
    <p>Point a client at this Headroom. Its requests go to the provider as before, with smaller texts in them, and show up here within seconds.</p>
    <dl class="ways">
      <dt>Claude Code</dt><dd><code>ANTHROPIC_BASE_URL=${base} claude</code></dd>
      <dt>Codex</dt><dd><code>codex -c openai_base_url=${base}/v1</code></dd>
      <dt>Anthropic SDK</dt><dd><code>Anthropic(base_url="${base}")</code></dd>
      <dt>OpenAI SDK</dt><dd><code>OpenAI(base_url="${base}/v1")</code></dd>
      <dt>No key at hand?</dt><dd><code>headroom demo</code></dd>
    </dl>
    <p class="waiting" role="status"><i aria-hidden="true"></i>Waiting for the first request</p></main>`;
}

function Help({ open, close }) {
  const box = useRef(null);
  useEffect(() => (open ? box.current.showModal() : box.current.close()), [open]);
  return html`<dialog ref=${box} onClose=${close} aria-label="Keys"><h2>Keys</h2><dl>${KEYS.map(([name, does]) => html`<dt><kbd>${name}</kbd></dt><dd>${does}</dd>`)}</dl>
    <button class="solid" onClick=${close}>Close</button></dialog>`;
}

function state({ data, health, failure }) {
  if (failure) return ["bad", data ? `Not reached since ${clock(data.now)}` : "Not reached"];
  if (!health) return ["wait", "Asking"];
  if (!health.ready) return ["wait", "Compression is starting, requests pass"];
  if (!health.optimize) return ["wait", "Forwarding untouched"];
  return ["good", `Compressing, ${health.config?.fidelity || health.config?.mode || "on"}`];
}

function Top({ found, view, change, dark, flip, help, again }) {
  const [light, text] = state(found);
  const range = RANGES.find((range) => range.name === view.range);
  const where = Object.entries(view.where);
  const drop = (name) => change({ where: Object.fromEntries(where.filter(([other]) => other !== name)) });
  return html`<header class="top"><div class="brand"><img src="dashboard/assets/icon.svg" alt="" width="20" height="20" /><h1>Headroom</h1>
      <p class=${`state ${light}`} role="status"><i aria-hidden="true"></i>${text}</p></div>
    <nav aria-label="What is shown">
      <${Choice} name="range" label="How far back" value=${view.range} options=${RANGES.map(({ name, label }) => [name, label])} onChange=${(range) => change({ range })} />
      <${Choice} name="by" label="By" value=${view.by} options=${STEPS.filter(([name]) => range.by.includes(name))} onChange=${(by) => change({ by })} />
      <button class="quiet" onClick=${again} title="Ask again now (r)"><span class="away">Refresh; </span>${found.data ? clock(found.data.now) : "\u2026"}</button>
      <button class="quiet" onClick=${flip} title="Light or dark (t)" aria-pressed=${dark}>${dark ? "Light" : "Dark"}</button>
      <button class="quiet" onClick=${help} aria-label="Keys" title="Keys (?)">?</button>
    </nav>
    ${where.length > 0 && html`<p class="filters">Only ${where.map(([name, value]) => html`<button key=${name} onClick=${() => drop(name)} title="Remove this filter">${name} <b>${value || "not named"}</b> \u00d7</button>`)}</p>`}
  </header>`;
}

function Page() {
  const [view, setView] = useState(fromAddress);
  const [found, again] = useFigures(view);
  const [dark, flip] = useTheme();
  const [helping, setHelping] = useState(false);
  const change = (part) => setView((old) => {
    const next = { ...old, ...part };
    const range = RANGES.find((range) => range.name === next.range);
    if (!range.by.includes(next.by) || (part.range && !part.by)) next.by = range.by[0];
    toAddress(next);
    return next;
  });
  const by = (name) => () => RANGES.find((range) => range.name === view.range).by.includes(name) && change({ by: name });
  useKeys({
    ...Object.fromEntries(RANGES.map((range, index) => [String(index + 1), () => change({ range: range.name })])),
    h: by("hourly"), d: by("daily"), w: by("weekly"), m: by("monthly"),
    t: flip, r: again, Escape: () => !helping && change({ where: {} }), "?": () => setHelping(true),
  });
  const { data, health, failure } = found;
  useEffect(() => {
    document.title = data ? `${data.total.saved < 0 ? "\u2212" : ""}$${Math.abs(data.total.saved).toFixed(2)} saved \u00b7 Headroom` : "Headroom";
  });
  const locked = failure instanceof Refused && !data && failure.status < 404;
  const words = RANGES.find((range) => range.name === view.range).words;
  const body = locked ? html`<${Locked} failure=${failure} again=${again} />`
    : !data ? html`<main id="main" class="single">${failure ? html`<h1>No answer</h1><p>${failure.message}</p>` : html`<p class="waiting"><i aria-hidden="true"></i>Reading the ledger</p>`}</main>`
    : !data.lifetime.requests ? html`<${Beginning} />`
    : html`<main id="main" aria-busy="false">
        ${!data.total.requests && html`<p class="notice">No request in ${words}${Object.keys(view.where).length ? " with this filter" : ""}. A longer time, or Esc, shows more.</p>`}
        <${Hero} data=${data} words=${words} /><${Tiles} data=${data} /><${Sources} data=${data} view=${view} change=${change} />
        <div class="thirds"><${Smaller} data=${data} /><${Kept} data=${data} /><${Tiers} data=${data} health=${health} /></div>
        <div class="halves"><${PromptCache} data=${data} /><${Latency} data=${data} /></div>
        <${Recent} rows=${data.recent} now=${data.now} /></main>`;
  return html`<${Top} ...${{ found, view, change, dark, flip, again }} help=${() => setHelping(true)} />${body}
    <footer><p>${health ? `Headroom ${health.version}, up ${ago(health.uptime_seconds)}. ` : ""}All times UTC. Same figures: <code>headroom stats</code>, <code>/stats</code>, <code>/stats-history?format=csv</code>, <code>/metrics</code>.</p></footer>
    <${Help} open=${helping} close=${() => setHelping(false)} />`;
}

render(html`<${Page} />`, document.getElementById("page"));
