// The moving picture of one camera: starts it while somebody can see it, and says why there is none.

import { Player } from "./player.js";
import { ICONS, h, icon, say } from "./dom.js";
import { span, t } from "./words.js";

// A browser opens at most six HTTP/1 connections to one server, and an MJPEG picture keeps one for
// itself. Beyond this many, JPEG cameras show stills, or nothing would be left for the API.
const MAX_MOVING_IMAGES = 3;
const STILL_EVERY_MS = 3000;

const movingImages = new Set();
const images = new Set();

/** Asks anew for all images: a broken stream of pictures looks to the page like a slow one. */
export function restartImages() {
  for (const picture of [...images]) {
    picture.stop();
    picture.mode = "";
    picture.apply();
  }
}

export class Picture {
  constructor(camera) {
    this.camera = camera;
    this.visible = false;
    this.asked = false;
    this.trouble = "";
    this.player = null;
    this.playerState = "";
    this.playerDetail = "";
    this.stopSource = null;
    this.mode = "";
    this.text = h("p", { className: "veil-text" });
    this.hint = h("p", { className: "veil-hint" });
    this.button = h("button", { className: "play", type: "button", hidden: true, onclick: (event) => this.ask(event) }, icon(ICONS.play), t("play"));
    this.veil = h("div", { className: "veil" }, h("span", { className: "spinner", "aria-hidden": "true" }), this.text, this.hint, this.button);
    this.node = h("div", { className: "stage" }, this.veil);
  }

  /** Takes the camera as the API tells it now; `trouble` says what else keeps the picture away. */
  update(camera, trouble = "") {
    this.camera = camera;
    this.trouble = trouble;
    this.apply();
  }

  /** Whether a person can see this picture now. */
  setVisible(visible) {
    this.visible = visible;
    this.apply();
  }

  close() {
    this.visible = false;
    this.apply();
  }

  ask(event) {
    event.stopPropagation();
    event.preventDefault();
    this.asked = true;
    this.apply();
  }

  get video() {
    return this.mode === "video" ? this.media : null;
  }

  apply() {
    const shown = this.camera.autoplay || this.asked ? modeOf(this.camera) : "still";
    const wanted = this.visible ? shown : "";
    if (wanted !== this.mode) {
      this.stop();
      this.mode = wanted;
      if (wanted === "video") this.startVideo();
      if (wanted === "image") this.startImage();
      if (wanted === "still") this.startStill();
    }
    this.draw();
  }

  startVideo() {
    const video = h("video", { muted: true, playsInline: true, autoplay: true, "aria-label": this.camera.name });
    video.setAttribute("muted", "");
    this.show(video);
    for (const name of ["loadeddata", "playing", "resize"]) video.addEventListener(name, () => this.draw());
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const url = `${scheme}//${location.host}${this.camera.urls.page}/ws`;
    this.player = new Player(video, url, (state, detail) => {
      this.playerState = typeof state === "object" ? state.state : state;
      this.playerDetail = (typeof state === "object" ? state.detail ?? state.reason : detail) ?? "";
      this.draw();
    });
    this.player.start();
  }

  startImage() {
    const image = h("img", { alt: this.camera.name, decoding: "async" });
    this.show(image);
    image.addEventListener("load", () => this.draw());
    const page = this.camera.urls.page;
    images.add(this);
    if (movingImages.size < MAX_MOVING_IMAGES) {
      movingImages.add(this);
      let retry;
      const begin = () => (image.src = `${page}/stream?at=${Date.now()}`);
      image.addEventListener("error", () => (retry = setTimeout(begin, STILL_EVERY_MS)));
      begin();
      this.stopSource = () => {
        clearTimeout(retry);
        movingImages.delete(this);
      };
    } else {
      const next = () => (image.src = `${page}/snapshot.jpg?at=${Date.now()}`);
      const timer = setInterval(next, STILL_EVERY_MS);
      next();
      this.stopSource = () => clearInterval(timer);
    }
  }

  /** The last picture of a camera that is left asleep, with its age. */
  startStill() {
    let url = "";
    let isOver = false;
    const show = async () => {
      const response = await fetch(`${this.camera.urls.page}/snapshot.jpg`, { cache: "no-store" });
      if (!response.ok) return;
      const blob = await response.blob();
      if (isOver) return;
      url = URL.createObjectURL(blob);
      const age = Number(response.headers.get("age") ?? 0) * 1000;
      this.takenAt = Date.now() - age;
      const image = h("img", { alt: this.camera.name, src: url });
      image.addEventListener("load", () => this.draw());
      this.show(image);
    };
    // Without one there is the button alone.
    show().catch(() => {});
    this.stopSource = () => {
      isOver = true;
      URL.revokeObjectURL(url);
    };
  }

  show(media) {
    this.media = media;
    this.node.prepend(media);
  }

  stop() {
    this.player?.stop();
    this.player = null;
    this.playerState = "";
    this.playerDetail = "";
    this.stopSource?.();
    this.stopSource = null;
    images.delete(this);
    if (this.media) {
      // An image goes on loading until its address is gone.
      if (this.media.tagName === "IMG") this.media.removeAttribute("src");
      this.media.remove();
    }
    this.media = null;
  }

  hasPicture() {
    if (!this.media) return false;
    return this.media.tagName === "IMG" ? this.media.naturalWidth > 0 : this.media.videoWidth > 0 && this.media.readyState >= 2;
  }

  draw() {
    const { state } = this.camera;
    const isPlaying = this.hasPicture();
    const failed = this.playerState === "error" || this.playerState === "unsupported";
    const isTrouble = state.name === "waiting" || (this.trouble !== "" && !isPlaying);
    const isStill = this.mode === "still";
    const isVeiled = !isPlaying || isTrouble || failed || isStill;
    this.veil.classList.toggle("clear", !isVeiled);
    this.veil.classList.toggle("over", isVeiled && isPlaying);
    const isAsking = this.mode !== "" && !isStill && !isPlaying && !isTrouble && !failed;
    this.veil.classList.toggle("asking", isAsking);
    this.button.hidden = (this.mode !== "" && !isStill) || this.camera.autoplay;
    let text = "";
    let hint = "";
    if (isTrouble) {
      text = this.trouble || (state.reason ?? t("no_reason"));
      hint = retryText(state);
    } else if (failed) {
      text = this.playerDetail || t("no_browser_codec", codecName(this.camera));
    } else if (isStill || (this.mode === "" && !this.camera.autoplay)) {
      hint = isStill && isPlaying ? t("still_age", span(Date.now() - this.takenAt)) : t("play_hint");
    } else if (this.mode === "") {
      hint = state.name === "idle" ? t("idle_hint") : "";
    } else if (!isPlaying) {
      text = t("connecting_hint");
      hint = state.reason ?? "";
    }
    say(this.text, text);
    say(this.hint, hint);
  }
}

/** How the camera's picture is shown: JPEG cameras as images, all others as video. */
function modeOf(camera) {
  const video = camera.tracks.find((track) => track.kind === "video");
  return video?.codec === "JPEG" ? "image" : "video";
}

export function codecName(camera) {
  return camera.tracks.find((track) => track.kind === "video")?.codec ?? "";
}

export function retryText(state) {
  if (state.retry_in_ms === null || state.retry_in_ms === undefined) return "";
  return state.retry_in_ms < 1000 ? t("retry_now") : t("retry_in", span(state.retry_in_ms));
}
