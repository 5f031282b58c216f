// The table of A9 cameras: who came, how far, what to order; a panel that says what is missing.

import { each, h, say, toast } from "./dom.js";
import { span, t } from "./words.js";

const age = (overview, moment) => (moment ? Date.parse(overview.now) - Date.parse(moment) : null);

// 192.168.1.9 stands before 192.168.1.10.
const addressKey = (address) => (address ?? "~").split(/[.:]/).map((part) => part.padStart(5, "0")).join(".");

const COLUMNS = [
  { word: "address", key: (camera) => addressKey(camera.address) },
  { word: "device_code", key: (camera) => camera.uid },
  { word: "state", key: (camera) => `${camera.connected ? 0 : 1}${camera.admission}` },
  { word: "last_seen", key: (camera) => `${Date.parse(camera.last_seen ?? 0) * -1 + 1e15}` },
];

let sortBy = COLUMNS[0];
let last = null;

/** Shows the cloud's cameras; nothing where there is no cloud. */
export function drawA9(section, parent, overview) {
  section.hidden = !overview.a9;
  if (!overview.a9) return;
  last = { section, parent, overview };
  const { cameras, askers } = overview.a9;
  if (!parent.eyeletA9) build(parent);
  const { table, rows: frame, nobody, lost } = parent.eyeletA9;
  nobody.hidden = cameras.length > 0;
  frame.hidden = cameras.length === 0;
  say(nobody.firstElementChild.nextElementSibling, t("a9_empty_hint", overview.a9.http));
  const rows = [...cameras].sort((a, b) => (sortBy.key(a) < sortBy.key(b) ? -1 : sortBy.key(a) > sortBy.key(b) ? 1 : a.uid < b.uid ? -1 : 1));
  // One body for each camera: its row, and its panel beneath.
  each(table, rows, (camera) => camera.uid, makeRow, (row, camera) => updateRow(row, camera, overview));
  each(lost, askers, (asker) => asker.address, () => {
    const text = h("span");
    return { node: h("li", {}, text), text };
  }, (entry, asker) => say(entry.text, t("a9_lost", asker.address, asker.name, span(age(overview, asker.at)))));
  lost.hidden = askers.length === 0;
}

function build(parent) {
  const heads = COLUMNS.map((column) => {
    const button = h("button", { type: "button", className: "sort", onclick: () => {
      sortBy = column;
      heads.forEach((head) => head.setAttribute("aria-sort", head === cell ? "ascending" : "none"));
      if (last) drawA9(last.section, last.parent, last.overview);
    } }, t(column.word));
    const cell = h("th", { scope: "col", "aria-sort": column === sortBy ? "ascending" : "none" }, button);
    return cell;
  });
  const head = h("thead", {}, h("tr", {}, ...heads, h("th", { scope: "col" }, t("missing")), h("th", { scope: "col" })));
  const table = h("table", { className: "a9-table" }, head);
  const nobody = h("div", { className: "empty" }, h("p", { className: "empty-title" }, t("a9_empty")), h("p", {}, ""));
  const lost = h("ul", { className: "a9-lost", hidden: true });
  const rows = h("div", { className: "table" }, table);
  parent.replaceChildren(nobody, rows, lost);
  parent.eyeletA9 = { table, rows, nobody, lost };
}

function makeRow(camera) {
  const row = { uid: camera.uid };
  row.address = h("td", { className: "mono", "data-label": t("address") });
  row.name = h("span", { className: "strong" });
  row.code = h("span", { className: "mono quiet" });
  row.state = h("td", { className: "dot", "data-label": t("state") });
  row.seen = h("td", { "data-label": t("last_seen") });
  row.missing = h("td", { className: "quiet", "data-label": t("missing") });
  row.nameField = h("input", { type: "text", className: "field", maxLength: 64, placeholder: t("a9_name"), "aria-label": `${t("a9_name")}: ${camera.uid}` });
  row.accept = button("accept", () => accept(row));
  row.snapshot = button("snapshot", () => snapshot(row));
  row.live = button("live", () => (location.hash = `#camera/${encodeURIComponent(row.camera.name)}`));
  row.more = button("more", () => {
    row.panel.hidden = !row.panel.hidden;
    row.more.setAttribute("aria-expanded", String(!row.panel.hidden));
  });
  row.more.setAttribute("aria-expanded", "false");
  const actions = h("td", { className: "a9-actions" }, h("div", {}, row.nameField, row.accept, row.snapshot, row.live, row.more));
  const line = h("tr", {}, row.address, h("td", { "data-label": t("device_code") }, row.name, row.code), row.state, row.seen, row.missing, actions);
  row.steps = h("ol", { className: "a9-steps" });
  row.hint = h("p", { className: "a9-hint" });
  row.facts = h("dl", { className: "facts-list" });
  row.shot = h("img", { className: "a9-shot", alt: "", hidden: true });
  row.orders = h("div", { className: "a9-orders" });
  row.lamp = order(row, "infrared", () => (row.camera.infrared ? 0 : 1));
  row.led = order(row, "led", () => (row.camera.led ? 0 : 1));
  row.flip = order(row, "flip", () => (row.camera.flip === 4 ? 0 : 4));
  row.refresh = order(row, "refresh");
  row.reboot = order(row, "reboot");
  row.forget = button("forget", () => send(row, "forget", null).then((done) => done && toast(t("forgotten", row.uid))));
  row.orders.append(row.lamp, row.led, row.flip, row.refresh, row.reboot, row.forget);
  row.panel = h("tr", { className: "a9-panel", hidden: true }, h("td", { colSpan: 6 }, row.shot, row.hint, row.steps, row.facts, row.orders));
  row.node = h("tbody", {}, line, row.panel);
  row.node.dataset.uid = camera.uid;
  return row;
}

