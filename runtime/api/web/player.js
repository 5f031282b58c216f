// Plays one camera's fragmented MP4, which comes over a WebSocket, with as little delay as the
// network allows. No dependencies. The messages are described in runtime/outputs/src/mse/mod.rs.
//
//   const player = new Player(videoElement, "wss://host/api/v1/cameras/porch/ws", (state, detail) => …);
//   player.start();
//   player.stop();
//
// States: "connecting", "playing", "away" (the camera is; detail says why), "unsupported" (this
// browser cannot play the codec; final), "error" (detail says what; final).

// Seconds of delay: where playing starts behind the newest picture, where it gets a little faster,
// where it is normal again, and where it jumps.
const START_BEHIND = 0.1;
const HURRY_ABOVE = 0.8;
const HURRY_BELOW = 0.4;
const JUMP_ABOVE = 3;
const HURRY_RATE = 1.1;

// Seconds of old pictures that stay in the browser's buffer, and how many more before it is cut.
const KEEP = 10;
const KEEP_SLACK = 5;

// Bytes waiting to be appended; more means that the browser has stopped taking them.
const MAX_QUEUE = 24 * 1024 * 1024;

// The server says something at least every two seconds, so silence means a dead connection.
const SILENCE_MS = 8000;
const STALL_MS = 3000;
// After a pause of this length the video jumps to the newest picture instead of hurrying there.
const GAP_MS = 500;
const TICK_MS = 500;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 15000;
const STEADY_MS = 10000;

export class Player {
  #video;
  #url;
  #onState;
  #state = "";
  #detail = "";
  #isStarted = false;
  #isFinal = false;
  #socket = null;
  #source = null;
  #buffer = null;
  #queue = [];
  #queued = 0;
  #isLive = false; // the burst of the start is over: seek to its end and play
  #hasSought = false;
  #isAfterGap = false;
  #isPausedByViewer = false;
  #ticker = 0;
  #retry = 0;
  #failures = 0;
  #beganAt = 0;
  #heardAt = 0;
  #fedAt = 0;
  #movedAt = 0;
  #lastTime = -1;
  #stalls = 0;
  #listeners = null;

  constructor(video, url, onState = () => {}) {
    this.#video = video;
    this.#url = url;
    this.#onState = onState;
  }

