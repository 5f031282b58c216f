// Runs beside the page: makes pieces of 16-bit samples of what the microphone hears.

// A sixteenth of a second at 16 kHz.
const PIECE = 1024;

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(PIECE);
    this.filled = 0;
  }

  process([input]) {
    const heard = input[0] ?? [];
    for (const sample of heard) {
      this.piece[this.filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.filled < PIECE) continue;
      this.port.postMessage(this.piece.buffer, [this.piece.buffer]);
      this.piece = new Int16Array(PIECE);
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
