// The device behind a camera: its battery, and a button for each thing that it can do.

import { each, h, toast } from "./dom.js";
import { talkButton } from "./talk.js";
import { number, t } from "./words.js";

// A movement stops by itself after this, so that a lost answer turns no camera for ever.
const MOVE_MS = 400;
// A button that starts the camera anew asks back; this long it waits for the answer.
const CONFIRM_MS = 4000;

const move = (direction) => ({ direction, milliseconds: MOVE_MS });

/** Ability, command, its arguments, and the word on the button. */
const BUTTONS = [
  ["ptz", "ptz", move("left"), "turn_left"],
  ["ptz", "ptz", move("right"), "turn_right"],
  ["ptz", "ptz", move("up"), "turn_up"],
  ["ptz", "ptz", move("down"), "turn_down"],
  ["zoom", "ptz", move("zoom-in"), "zoom_in"],
  ["zoom", "ptz", move("zoom-out"), "zoom_out"],
  ["floodlight", "floodlight", { switch: "on" }, "floodlight_on"],
  ["floodlight", "floodlight", { switch: "off" }, "floodlight_off"],
  ["siren", "siren", { switch: "on", times: 1 }, "siren_on"],
  ["siren", "siren", { switch: "off" }, "siren_off"],
  ["led", "led", { infrared: "auto" }, "infrared_auto"],
  ["led", "led", { infrared: "off" }, "infrared_off"],
  ["pir", "pir", { switch: "on" }, "pir_on"],
  ["pir", "pir", { switch: "off" }, "pir_off"],
  ["talk"],
  ["reboot", "reboot", {}, "reboot"],
];

/** What is known of the device, as rows of the list of details. */
export function deviceRows(camera) {
  const device = camera.device;
  if (!device) return [];
  const rows = [];
  if (device.model) rows.push(["model", [device.model, device.firmware].filter(Boolean).join(" · ")]);
  const battery = device.battery;
  if (battery) {
    const facts = [`${number(battery.percent)}\u00a0%`, battery.charging ? t("charging") : null, battery.celsius === null ? null : `${number(battery.celsius)}\u00a0°C`];
    rows.push(["battery", facts.filter(Boolean).join(" · ")]);
  }
  const wakes = Object.values(device.wakes).reduce((sum, count) => sum + count, 0);
  const left = device.wakes_left === null ? null : t("wakes_left", number(device.wakes_left));
  rows.push(["wakes", [number(wakes), left].filter(Boolean).join(" · ")]);
  return rows;
}

/** Shows the buttons of what the camera can do, to who may. */
export function drawDevice(section, list, camera, overview) {
  const can = overview.may_change ? (camera.device?.can ?? []) : [];
  const abilities = [...new Set(BUTTONS.map(([ability]) => ability))].filter((ability) => can.includes(ability));
  section.hidden = abilities.length === 0;
  each(list, abilities, (ability) => ability, (ability) => makeGroup(camera.name, ability), () => {});
}

/** The buttons of one ability stand together. */
function makeGroup(name, ability) {
  if (ability === "talk") return talkButton(name);
  const buttons = BUTTONS.filter(([other]) => other === ability).map((button) => makeButton(name, button));
  return { node: h("div", { className: "group", role: "group" }, ...buttons) };
}

function makeButton(name, [, command, body, word]) {
  const node = h("button", { type: "button", className: "button" }, t(word));
  let asked = 0;
  node.addEventListener("click", async () => {
    if (command === "reboot" && Date.now() - asked > CONFIRM_MS) {
      asked = Date.now();
      toast(t("reboot_again"));
      return;
    }
    node.disabled = true;
    try {
      const headers = { accept: "application/json", "content-type": "application/json" };
      const response = await fetch(`/api/v1/cameras/${encodeURIComponent(name)}/commands/${command}`, { method: "POST", headers, body: JSON.stringify(body) });
      if (!response.ok) toast((await response.json()).detail);
    } catch {
      toast(t("no_reason"));
    } finally {
      node.disabled = false;
    }
  });
  return node;
}