  start() {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#isFinal = false;
    this.#failures = 0;
    this.#isPausedByViewer = false;
    const video = this.#video;
    video.muted = true; // the only way in which browsers let a video begin by itself
    video.playsInline = true;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    document.addEventListener("visibilitychange", () => this.#handleVisibility(), { signal });
    video.addEventListener("error", () => this.#handleVideoError(), { signal });
    video.addEventListener("pause", () => this.#handlePause(), { signal });
    video.addEventListener("play", () => this.#handlePlay(), { signal });
    video.addEventListener("timeupdate", () => this.#handleProgress(), { signal });
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#report("connecting");
    if (!document.hidden) this.#connect();
  }

  stop() {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    this.#listeners.abort();
    clearInterval(this.#ticker);
    this.#disconnect();
    this.#dropSource();
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#state = "";
  }

  /** Seconds between the newest picture received and the one shown. */
  get delay() {
    const edge = this.#edge();
    return edge ? edge.end - this.#video.currentTime : NaN;
  }

  #connect() {
    this.#disconnect();
    this.#beganAt = this.#heardAt = performance.now();
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heardAt = performance.now();
      if (typeof data === "string") this.#handleText(data);
      else this.#handleMedia(data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#reconnect();
    };
    this.#socket = socket;
  }

  /** Leaves the connection and every timer that would make a new one. The last picture stays. */
  #disconnect() {
    clearTimeout(this.#retry);
    this.#retry = 0;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #reconnect() {
    this.#disconnect();
    if (!this.#isStarted || this.#isFinal) return;
    if (performance.now() - this.#beganAt > STEADY_MS) this.#failures = 0;
    const pause = Math.min(RETRY_FIRST_MS * 2 ** this.#failures, RETRY_MAX_MS);
    this.#failures = Math.min(this.#failures + 1, 10);
    this.#report("connecting");
    if (document.hidden) return;
    // Jitter, or all pages would come back to a restarted gateway in the same moment.
    this.#retry = setTimeout(() => this.#connect(), pause * (0.5 + Math.random() / 2));
  }

  #handleText(text) {
    const message = JSON.parse(text);
    if (message.type === "init") this.#begin(message);
    else if (message.type === "live") this.#handleLive();
    else if (message.type === "state" && message.state !== "live") this.#report(message.state, message.message);
    else if (message.type === "error") this.#end("error", message.message);
  }

  #begin({ mime, tracks }) {
    // On iPhones only the managed kind exists; where both do, the plain one is better known.
    const Source = window.MediaSource ?? window.ManagedMediaSource;
    if (!Source?.isTypeSupported(mime)) {
      const codec = tracks.find((track) => track.kind === "video")?.codec ?? mime;
      this.#end("unsupported", `this browser cannot play ${codec}`);
      return;
    }
    this.#dropSource();
    const source = new Source();
    this.#source = source;
    const address = URL.createObjectURL(source);
    source.addEventListener(
      "sourceopen",
      () => {
        URL.revokeObjectURL(address);
        if (source !== this.#source) return;
        const buffer = source.addSourceBuffer(mime);
        buffer.addEventListener("updateend", () => {
          if (buffer !== this.#buffer) return;
          this.#follow();
          this.#feed();
        });
        this.#buffer = buffer;
        this.#feed();
      },
      { once: true },
    );
    this.#video.disableRemotePlayback = true; // the managed kind does not open without this
    this.#video.src = address;
  }

  #dropSource() {
    this.#source = null;
    this.#buffer = null;
    this.#queue = [];
    this.#queued = 0;
    this.#isLive = false;
    this.#hasSought = false;
    this.#isAfterGap = false;
    this.#lastTime = -1;
    this.#stalls = 0;
  }

  #handleLive() {
    this.#isLive = true;
    this.#movedAt = performance.now();
    this.#follow();
  }

  #handleMedia(data) {
    if (!this.#source) return;
    if (this.#heardAt - this.#fedAt > GAP_MS) this.#isAfterGap = true;
    this.#fedAt = this.#heardAt;
    this.#queue.push(new Uint8Array(data));
    this.#queued += data.byteLength;
    if (this.#queued > MAX_QUEUE) this.#reconnect();
    else this.#feed();
  }

  /** Gives the browser what waits, in one piece; cuts off what is old. */
  #feed() {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#source.readyState !== "open") return;
    try {
      const { buffered } = buffer;
      if (buffered.length > 0) {
        const end = buffered.end(buffered.length - 1);
        // A paused video stands still while pictures come: what counts then is the newest.
        const oldest = this.#video.paused ? end - KEEP : Math.min(this.#video.currentTime, end) - KEEP;
        if (buffered.start(0) < oldest - KEEP_SLACK) {
          buffer.remove(buffered.start(0), oldest);
          return;
        }
      }
      if (this.#queue.length === 0) return;
      const piece = this.#queue.length === 1 ? this.#queue[0] : join(this.#queue, this.#queued);
      buffer.appendBuffer(piece);
      this.#queue = [];
      this.#queued = 0;
    } catch (error) {
      // A full buffer, or a decoder that gave up: both are cured by beginning anew.
      console.warn("player:", error);
      this.#reconnect();
    }
  }

  #edge() {
    const buffered = this.#buffer && this.#source.readyState === "open" ? this.#buffer.buffered : null;
    if (!buffered || buffered.length === 0) return null;
    const last = buffered.length - 1;
    return { start: buffered.start(last), end: buffered.end(last) };
  }

  /** Keeps what is shown near the newest picture. */
  #follow() {
    const edge = this.#edge();
    if (!edge || !this.#isLive || this.#isPausedByViewer) return;
    // The end of the burst is not known before all of it is in the buffer.
    if (!this.#hasSought && (this.#queued > 0 || this.#buffer.updating)) return;
    const video = this.#video;
    const delay = edge.end - video.currentTime;
    // In front of the last range there is a gap that nothing will fill.
    const isOutside = video.currentTime < edge.start || delay < -1;
    const isFar = delay > (this.#isAfterGap ? HURRY_ABOVE : JUMP_ABOVE) && !video.seeking;
    this.#isAfterGap = false;
    if (!this.#hasSought || isOutside || isFar) {
      this.#hasSought = true;
      video.currentTime = Math.max(edge.start, edge.end - START_BEHIND);
      video.playbackRate = 1;
    } else if (delay > HURRY_ABOVE) {
      video.playbackRate = HURRY_RATE;
    } else if (delay < HURRY_BELOW) {
      video.playbackRate = 1;
    }
    // Refused where the browser allows no video to begin by itself; the viewer's click does it then.
    if (video.paused) video.play().catch(() => {});
  }

  #handleProgress() {
    const time = this.#video.currentTime;
    if (time === this.#lastTime || !this.#hasSought) return;
    this.#lastTime = time;
    this.#movedAt = performance.now();
    if (this.#movedAt - this.#fedAt < STALL_MS && !this.#video.seeking) {
      this.#stalls = 0;
      this.#report("playing");
    }
  }

  #tick() {
    if (!this.#socket) return;
    const now = performance.now();
    if (now - this.#heardAt > SILENCE_MS) {
      this.#reconnect();
      return;
    }
    this.#feed();
    if (!this.#isLive || this.#isPausedByViewer) return;
    // Pictures come, yet the video stands: jump to the newest, then begin anew.
    if (now - this.#fedAt < STALL_MS && now - this.#movedAt > STALL_MS) {
      this.#movedAt = now;
      this.#stalls += 1;
      this.#hasSought = false;
      if (this.#stalls > 2) this.#reconnect();
      else this.#follow();
    }
  }

  #handleVideoError() {
    if (!this.#source) return;
    console.warn("player:", this.#video.error?.message);
    this.#reconnect();
  }

  #handlePause() {
    // Browsers pause videos too, to save power; only one with controls is paused by people.
    const video = this.#video;
    const hasControls = video.controls || document.fullscreenElement === video || document.pictureInPictureElement === video;
    if (hasControls && this.#isLive && !document.hidden) this.#isPausedByViewer = true;
  }

  #handlePlay() {
    if (!this.#isPausedByViewer) return;
    this.#isPausedByViewer = false;
    this.#hasSought = false;
    this.#movedAt = performance.now();
    this.#follow();
  }

  /** A page that nobody sees costs the camera nothing. */
  #handleVisibility() {
    if (this.#isFinal) return;
    if (document.hidden) {
      this.#disconnect();
      this.#video.pause();
      this.#isLive = false;
    } else {
      this.#isPausedByViewer = false;
      this.#failures = 0;
      this.#report("connecting");
      this.#connect();
    }
  }

  #end(state, detail) {
    this.#isFinal = true;
    this.#disconnect();
    this.#report(state, detail);
  }

  #report(state, detail = "") {
    if (state === this.#state && detail === this.#detail) return;
    this.#state = state;
    this.#detail = detail;
    this.#onState(state, detail);
  }
}

function join(pieces, length) {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
