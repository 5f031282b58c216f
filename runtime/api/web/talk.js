// Talking through a camera with this machine's microphone.

import { h, toast } from "./dom.js";
import { t } from "./words.js";

// What cameras play; the browser brings the microphone's sound to this rate.
const RATE = 16000;
// More than half a second that waits to be sent is a line that is too slow: what comes then is left out, or the camera
// would say it ever later.
const MAX_WAITING = RATE;

/** A button that opens the camera's speaker, and closes it when pressed again. */
export function talkButton(name) {
  let talk = null;
  const node = h("button", { type: "button", className: "button", "aria-pressed": "false" }, t("talk_start"));
  const show = (talking) => {
    node.textContent = t(talking ? "talk_stop" : "talk_start");
    node.setAttribute("aria-pressed", String(talking));
  };
  const end = (detail) => {
    talk?.close();
    talk = null;
    show(false);
    if (detail) toast(detail);
  };
  node.addEventListener("click", async () => {
    if (talk) return end();
    // Only pages of this machine or over HTTPS may have a microphone.
    if (!navigator.mediaDevices?.getUserMedia) return toast(t("talk_insecure"));
    node.disabled = true;
    try {
      talk = await open(name, end);
      show(true);
    } catch (error) {
      end(t("talk_no_microphone", error.message));
    } finally {
      node.disabled = false;
    }
  });
  return { node, gone: () => end() };
}

async function open(name, ended) {
  const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: false };
  const microphone = await navigator.mediaDevices.getUserMedia({ audio });
  const context = new AudioContext({ sampleRate: RATE });
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  let socket = null;
  const close = () => {
    for (const track of microphone.getTracks()) track.stop();
    if (context.state !== "closed") context.close();
    if (!socket) return;
    socket.onclose = null;
    // The last word is said to its end before the other side closes.
    if (socket.readyState === WebSocket.OPEN) socket.send("end");
    else socket.close();
    socket = null;
  };
  try {
    await context.audioWorklet.addModule("/assets/microphone.js");
    socket = new WebSocket(`${scheme}//${location.host}/api/v1/cameras/${encodeURIComponent(name)}/talk?rate=${RATE}`);
    let detail = "";
    let isOpen = false;
    socket.onmessage = (message) => {
      const told = JSON.parse(message.data);
      if (told.type === "talking") isOpen = true;
      else detail = told.detail;
    };
    socket.onclose = () => ended(detail || t("talk_ended"));
    const worklet = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
    worklet.port.onmessage = ({ data }) => {
      if (isOpen && socket?.readyState === WebSocket.OPEN && socket.bufferedAmount < MAX_WAITING) socket.send(data);
    };
    context.createMediaStreamSource(microphone).connect(worklet);
    return { close };
  } catch (error) {
    close();
    throw error;
  }
}
