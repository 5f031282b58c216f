// The settings of an ESP32 camera: read from the camera, changed one at a time.

import { h, say, toast } from "./dom.js";
import { t } from "./words.js";

// Ranges as in Espressif's CameraWebServer; what is not here takes any number.
const RANGES = {
  framesize: [0, 13], quality: [4, 63], brightness: [-2, 2], contrast: [-2, 2], saturation: [-2, 2], sharpness: [-2, 2],
  special_effect: [0, 6], wb_mode: [0, 4], ae_level: [-2, 2], aec_value: [0, 1200], agc_gain: [0, 30], gainceiling: [0, 6],
  led_intensity: [0, 255], lamp: [0, 100],
};
const SWITCHES = ["awb", "awb_gain", "aec", "aec2", "agc", "bpc", "wpc", "raw_gma", "lenc", "hmirror", "vflip", "dcw", "colorbar"];

/** The panel of a camera that has settings; null for any other. */
export function settingsPanel(camera) {
  if (!camera.settings) return null;
  const note = h("p", { role: "status" }, t("settings_asking"));
  const list = h("dl", { className: "facts-list" });
  load(camera, note, list);
  return h("section", {}, h("h3", {}, t("settings")), note, list);
}

async function load(camera, note, list) {
  try {
    const response = await fetch(`${camera.urls.page}/status`, { headers: { accept: "application/json" }, cache: "no-store" });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail);
    const names = camera.settings.filter((name) => Number.isInteger(answer[name]));
    list.replaceChildren(...names.map((name) => row(camera, name, answer[name])));
    say(note, names.length > 0 ? "" : t("settings_none"));
    note.hidden = names.length > 0;
  } catch (error) {
    say(note, error.message || t("not_sent"));
  }
}

function row(camera, name, value) {
  const [least, most] = RANGES[name] ?? [undefined, undefined];
  const isSwitch = SWITCHES.includes(name);
  const input = h("input", { type: isSwitch ? "checkbox" : "number", className: isSwitch ? "" : "field", min: least, max: most, "aria-label": name });
  const show = (value) => (isSwitch ? (input.checked = value === 1) : (input.value = value));
  show(value);
  input.addEventListener("change", async () => {
    const wanted = isSwitch ? Number(input.checked) : input.valueAsNumber;
    if (!Number.isInteger(wanted)) return show(value);
    input.disabled = true;
    try {
      const response = await fetch(`${camera.urls.page}/control?var=${encodeURIComponent(name)}&val=${wanted}`, { method: "POST", headers: { accept: "application/json" } });
      if (!response.ok) throw new Error((await response.json()).detail);
      value = wanted;
    } catch (error) {
      toast(error.message || t("not_sent"));
      show(value);
    }
    input.disabled = false;
  });
  return h("div", {}, h("dt", {}, name), h("dd", {}, input));
}
