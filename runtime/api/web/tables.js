// Tables, forwards, and the list of what needs attention.

import { each, h, say } from "./dom.js";
import { empty } from "./cards.js";
import { bytes, number, span, t } from "./words.js";
import { retryText } from "./picture.js";

export const age = (overview, moment) => (moment ? Date.parse(overview.now) - Date.parse(moment) : null);

/** Draws rows. The last column is what `makeLast` makes for a row, if that is given, and `updateLast` keeps it right. */
export function table(parent, columns, rows, key, cells, whenEmpty, makeLast, updateLast) {
  if (rows.length === 0) {
    parent.eyeletTable = null;
    if (!parent.firstElementChild?.classList.contains("empty")) parent.replaceChildren(whenEmpty());
    return;
  }
  if (!parent.eyeletTable) {
    const body = h("tbody");
    const head = h("thead", {}, h("tr", {}, ...columns.map((column) => h("th", { scope: "col" }, t(column)))));
    parent.replaceChildren(h("div", { className: "table" }, h("table", {}, head, body)));
    parent.eyeletTable = body;
  }
  each(parent.eyeletTable, rows, key, (row) => {
    const nodes = columns.map((column) => h("td", { "data-label": t(column) }));
    const last = makeLast?.(row);
    if (last) nodes.at(-1).replaceChildren(last.node);
    return { node: h("tr", {}, ...nodes), nodes, last };
  }, (entry, row) => {
    if (entry.last) updateLast(entry.last, row);
    cells(row).forEach((cell, index) => {
      say(entry.nodes[index], cell.text);
      entry.nodes[index].className = cell.className ?? "";
      if (cell.title !== undefined) entry.nodes[index].title = cell.title;
      if (cell.state) entry.nodes[index].dataset.state = cell.state;
    });
  });
}

export function drawForwards(parent, overview) {
  const example = 'forwards:\n  - { listen: "127.0.0.1:8654", agent: shed, target: "127.0.0.1:554" }';
  table(parent, ["listen", "agent", "target", "state", "connections", "traffic"], overview.forwards, (forward) => forward.listen, (forward) => {
    const isUp = overview.agents.some((agent) => agent.name === forward.agent && agent.connected);
    return [
      { text: forward.listen, className: "mono strong" },
      { text: forward.agent },
      { text: forward.target, className: "mono" },
      { text: isUp ? forward.last_error ?? t("ready") : t("away"), className: "dot", state: isUp && !forward.last_error ? "live" : "offline" },
      { text: number(forward.connections) },
      { text: `${bytes(forward.received_bytes)} / ${bytes(forward.sent_bytes)}` },
    ];
  }, () => empty(null, t("forwards_empty_hint"), example));
}

/** What is wrong, the nearest cause first: nobody needs to hear of a camera behind an agent that is away. */
export function troubles(overview) {
  const list = [];
  const away = new Set();
  for (const [part, why] of Object.entries(overview.pending)) list.push({ key: `part ${part}`, text: t("pending", part, why) });
  const users = new Set([...overview.cameras.map((camera) => camera.via), ...overview.forwards.map((forward) => forward.agent)].filter(Boolean));
  for (const name of users) {
    const agent = overview.agents.find((agent) => agent.name === name);
    if (agent?.connected) continue;
    away.add(name);
    const gone = agent ? age(overview, agent.last_seen ?? agent.since) : null;
    const text = !agent ? t("agent_unknown", name) : gone === null ? t("agent_never", name) : t("agent_away_since", name, span(gone));
    list.push({ key: `agent ${name}`, text });
  }
  for (const camera of overview.cameras) {
    if (camera.state.name !== "waiting" || away.has(camera.via)) continue;
    list.push({ key: `camera ${camera.name}`, name: camera.name, text: camera.state.reason ?? t("no_reason"), hint: retryText(camera.state) });
  }
  return list;
}

export function drawAttention(section, list, overview) {
  const items = troubles(overview);
  section.hidden = items.length === 0;
  each(list, items, (item) => item.key, (item) => {
    const text = h("span");
    const hint = h("span", { className: "quiet" });
    const name = item.name ? h("a", { href: `#camera/${encodeURIComponent(item.name)}` }, item.name) : null;
    return { node: h("li", {}, name, text, hint), text, hint };
  }, (entry, item) => {
    say(entry.text, item.text);
    say(entry.hint, item.hint ?? "");
  });
}
