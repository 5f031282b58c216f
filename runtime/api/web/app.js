// The dashboard: asks the API every two seconds and draws what it says.

import { drawAgents } from "./agents.js";
import { say } from "./dom.js";
import { drawA9 } from "./a9.js";
import { drawCamera, drawCameras, setPageVisible } from "./cards.js";
import { restartImages } from "./picture.js";
import { drawAttention, drawForwards } from "./tables.js";
import { span, t, translatePage } from "./words.js";

const POLL_MS = 2000;
const TIMEOUT_MS = 5000;
const MAX_BACKOFF_MS = 15000;
// Somebody who looks at another tab for a moment finds the pictures still running.
const HIDDEN_GRACE_MS = 15000;

const byId = (id) => document.getElementById(id);
let overview = null;
let heardAt = 0;
let failures = 0;
let pollTimer;
let nextPollAt = 0;

async function poll() {
  clearTimeout(pollTimer);
  const abort = new AbortController();
  const timeout = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const response = await fetch("/api/v1/overview", { signal: abort.signal, headers: { accept: "application/json" }, cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    overview = await response.json();
    heardAt = Date.now();
    if (failures > 1) restartImages();
    failures = 0;
  } catch {
    failures += 1;
  } finally {
    clearTimeout(timeout);
  }
  draw();
  const pause = failures === 0 ? POLL_MS : Math.min(MAX_BACKOFF_MS, POLL_MS * 2 ** (failures - 1));
  nextPollAt = Date.now() + pause;
  // A hidden page asks nothing; it does so at once when it is shown again.
  if (!document.hidden) pollTimer = setTimeout(poll, pause);
}

function draw() {
  drawBanner();
  const name = chosenCamera();
  byId("everything").hidden = name !== null;
  byId("one").hidden = name === null;
  document.title = name === null ? "Eyelet" : `${name} – Eyelet`;
  drawCamera(byId("one"), name, overview, goBack);
  if (!overview) return;
  drawSummary();
  say(byId("version"), overview.version);
  if (name !== null) return;
  drawAttention(byId("attention"), byId("attention-list"), overview);
  drawCameras(byId("cameras"), overview);
  drawA9(byId("a9-section"), byId("a9"), overview);
  drawAgents(byId("agents"), byId("agent-log"), overview);
  drawForwards(byId("forwards"), overview);
}

function drawBanner() {
  const banner = byId("banner");
  // One lost answer is not worth a word.
  banner.hidden = failures < 2;
  document.body.classList.toggle("stale", failures >= 2);
  if (banner.hidden) return;
  const wait = span(Math.max(0, nextPollAt - Date.now()));
  say(banner, heardAt === 0 ? t("unreachable_first", wait) : t("unreachable", span(Date.now() - heardAt), wait));
}

function drawSummary() {
  const count = (state) => overview.cameras.filter((camera) => camera.state.name === state).length;
  const parts = [];
  if (overview.cameras.length === 0) parts.push(t("sum_none"));
  if (count("live") > 0) parts.push(t("sum_live", count("live")));
  if (count("connecting") > 0) parts.push(t("sum_connecting", count("connecting")));
  if (count("idle") > 0) parts.push(t("sum_idle", count("idle")));
  if (count("waiting") > 0) parts.push(t("sum_bad", count("waiting")));
  const connected = overview.agents.filter((agent) => agent.connected).length;
  if (overview.agents.length > 0) parts.push(t("sum_agents", connected));
  say(byId("summary"), parts.join(" · "));
}

/** The camera that the address names: /#camera/NAME, or the API's own address of it. */
function chosenCamera() {
  const match = /^#camera\/(.+)$/.exec(location.hash) ?? /^\/api\/v1\/cameras\/([^/]+)$/.exec(location.pathname);
  try {
    return match ? decodeURIComponent(match[1]) : null;
  } catch {
    return null;
  }
}

function goBack(event) {
  // From the API's own address the link leads to the dashboard; within it, nothing is loaded anew.
  if (location.pathname !== "/") return;
  event.preventDefault();
  history.pushState(null, "", "/");
  draw();
}

let hiddenTimer;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    clearTimeout(pollTimer);
    hiddenTimer = setTimeout(() => setPageVisible(false), HIDDEN_GRACE_MS);
  } else {
    setPageVisible(true);
    poll();
  }
});
window.addEventListener("hashchange", draw);
window.addEventListener("popstate", draw);
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosenCamera() !== null && !document.fullscreenElement && location.pathname === "/") goBack(event);
});
window.addEventListener("online", poll);
setInterval(drawBanner, 1000);

translatePage();
poll();
