// The grid of cameras, and the view of one.

import { deviceRows, drawDevice } from "./device.js";
import { ICONS, copy, each, h, icon, say, toast } from "./dom.js";
import { Picture } from "./picture.js";
import { settingsPanel } from "./settings.js";
import { bits, bytes, number, span, t } from "./words.js";

const pictures = new Map();
let pageVisible = true;

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = pictures.get(entry.target);
    if (!card) continue;
    card.inView = entry.isIntersecting;
    card.picture.setVisible(card.inView && pageVisible);
  }
}, { rootMargin: "80px" });

/** Stops all pictures while nobody can see the page. */
export function setPageVisible(visible) {
  pageVisible = visible;
  for (const card of pictures.values()) card.picture.setVisible(card.inView && visible);
}

/** Shows all cameras. */
export function drawCameras(parent, overview) {
  parent.classList.toggle("single", overview.cameras.length === 1);
  if (overview.cameras.length === 0) {
    each(parent, ["empty"], (key) => key, emptyCameras, () => {});
    return;
  }
  each(parent, overview.cameras, (camera) => camera.name, makeCard, (card, camera) => updateCard(card, camera, overview));
}

function emptyCameras() {
  const example = "cameras:\n  porch: rtsp://user:password@192.168.1.10/stream1";
  return { node: empty(t("cameras_empty"), t("cameras_empty_hint"), example) };
}

export function empty(title, hint, example) {
  return h("div", { className: "empty" }, title ? h("p", { className: "empty-title" }, title) : null, h("p", {}, hint), h("pre", { tabIndex: 0 }, example));
}

function makeCard(camera) {
  const picture = new Picture(camera);
  const pill = h("span", { className: "pill" });
  const viewers = h("span", { className: "quiet" });
  const facts = h("p", { className: "facts" });
  const via = h("span", { className: "tag" });
  const open = h("a", { className: "name", href: `#camera/${encodeURIComponent(camera.name)}`, "aria-label": t("open", camera.name) }, camera.name);
  const rtsp = h("button", { type: "button", className: "button", title: t("copy_rtsp"), "aria-label": `${t("copy_rtsp")}: ${camera.name}`, onclick: () => copyUrl(card.camera.urls.rtsp) }, icon(ICONS.copy), "RTSP");
  const shade = h("span", { className: "expand", "aria-hidden": "true" }, icon(ICONS.expand));
  picture.node.append(pill, shade);
  picture.node.addEventListener("click", () => (location.hash = open.hash));
  const node = h("article", { className: "card" },
    picture.node,
    h("div", { className: "card-body" },
      h("div", { className: "card-head" }, open, via, rtsp),
      facts, viewers));
  const card = { node, picture, pill, viewers, facts, via, camera, inView: false, gone: () => forget(node) };
  pictures.set(node, card);
  observer.observe(node);
  return card;
}

function forget(node) {
  observer.unobserve(node);
  pictures.get(node)?.picture.close();
  pictures.delete(node);
}

function updateCard(card, camera, overview) {
  card.camera = camera;
  card.node.dataset.state = camera.state.name;
  card.picture.update(camera, agentTrouble(camera, overview));
  drawPill(card.pill, camera);
  card.via.hidden = !camera.via;
  if (camera.via) say(card.via, t("via", camera.via));
  say(card.facts, factsOf(camera));
  say(card.viewers, camera.viewers.total === 0 ? t("no_viewers") : t("watching", camera.viewers.total));
}

function drawPill(pill, camera) {
  pill.dataset.state = camera.state.name;
  say(pill, t(`state_${camera.state.name}`));
  pill.title = camera.state.reason ?? "";
}

/** What to say of a camera whose agent is away; nothing if the agent is there. */
function agentTrouble(camera, overview) {
  if (!camera.via || camera.state.name === "live") return "";
  const agent = overview.agents.find((agent) => agent.name === camera.via);
  if (!agent) return t("agent_unknown", camera.via);
  return agent.connected ? "" : t("agent_away", camera.via);
}

function factsOf(camera) {
  const video = camera.tracks.find((track) => track.kind === "video");
  const audio = camera.tracks.find((track) => track.kind === "audio");
  const facts = [];
  if (video) facts.push(video.codec);
  if (video?.width) facts.push(`${video.width} × ${video.height}`);
  if (camera.fps > 0) facts.push(`${number(camera.fps)} ${t("fps")}`);
  if (camera.bitrate > 0) facts.push(bits(camera.bitrate));
  if (audio) facts.push(audio.codec);
  return facts.length > 0 ? facts.join(" · ") : camera.source;
}

export async function copyUrl(url) {
  toast((await copy(url)) ? t("copied", url) : t("not_copied", url));
}

let single = null;

