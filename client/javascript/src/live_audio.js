/**
 * Sound as it happens, as packets of samples: the microphone, or what a tab or the system plays.
 *
 * @typedef {{samples: Int16Array, level: number}} Packet `level` is the root mean square, from 0 to 1
 * @typedef {{device?: string, cleaning?: boolean}} MicrophoneOptions `device` is an id, or empty for the browser's
 *   choice; `cleaning` lets the browser remove echo and noise
 * @typedef {"ended" | "paused" | "no_output" | "running"} Change
 */

import { StreamError } from "./errors.js";

const PACKET_SECONDS = 0.03;
/** The browser renders audio in blocks of so many samples; packets are whole blocks. */
const BLOCK = 128;
const PATIENCE_MILLISECONDS = 1500;
/** An audio thread that was stopped just now does not answer any more. */
const FLUSH_MILLISECONDS = 2000;
/** The rate of nearly all microphones. */
const USUAL_RATE = 48_000;

/** @param {number} sampleRate */
export function packetSamples(sampleRate) {
  return Math.max(1, Math.round((sampleRate * PACKET_SECONDS) / BLOCK)) * BLOCK;
}

/** @type {Promise<AudioContext> | null} a context that has its processor already */
let prepared = null;

/**
 * Load what listening needs while there is a network, so that `openMicrophone` works without one.
 * @returns {Promise<boolean>} whether that was possible
 */
export async function prepareListening() {
  try {
    prepared ??= loadedContext(USUAL_RATE);
    await prepared;
    return true;
  } catch (error) {
    prepared = null;
    console.info("the audio processor is loaded later:", String(error));
    return false;
  }
}

/**
 * Ask for the microphone. Throws a StreamError where there is none.
 * @param {MicrophoneOptions} [options]
 * @returns {Promise<LiveAudio>}
 */
export async function openMicrophone(options = {}) {
  return opened(await requestedMicrophone(options), true);
}

/**
 * Ask for the sound of a tab or of the whole system; the person chooses which. Throws a StreamError where there is none.
 * @returns {Promise<LiveAudio>}
 */
export async function openTabAudio() {
  return opened(await requestedTab(), false);
}

/** Whether this browser can be asked for the sound of a tab. */
export function hasTabAudio() {
  return typeof globalThis.navigator?.mediaDevices?.getDisplayMedia === "function";
}

/** Packets wait until `begin`. */
export class LiveAudio {
  #context;
  #node;
  /** @type {MediaStream} */
  #media;
  /** @type {MediaStreamAudioSourceNode} */
  #source;
  #closed = false;
  #hasRun = false;
  /** @type {(packet: Packet) => void} */
  onpacket = () => {};
  /** @type {(change: Change) => void} */
  onchange = () => {};

  /**
   * @param {AudioContext} context
   * @param {MediaStream} media
   * @param {boolean} isMicrophone
   */
  constructor(context, media, isMicrophone) {
    this.isMicrophone = isMicrophone;
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

  /** The name of the microphone or tab, as the browser tells it. */
  get name() {
    return this.#media.getAudioTracks()[0].label;
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
    const media = await requestedMicrophone(options);
    if (this.#closed) return stopTracks(media);
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
    this.#context.onstatechange = null;
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
    stopTracks(this.#media);
  }

  /** @param {MediaStream} media */
  #connected(media) {
    const source = this.#context.createMediaStreamSource(media);
    source.connect(this.#node);
    media.getAudioTracks()[0].onended = () => this.onchange("ended");
    return source;
  }

  #stateChanged() {
    if (this.#closed) return;
    const running = this.#context.state === "running";
    this.#hasRun ||= running;
    if (running) this.onchange("running");
    // Firefox runs no audio where it finds no output device, not even towards none; a touch does not help then.
    else this.onchange(!this.#hasRun && navigator.userActivation?.hasBeenActive ? "no_output" : "paused");
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

/**
 * @param {MediaStream} media
 * @param {boolean} isMicrophone
 */
async function opened(media, isMicrophone) {
  const rate = media.getAudioTracks()[0].getSettings().sampleRate ?? USUAL_RATE;
  try {
    return listening(await contextFor(rate), media, isMicrophone) ?? new LiveAudio(await loadedContext(), media, isMicrophone);
  } catch (error) {
    stopTracks(media);
    throw error;
  }
}

/**
 * Null where the context cannot hear this device: older Firefoxes do not resample, and do not tell a device's rate.
 * @param {AudioContext} context
 * @param {MediaStream} media
 * @param {boolean} isMicrophone
 */
function listening(context, media, isMicrophone) {
  try {
    return new LiveAudio(context, media, isMicrophone);
  } catch (error) {
    context.close();
    if (/** @type {DOMException} */ (error).name !== "NotSupportedError") throw error;
    return null;
  }
}

/**
 * A context at the rate of the device; where that one's processor cannot be loaded, the one that was prepared has to do.
 * @param {number} rate
 */
async function contextFor(rate) {
  await prepareListening();
  const usual = await prepared;
  if (usual?.sampleRate === rate) {
    prepared = null;
    prepareListening(); // for the next time
    return usual;
  }
  try {
    return await loadedContext(rate);
  } catch (error) {
    if (!usual) throw new StreamError("unreachable", String(error));
    prepared = null;
    return usual;
  }
}

/** @param {number} [sampleRate] the output device's, if it is not given */
async function loadedContext(sampleRate) {
  const context = new AudioContext({ latencyHint: "interactive", ...(sampleRate ? { sampleRate } : {}) });
  try {
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    return context;
  } catch (error) {
    await context.close();
    throw error;
  }
}

/** @param {MicrophoneOptions} options */
async function requestedMicrophone({ device = "", cleaning = false }) {
  if (!navigator.mediaDevices?.getUserMedia) throw new StreamError("insecure_page");
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
    throw new StreamError(REFUSALS[/** @type {DOMException} */ (error).name] ?? "microphone_failed", String(error));
  }
}

async function requestedTab() {
  if (!hasTabAudio()) throw new StreamError("tab_unsupported");
  // A person who watches the tab still wants to hear it, and its sound is no voice that an echo could come back to.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, suppressLocalAudioPlayback: false };
  const options = { video: true, audio, systemAudio: "include", windowAudio: "system", selfBrowserSurface: "exclude" };
  let media;
  try {
    media = await navigator.mediaDevices.getDisplayMedia(options);
  } catch (error) {
    const { name } = /** @type {DOMException} */ (error);
    throw new StreamError(name === "NotAllowedError" ? "tab_denied" : "tab_unsupported", String(error));
  }
  if (media.getAudioTracks().length) return soundOf(media);
  stopTracks(media);
  throw new StreamError("tab_silent");
}

/**
 * Without the picture: nobody looks at it, and drawing it costs. Some browsers end the sound with it, so that it is only
 * made small there.
 * @param {MediaStream} media
 */
function soundOf(media) {
  for (const track of media.getVideoTracks()) {
    track.enabled = false;
    track.onended = () => media.getAudioTracks()[0].dispatchEvent(new Event("ended"));
  }
  return media;
}

/** @param {MediaStream} media */
function stopTracks(media) {
  media.getTracks().forEach((track) => {
    track.onended = null;
    track.stop();
  });
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
