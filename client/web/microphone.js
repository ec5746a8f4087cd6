/**
 * The microphone as packets of samples.
 *
 * @typedef {{samples: Int16Array, level: number}} Packet `level` is the root mean square, from 0 to 1
 * @typedef {{device: string, cleaning: boolean}} MicrophoneOptions `device` is an id, or empty for the browser's choice
 */

import { PlainError } from "./errors.js";

const PACKET_SECONDS = 0.03;
/** The browser renders audio in blocks of so many samples; packets are whole blocks. */
const BLOCK = 128;
const PATIENCE_MILLISECONDS = 1500;
/** An audio thread that was stopped just now does not answer any more. */
const FLUSH_MILLISECONDS = 2000;

/** @param {number} sampleRate */
export function packetSamples(sampleRate) {
  return Math.max(1, Math.round((sampleRate * PACKET_SECONDS) / BLOCK)) * BLOCK;
}

export class Microphone {
  #context;
  #node;
  /** @type {MediaStream} */
  #media;
  /** @type {MediaStreamAudioSourceNode} */
  #source;
  #closed = false;
  /** @type {(packet: Packet) => void} */
  onpacket = () => {};
  /** @type {(reason: "unplugged" | "paused" | "running") => void} */
  onchange = () => {};

  /**
   * Ask for the microphone; packets wait until `begin`. Throws a PlainError where there is none.
   * @param {MicrophoneOptions} options
   */
  static async open(options) {
    const media = await requested(options);
    const rate = media.getAudioTracks()[0].getSettings().sampleRate;
    const context = new AudioContext({ latencyHint: "interactive", ...(rate ? { sampleRate: rate } : {}) });
    try {
      await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
      return new Microphone(context, media);
    } catch (error) {
      media.getTracks().forEach((track) => track.stop());
      await context.close();
      throw error;
    }
  }

  /**
   * @param {AudioContext} context
   * @param {MediaStream} media
   */
  constructor(context, media) {
    this.#context = context;
    this.#media = media;
    this.#node = new AudioWorkletNode(context, "packets", {
      processorOptions: { packetSamples: packetSamples(context.sampleRate) },
    });
    this.#source = this.#connected(media);
    // The node writes silence; without a way to the output some browsers would not run it.
    this.#node.connect(context.destination);
    context.onstatechange = () => this.#stateChanged();
  }

  get sampleRate() {
    return this.#context.sampleRate;
  }

  /** The name of the microphone, as the browser tells it. */
  get name() {
    return this.#media.getAudioTracks()[0].label;
  }

  /** The id of the microphone. */
  get device() {
    return this.#media.getAudioTracks()[0].getSettings().deviceId ?? "";
  }

  /** Hand over packets, from the first one on. */
  begin() {
    this.#node.port.onmessage = ({ data }) => this.onpacket(data);
    // A browser that wants to be touched first does not refuse: it only never begins.
    setTimeout(() => this.#stateChanged(), PATIENCE_MILLISECONDS);
    return this.wake();
  }

  /** Go on after the browser has paused the audio, if it lets us. */
  async wake() {
    if (this.#context.state !== "running" && !this.#closed) await this.#context.resume();
  }

  /**
   * Hear another microphone, without a break in the stream.
   * @param {MicrophoneOptions} options
   */
  async change(options) {
    const media = await requested(options);
    if (this.#closed) {
      media.getTracks().forEach((track) => track.stop());
      return;
    }
    const source = this.#connected(media);
    this.#release();
    this.#media = media;
    this.#source = source;
  }

  /** Let go of the microphone; resolves when the last packet was handed over. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    await this.#flushed();
    this.#node.port.onmessage = null; // a processor that answers late is not heard any more
    this.#release();
    await this.#context.close();
  }

  /** @returns {Promise<void>} */
  #flushed() {
    if (this.#context.state !== "running") return Promise.resolve();
    return new Promise((resolve) => {
      setTimeout(resolve, FLUSH_MILLISECONDS);
      this.#node.port.onmessage = ({ data }) => {
        if (data.last) resolve();
        else this.onpacket(data);
      };
      this.#node.port.postMessage("flush");
    });
  }

  #release() {
    this.#source.disconnect();
    this.#media.getTracks().forEach((track) => {
      track.onended = null;
      track.stop();
    });
  }

  /** @param {MediaStream} media */
  #connected(media) {
    const source = this.#context.createMediaStreamSource(media);
    source.connect(this.#node);
    media.getAudioTracks()[0].onended = () => this.onchange("unplugged");
    return source;
  }

  #stateChanged() {
    if (this.#closed) return;
    this.onchange(this.#context.state === "running" ? "running" : "paused");
  }
}

/**
 * The microphones that there are; names are empty until the microphone was allowed once.
 * @returns {Promise<{id: string, name: string}[]>}
 */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind }) => kind === "audioinput").map(({ deviceId, label }) => ({ id: deviceId, name: label }));
}

/** @param {MicrophoneOptions} options */
async function requested({ device, cleaning }) {
  if (!navigator.mediaDevices?.getUserMedia) throw new PlainError("insecure_page");
  const audio = {
    channelCount: { ideal: 1 },
    echoCancellation: cleaning,
    noiseSuppression: cleaning,
    autoGainControl: true,
    ...(device ? { deviceId: { exact: device } } : {}),
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new PlainError(REFUSALS[/** @type {DOMException} */ (error).name] ?? "microphone_failed", String(error));
  }
}

/** @type {Readonly<Record<string, string>>} */
const REFUSALS = Object.freeze({
  NotAllowedError: "microphone_denied",
  SecurityError: "microphone_denied",
  NotFoundError: "no_microphone",
  OverconstrainedError: "microphone_gone",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
});