/** Shows one camera large, with all that is known of it; closes it when `name` is null. */
export function drawCamera(parent, name, overview, back) {
  const camera = name === null ? undefined : overview?.cameras.find((camera) => camera.name === name);
  if (single && single.name !== camera?.name) {
    single.picture.close();
    single = null;
    parent.replaceChildren();
  }
  if (name === null || !overview) return;
  if (!camera) {
    parent.replaceChildren(backLink(back), h("div", { className: "empty" }, h("p", { className: "empty-title" }, t("no_camera", name)), h("p", {}, t("no_camera_hint"))));
    return;
  }
  if (!single) {
    single = makeSingle(camera, back);
    parent.replaceChildren(single.node);
    single.title.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
  updateSingle(single, camera, overview);
}

function backLink(back) {
  return h("a", { className: "back", href: "/#", onclick: back }, icon(ICONS.back), t("back"));
}

function makeSingle(camera, back) {
  const picture = new Picture(camera);
  const pill = h("span", { className: "pill" });
  picture.node.append(pill);
  const full = h("button", { type: "button", className: "button", onclick: () => fullScreen(picture) }, icon(ICONS.expand), t("full_screen"));
  const soundText = h("span", {}, t("sound_on"));
  const sound = h("button", { type: "button", className: "button", hidden: true, onclick: () => {
    const video = picture.video;
    if (!video) return;
    video.muted = !video.muted;
    say(soundText, t(video.muted ? "sound_on" : "sound_off"));
  } }, icon(ICONS.sound), soundText);
  const title = h("h2", { className: "title", tabIndex: -1 }, camera.name);
  const via = h("span", { className: "tag" });
  const addresses = h("ul", { className: "addresses" });
  const facts = h("dl", { className: "facts-list" });
  const buttons = h("div", { className: "buttons" });
  const device = h("section", { hidden: true }, h("h3", {}, t("commands")), buttons);
  picture.node.addEventListener("dblclick", () => fullScreen(picture));
  const node = h("article", { className: "single" },
    backLink(back),
    h("div", { className: "single-head" }, title, via, h("span", { className: "spring" }), sound, full),
    picture.node,
    h("div", { className: "columns" },
      h("section", {}, h("h3", {}, t("addresses")), addresses),
      h("section", {}, h("h3", {}, t("details")), facts),
      settingsPanel(camera)),
    device);
  return { name: camera.name, node, picture, pill, title, via, sound, addresses, facts, device, buttons };
}

function fullScreen(picture) {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (picture.node.requestFullscreen) picture.node.requestFullscreen();
  else picture.video?.webkitEnterFullscreen?.();
}

function updateSingle(single, camera, overview) {
  single.picture.update(camera, agentTrouble(camera, overview));
  single.picture.setVisible(pageVisible);
  drawPill(single.pill, camera);
  single.via.hidden = !camera.via;
  if (camera.via) say(single.via, t("via", camera.via));
  single.sound.hidden = !single.picture.video || !camera.tracks.some((track) => track.codec === "AAC");
  const here = location.origin;
  const addresses = [["RTSP", camera.urls.rtsp]];
  if (camera.urls.mjpeg && camera.tracks.length > 0) addresses.push(["MJPEG", here + camera.urls.mjpeg], ["JPEG", here + camera.urls.snapshot]);
  addresses.push(["JSON", here + camera.urls.page]);
  each(single.addresses, addresses, ([kind]) => kind, makeAddress, (row, [, url]) => {
    row.url = url;
    say(row.text, url);
  });
  drawDevice(single.device, single.buttons, camera, overview);
  each(single.facts, factRows(camera, overview), ([key]) => key, makeFact, (row, [, value]) => say(row.value, value));
}

function makeAddress([kind]) {
  const text = h("code", { tabIndex: 0 });
  const row = { text, url: "" };
  row.node = h("li", {}, h("span", { className: "kind" }, kind), text, h("button", { type: "button", className: "button", "aria-label": `${t("copy")}: ${kind}`, onclick: () => copyUrl(row.url) }, icon(ICONS.copy), t("copy")));
  return row;
}

function makeFact([key]) {
  const value = h("dd");
  return { node: h("div", {}, h("dt", {}, t(key)), value), value };
}

function factRows(camera, overview) {
  const age = Date.parse(overview.now) - Date.parse(camera.state.since);
  const video = camera.tracks.find((track) => track.kind === "video");
  const audio = camera.tracks.find((track) => track.kind === "audio");
  const rows = [["state", `${t(`state_${camera.state.name}`)}, ${span(age)}`], ["source", camera.source]];
  if (camera.state.reason) rows.push(["last_error", camera.state.reason]);
  if (video) rows.push(["picture", [video.codec, video.width ? `${video.width} × ${video.height}` : null, camera.fps > 0 ? `${number(camera.fps, 1)} ${t("fps")}` : null].filter(Boolean).join(" · ")]);
  if (audio) rows.push(["sound", `${audio.codec} · ${number(audio.rate / 1000, 1)} kHz · ${audio.channels === 1 ? t("mono") : audio.channels === 2 ? t("stereo") : audio.channels}`]);
  rows.push(["rate", camera.bitrate > 0 ? bits(camera.bitrate) : "–"]);
  rows.push(["keyframes", camera.keyframe_interval_ms === null ? t("not_measured") : `${number(camera.keyframe_interval_ms / 1000, 1)} ${t("second")}`]);
  const outputs = Object.entries(camera.viewers.by_output).filter(([, count]) => count > 0).map(([name, count]) => `${name.toUpperCase()} ${count}`);
  rows.push(["viewers", camera.viewers.total === 0 ? t("no_viewers") : `${number(camera.viewers.total)} (${outputs.join(", ")})`]);
  if (camera.time_to_first_picture_ms !== null) rows.push(["first_picture", `${number(camera.time_to_first_picture_ms)}\u00a0${t("millisecond")}`]);
  rows.push(["received", bytes(camera.received_bytes)]);
  rows.push(["returns", number(camera.reconnects)]);
  rows.push(...deviceRows(camera));
  if (camera.viewers.dropped_access_units > 0) rows.push(["dropped", number(camera.viewers.dropped_access_units)]);
  return rows;
}
