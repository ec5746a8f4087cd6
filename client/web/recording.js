/**
 * From Start to Stop: something that sounds, the stream to the server, and what came of it.
 *
 * @typedef {import("./javascript/index.js").StreamEvent} StreamEvent
 * @typedef {import("./javascript/index.js").MicrophoneOptions} MicrophoneOptions
 * @typedef {import("./sources.js").Source} Source
 * @typedef {"opening" | "reading" | "connecting" | "listening" | "waiting" | "finishing"} Phase
 * @typedef {object} RecordingOptions
 * @property {() => Promise<Source>} open asks for what is listened to
 * @property {URL} base address of the page
 * @property {string} key
 * @property {string} model
 * @property {string} language
 * @property {Record<string, number>} hotwords
 * @typedef {object} RecordingListener
 * @property {(phase: Phase, reason?: unknown) => void} phase
 * @property {(event: StreamEvent) => void} event
 * @property {(level: number) => void} level
 * @property {(full: boolean) => void} full whether no more audio can be kept
 * @property {(change: "ended" | "paused" | "no_output" | "running") => void} source
 */

import { LiveAudio, SpeechStream } from "./javascript/index.js";
import { CaptureClock } from "./latency.js";

/** A file can wait; what is kept of it need only bridge a drop. */
const FILE_HELD_SECONDS = 60;

export class Recording {
  #options;
  #listener;
  /** @type {Source | null} */
  #source = null;
  /** @type {SpeechStream | null} */
  #stream = null;
  /** @type {CaptureClock | null} */
  #clock = null;
  #isFull = false;
  #stopping = false;
  /** @type {() => void} */
  #giveUp = () => {};

  /**
   * @param {RecordingOptions} options
   * @param {RecordingListener} listener
   */
  constructor(options, listener) {
    this.#options = options;
    this.#listener = listener;
  }

  /** Record until `stop` was called and all words have come. Throws what went wrong. */
  async run() {
    const givenUp = new Promise((resolve) => (this.#giveUp = () => resolve(undefined)));
    try {
      await Promise.race([this.#record(), givenUp]);
    } finally {
      this.#stopping = true;
      this.#stream?.close();
      await this.#source?.close();
    }
  }

  async #record() {
    this.#listener.phase("opening");
    const source = await this.#options.open();
    this.#source = source;
    if (this.#stopping) return source.close();
    this.#stream = this.#opened(source);
    if (source instanceof LiveAudio) this.#hear(source);
    for await (const event of this.#stream) this.#listener.event(event);
  }

  /** @param {Source} source */
  #opened(source) {
    const { base, open: _, ...options } = this.#options;
    const live = source instanceof LiveAudio;
    return new SpeechStream(base, {
      ...options,
      ...(live ? { sampleRate: source.sampleRate } : { source, heldSeconds: FILE_HELD_SECONDS }),
      patienceSeconds: Infinity,
      onstate: (state, reason) => this.#stateChanged(state, reason),
    });
  }

  /** @param {LiveAudio} source */
  #hear(source) {
    this.#clock = new CaptureClock(source.sampleRate);
    source.onpacket = (packet) => this.#take(packet);
    source.onchange = (change) => this.#sourceChanged(change);
    source.begin().catch(() => this.#listener.source("paused"));
  }

  /** No more audio; the words that are still to come do come. A second call gives them up. */
  async stop() {
    if (this.#stopping || !this.#stream) return this.#giveUp();
    this.#stopping = true;
    this.#listener.phase("finishing");
    await this.#source?.close();
    await this.#stream.finish();
  }

  /** @param {Record<string, number>} hotwords from here on */
  setHotwords(hotwords) {
    if (!this.#stopping) this.#stream?.update({ hotwords });
  }

  /** @param {MicrophoneOptions} microphone from here on */
  async setMicrophone(microphone) {
    if (!this.#stopping && this.hearsMicrophone) await /** @type {LiveAudio} */ (this.#source).change(microphone);
  }

  get hearsMicrophone() {
    return this.#source instanceof LiveAudio && this.#source.isMicrophone;
  }

  /** Go on after the browser has paused the audio. */
  async wake() {
    if (this.#source instanceof LiveAudio) await this.#source.wake();
  }

  get sourceName() {
    return this.#source?.name ?? "";
  }

  /** How much of a file was heard, from 0 to 1; null while nobody knows how much there will be. */
  get progress() {
    const duration = this.#source instanceof LiveAudio ? 0 : (this.#source?.duration ?? 0);
    return duration ? Math.min(1, (this.seconds - this.unsentSeconds) / duration) : null;
  }

  /** Seconds since the recording began, with those that were missed. */
  get seconds() {
    return this.#stream ? this.#stream.position + this.#stream.missedSeconds : 0;
  }

  /** Seconds of audio that the server has not been sent. */
  get unsentSeconds() {
    return this.#stream?.unsentSeconds ?? 0;
  }

  /**
   * How many milliseconds ago a time of the recording was heard; NaN where it was not heard live.
   * @param {number} seconds
   */
  age(seconds) {
    if (!this.#clock || !this.#stream) return NaN;
    return performance.now() - this.#clock.at(seconds * this.#stream.sampleRate);
  }

  /**
   * @param {"connecting" | "connected" | "waiting"} state
   * @param {unknown} reason
   */
  #stateChanged(state, reason) {
    /** @type {Readonly<Record<string, Phase>>} */
    const phases = { connecting: "connecting", connected: "listening", waiting: "waiting" };
    const live = this.#source instanceof LiveAudio;
    if (state === "connected" && this.#stopping) this.#listener.phase("finishing");
    else this.#listener.phase(state === "connected" && !live ? "reading" : phases[state], reason);
  }

  /** @param {import("./javascript/index.js").Packet} packet */
  #take({ samples, level }) {
    const stream = /** @type {SpeechStream} */ (this.#stream);
    this.#listener.level(level);
    const wasFull = stream.isFull;
    if (stream.offer(samples)) {
      // After a gap the clock of the samples stands at another time.
      if (wasFull) this.#clock = new CaptureClock(stream.sampleRate);
      this.#clock?.heard(stream.position * stream.sampleRate, performance.now());
    }
    if (stream.isFull !== this.#isFull) this.#listener.full((this.#isFull = stream.isFull));
  }

  /** @param {"ended" | "paused" | "no_output" | "running"} change */
  #sourceChanged(change) {
    this.#listener.source(change);
    if (change === "ended") this.stop();
  }
}
