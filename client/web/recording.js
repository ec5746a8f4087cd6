/**
 * From Start to Stop: the microphone, the stream and its connection as one.
 *
 * @typedef {import("./protocol.js").Message} Message
 * @typedef {import("./microphone.js").MicrophoneOptions} MicrophoneOptions
 * @typedef {"opening" | "connecting" | "listening" | "waiting" | "finishing"} Phase
 * @typedef {object} RecordingOptions
 * @property {URL} base address of the page
 * @property {string} key
 * @property {string} language
 * @property {Record<string, number>} hotwords
 * @property {MicrophoneOptions} microphone
 * @property {number} [heldSeconds]
 * @typedef {object} RecordingListener
 * @property {(phase: Phase, reason?: unknown) => void} phase
 * @property {(message: Message) => void} message
 * @property {(level: number) => void} level
 * @property {(gap: {at: number, seconds: number}) => void} gap so much audio was not heard
 * @property {(full: boolean) => void} full whether no more audio can be kept
 * @property {(reason: "unplugged" | "paused" | "running") => void} microphone
 */

import { Connection } from "./connection.js";
import { CaptureClock } from "./latency.js";
import { Microphone } from "./microphone.js";
import { ClientStream } from "./protocol.js";

/** Audio that is kept while the server does not acknowledge it: five minutes are 29 MB at 48 kHz. */
export const HELD_SECONDS = 300;

export class Recording {
  #options;
  #listener;
  /** @type {Microphone | null} */
  #microphone = null;
  /** @type {ClientStream | null} */
  #stream = null;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {CaptureClock | null} */
  #clock = null;
  #missed = 0;
  #missedInAll = 0;
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
      this.#connection?.abandon();
      await this.#microphone?.close();
    }
  }

  async #record() {
    this.#listener.phase("opening");
    const microphone = await Microphone.open(this.#options.microphone);
    this.#microphone = microphone;
    if (this.#stopping) return microphone.close();
    const { sampleRate } = microphone;
    this.#clock = new CaptureClock(sampleRate);
    this.#stream = new ClientStream(this.#start(sampleRate), (this.#options.heldSeconds ?? HELD_SECONDS) * sampleRate);
    this.#connection = this.#connect(this.#stream);
    microphone.onpacket = (packet) => this.#take(packet);
    microphone.onchange = (reason) => this.#microphoneChanged(reason);
    microphone.begin().catch(() => this.#listener.microphone("paused"));
    await this.#connection.run();
  }

  /** No more audio; the words that are still to come do come. A second call gives them up. */
  async stop() {
    if (this.#stopping || !this.#stream) return this.#giveUp();
    this.#stopping = true;
    this.#listener.phase("finishing");
    await this.#microphone?.close();
    this.#closeGap();
    this.#stream.finish();
    this.#connection?.pump();
  }

  /** @param {Record<string, number>} hotwords from here on */
  setHotwords(hotwords) {
    if (this.#stopping) return;
    this.#stream?.update({ hotwords });
    this.#connection?.pump();
  }

  /** @param {MicrophoneOptions} microphone from here on */
  async setMicrophone(microphone) {
    if (!this.#stopping) await this.#microphone?.change(microphone);
  }

  /** Go on after the browser has paused the microphone. */
  async wake() {
    await this.#microphone?.wake();
  }

  get microphoneName() {
    return this.#microphone?.name ?? "";
  }

  /** Seconds since the recording began, with those that were missed. */
  get seconds() {
    if (!this.#stream || !this.#microphone) return 0;
    return (this.#stream.position + this.#missed + this.#missedInAll) / this.#microphone.sampleRate;
  }

  /** Seconds of audio that the server has not been sent. */
  get unsentSeconds() {
    if (!this.#stream || !this.#microphone) return 0;
    const waiting = (this.#connection?.bufferedBytes ?? 0) / Int16Array.BYTES_PER_ELEMENT;
    return (this.#stream.unsentSamples + waiting) / this.#microphone.sampleRate;
  }

  /**
   * How many milliseconds ago a time of the recording was heard.
   * @param {number} seconds
   */
  age(seconds) {
    if (!this.#clock || !this.#microphone) return NaN;
    return performance.now() - this.#clock.at(seconds * this.#microphone.sampleRate);
  }

  /** @param {number} sampleRate */
  #start(sampleRate) {
    const { language, hotwords } = this.#options;
    return {
      type: "start",
      encoding: "linear16",
      sample_rate: sampleRate,
      channels: 1,
      ...(language ? { language } : {}),
      hotwords,
    };
  }

  /** @param {ClientStream} stream */
  #connect(stream) {
    const { base, key } = this.#options;
    return new Connection(stream, {
      base,
      key,
      listener: {
        heard: (messages) => messages.forEach((message) => this.#listener.message(message)),
        changed: (state, reason) => this.#connectionChanged(state, reason),
      },
    });
  }

  /**
   * @param {"connecting" | "connected" | "waiting"} state
   * @param {unknown} reason
   */
  #connectionChanged(state, reason) {
    /** @type {Readonly<Record<string, Phase>>} */
    const phases = { connecting: "connecting", connected: "listening", waiting: "waiting" };
    if (state === "connected" && this.#stopping) this.#listener.phase("finishing");
    else this.#listener.phase(phases[state], reason);
  }

  /** @param {import("./microphone.js").Packet} packet */
  #take({ samples, level }) {
    const stream = /** @type {ClientStream} */ (this.#stream);
    this.#listener.level(level);
    if (this.#missed && stream.hasRoom(samples.length)) this.#closeGap();
    if (stream.audio(samples)) this.#clock?.heard(stream.position, performance.now());
    else this.#miss(samples.length);
    this.#connection?.pump();
  }

  /**
   * There is no room: what was said before the gap must not run into what is said after it.
   * @param {number} samples
   */
  #miss(samples) {
    if (this.#missed === 0) {
      this.#stream?.finalize();
      this.#listener.full(true);
    }
    this.#missed += samples;
  }

  #closeGap() {
    if (this.#missed === 0 || !this.#stream || !this.#microphone) return;
    const { sampleRate } = this.#microphone;
    this.#listener.gap({ at: this.#stream.position / sampleRate, seconds: this.#missed / sampleRate });
    this.#listener.full(false);
    this.#clock = new CaptureClock(sampleRate);
    this.#missedInAll += this.#missed;
    this.#missed = 0;
  }

  /** @param {"unplugged" | "paused" | "running"} reason */
  #microphoneChanged(reason) {
    this.#listener.microphone(reason);
    if (reason === "unplugged") this.stop();
  }
}
