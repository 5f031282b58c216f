// The agents: how each one is, its log, and the button that starts it anew.

import { empty } from "./cards.js";
import { h, say, toast } from "./dom.js";
import { age, table } from "./tables.js";
import { bytes, number, span, t } from "./words.js";

const LOG_MS = 3000;
// A button that restarts something asks back; this long it waits for the answer.
const CONFIRM_MS = 4000;

const restarting = new Set();
let logged = null;
let logTimer;

export function drawAgents(parent, logPanel, overview) {
  const columns = ["name", "state", "camera_address", "address", "round_trip", "traffic", "returns", "program", "actions"];
  const example = "eyelet agent add shed\neyelet-agent --join CODE";
  table(parent, columns, overview.agents, (agent) => agent.name, (agent) => [
    { text: agent.name, className: "strong" },
    { text: restarting.has(agent.name) ? t("restarting") : agentState(agent, overview), className: "dot", state: agent.connected ? "live" : agent.reconnecting ? "waiting" : "offline" },
    { text: cameraOf(agent), className: "mono" },
    { text: agent.address ?? "–", className: "mono" },
    { text: roundTripOf(agent), title: agent.transport ?? "" },
    { text: `${bytes(agent.received_bytes)} / ${bytes(agent.sent_bytes)}` },
    { text: number(agent.reconnects), title: t("sessions_hint", number(agent.sessions), number(agent.sessions_lost), bytes(agent.replayed_bytes)) },
    { text: agent.version ?? "–", title: uptimeOf(agent) },
  ], () => empty(null, t("agents_empty_hint"), example), makeActions(logPanel), (actions, agent) => {
    actions.restart.disabled = !agent.connected || !overview.may_change || restarting.has(agent.name);
    actions.restart.title = overview.may_change ? t("restart_hint") : t("no_changes_here");
    actions.log.disabled = !agent.connected;
    actions.log.setAttribute("aria-expanded", String(logged === agent.name));
  });
  if (logged !== null && !overview.agents.some((agent) => agent.name === logged)) closeLog(logPanel);
}

function agentState(agent, overview) {
  if (agent.connected) return agent.since ? t("connected_for", span(age(overview, agent.since))) : t("ready");
  if (!agent.joined) return t("not_joined");
  if (agent.reconnecting) return t("agent_reconnecting");
  const away = age(overview, agent.last_seen ?? agent.since);
  return away === null ? t("never_seen") : t("away_for", span(away));
}

const TRANSPORTS = { quic: "QUIC", websocket: "WebSocket" };

function roundTripOf(agent) {
  const trip = agent.connected && agent.rtt_ms !== null ? `${number(agent.rtt_ms, agent.rtt_ms < 10 ? 1 : 0)}\u00a0${t("millisecond")}` : null;
  return [trip, TRANSPORTS[agent.transport]].filter(Boolean).join(" · ") || "–";
}

function cameraOf(agent) {
  const camera = agent.report?.camera;
  if (!camera) return "–";
  return [camera.address ?? camera.target, camera.dhcp ? "DHCP" : null, camera.reached === false ? t("not_reached") : null].filter(Boolean).join(" · ");
}

function uptimeOf(agent) {
  if (!agent.report) return "";
  const facts = [t("runs_for", span(agent.report.uptime_s * 1000))];
  if (agent.report.memory_bytes) facts.push(bytes(agent.report.memory_bytes));
  return facts.join(", ");
}

const makeActions = (logPanel) => (agent) => {
  const label = h("span", {}, t("restart"));
  const restart = h("button", { type: "button", className: "button", "aria-label": `${t("restart")}: ${agent.name}` }, label);
  let asked;
  restart.addEventListener("click", () => {
    if (!asked) {
      say(label, t("restart_really"));
      asked = setTimeout(() => {
        asked = undefined;
        say(label, t("restart"));
      }, CONFIRM_MS);
      return;
    }
    clearTimeout(asked);
    asked = undefined;
    say(label, t("restart"));
    restartAgent(agent.name);
  });
  const log = h("button", { type: "button", className: "button", "aria-label": `${t("log")}: ${agent.name}`, onclick: () => toggleLog(logPanel, agent.name) }, t("log"));
  return { node: h("span", { className: "actions" }, log, restart), restart, log };
};

async function restartAgent(name) {
  restarting.add(name);
  try {
    const response = await fetch(`/api/v1/agents/${encodeURIComponent(name)}/restart`, { method: "POST", headers: { accept: "application/json" } });
    const answer = await response.json();
    toast(response.ok ? t("restarted", name, `${number(answer.took_ms / 1000, 1)}\u00a0${t("second")}`) : answer.detail);
  } catch {
    toast(t("restart_unknown", name));
  } finally {
    restarting.delete(name);
  }
}

function toggleLog(panel, name) {
  if (logged === name) {
    closeLog(panel);
    return;
  }
  logged = name;
  const lines = h("pre", { className: "log", tabIndex: 0 }, t("log_loading"));
  panel.replaceChildren(
    h("div", { className: "log-head" }, h("h3", {}, t("log_of", name)), h("button", { type: "button", className: "button", onclick: () => closeLog(panel) }, t("close"))),
    lines);
  panel.hidden = false;
  followLog(panel, name, lines);
}

function closeLog(panel) {
  clearTimeout(logTimer);
  logged = null;
  panel.hidden = true;
  panel.replaceChildren();
}

async function followLog(panel, name, lines) {
  clearTimeout(logTimer);
  let text;
  try {
    const response = await fetch(`/api/v1/agents/${encodeURIComponent(name)}/log`, { headers: { accept: "application/json" }, cache: "no-store" });
    const answer = await response.json();
    text = response.ok ? answer.lines.map((line) => `${new Date(line.at).toLocaleTimeString()}  ${line.text}`).join("\n") || t("log_empty") : answer.detail;
  } catch {
    text = t("log_unreachable");
  }
  if (logged !== name) return;
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 8;
  say(lines, text);
  if (atEnd) lines.scrollTop = lines.scrollHeight;
  // The agent is asked each time, so a page that nobody sees asks nothing.
  const again = () => (document.hidden ? (logTimer = setTimeout(again, LOG_MS)) : followLog(panel, name, lines));
  logTimer = setTimeout(again, LOG_MS);
}