function button(word, onclick) {
  return h("button", { type: "button", className: "button", onclick, "data-action": word }, t(word));
}

function order(row, name, value) {
  return button(name, () => send(row, "command", { name, value: value ? value() : null }).then((done) => done && toast(t("done"))));
}

async function send(row, what, body) {
  try {
    const response = await fetch(`/api/v1/a9/${encodeURIComponent(row.uid)}/${what}`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: body ? JSON.stringify(body) : "",
    });
    if (response.ok) return true;
    const problem = await response.json();
    toast(problem.detail ?? problem.title);
  } catch {
    toast(t("not_sent"));
  }
  return false;
}

async function accept(row) {
  const name = row.nameField.value.trim();
  if (await send(row, "accept", name ? { name } : {})) toast(t("accepted", name || row.uid));
}

async function snapshot(row) {
  row.snapshot.disabled = true;
  try {
    const response = await fetch(`/api/v1/cameras/${encodeURIComponent(row.camera.name)}/snapshot.jpg`, { cache: "no-store" });
    if (!response.ok) throw new Error((await response.json()).detail);
    URL.revokeObjectURL(row.shot.src);
    row.shot.src = URL.createObjectURL(await response.blob());
    row.shot.alt = row.camera.name;
    row.shot.hidden = false;
    row.panel.hidden = false;
    row.more.setAttribute("aria-expanded", "true");
  } catch (error) {
    toast(error.message || t("not_sent"));
  } finally {
    row.snapshot.disabled = false;
  }
}

function updateRow(row, camera, overview) {
  row.camera = camera;
  const isPending = camera.admission === "pending";
  say(row.address, camera.address ?? "–");
  say(row.name, camera.name && camera.name !== camera.uid ? camera.name : "");
  row.name.hidden = row.name.textContent === "";
  say(row.code, camera.uid);
  say(row.state, t(`a9_${camera.state}`) + (isPending ? ` · ${t("pending_camera")}` : ""));
  row.state.dataset.state = camera.state === "live" ? "live" : camera.connected ? (isPending ? "waiting" : "live") : "offline";
  const seen = age(overview, camera.last_seen);
  say(row.seen, seen === null ? t("never_seen") : t("ago", span(seen)));
  say(row.missing, camera.missing ? t(lack(camera)) : "–");
  row.missing.title = camera.missing?.hint ?? "";
  row.nameField.hidden = !isPending;
  row.accept.hidden = !isPending;
  row.snapshot.hidden = isPending || camera.state === "mqtt";
  row.live.hidden = row.snapshot.hidden;
  row.forget.hidden = camera.admission !== "accepted";
  for (const control of [row.lamp, row.led, row.flip, row.refresh, row.reboot]) control.disabled = !camera.connected;
  say(row.lamp, t(camera.infrared ? "infrared_off" : "infrared_on"));
  say(row.led, t(camera.led ? "led_off" : "led_on"));
  say(row.hint, camera.missing?.hint ?? t("a9_well"));
  row.hint.dataset.state = camera.missing ? "waiting" : "live";
  each(row.steps, camera.steps, (step) => step.step, makeStep, (entry, step) => {
    const at = age(overview, step.at);
    const lacks = camera.missing?.step === step.step;
    entry.node.dataset.state = lacks ? "offline" : at !== null ? "live" : "unserved";
    say(entry.when, at !== null ? t("ago", span(at)) : step.served || lacks ? t(isOnDemand(step, camera) ? "when_watched" : "not_yet") : t("not_here"));
  });
  each(row.facts, facts(camera), ([word]) => word, ([word]) => {
    const value = h("dd");
    return { node: h("div", {}, h("dt", {}, t(word)), value), value };
  }, (entry, [, value]) => say(entry.value, value));
}

// Pictures, and the way to them, come when somebody looks.
const isOnDemand = (step, camera) => camera.connected && (step.step === "probe" || step.step === "media");

// What is missing, in three words; the panel says it in full.
const lack = (camera) => (camera.missing.step === "registered" && camera.connected ? "lack_own_code" : `lack_${camera.missing.step}`);

function makeStep(step) {
  const when = h("span", { className: "quiet" });
  return { node: h("li", {}, h("span", { className: "strong" }, t(`step_${step.step}`)), when), when };
}

function facts(camera) {
  const rows = [];
  if (camera.power !== null) rows.push(["power", `${camera.power} %`]);
  if (camera.wifi) rows.push(["wifi", camera.wifi]);
  if (camera.firmware) rows.push(["firmware", camera.firmware]);
  if (camera.sd_status !== null) {
    const state = camera.sd_status === 1 ? t("sd_there") : camera.sd_status === 0 ? t("sd_none") : t("sd_broken", String(camera.sd_status));
    const room = camera.sd_free !== null && camera.sd_free >= 0 ? ` · ${t("sd_free", camera.sd_free)}` : "";
    rows.push(["sd_card", state + room]);
  }
  rows.push(["returns", String(Math.max(0, camera.registrations - 1))]);
  if (camera.last_error) rows.push(["last_error", camera.last_error]);
  return rows;
}
