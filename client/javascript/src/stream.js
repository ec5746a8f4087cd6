/**
 * One stream of audio to a server and its words back, whatever happens to the connection in between.
 *
 * @typedef {import("./index.js").StreamOptions} StreamOptions
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 * @typedef {import("./index.js").Started} Started
 * @typedef {import("./protocol.js").Message} Message
 */

import { baseOf } from "./address.js";
import { freshToken } from "./admission.js";
import { Connection } from "./connection.js";
import { StreamError } from "./errors.js";
import { EventQueue } from "./event_queue.js";
import { LiveAudio } from "./live_audio.js";
import { ClientStream } from "./protocol.js";
import { SampleReader } from "./samples.js";
import { websocketClass } from "./websocket.js";

/** Audio that is kept while the server does not acknowledge it: five minutes are 29 MB at 48 kHz. */
export const HELD_SECONDS = 300;
const FIRST_PATIENCE_SECONDS = 8;

/** Names on the wire of what goes into `start`. */
const START_FIELDS = Object.freeze({
  model: "model",
  language: "language",
  hotwords: "hotwords",
  endpoint: "endpoint",
  partials: "partials",
  partialIntervalMs: "partial_interval_ms",
  wordTimes: "word_times",
  alternatives: "alternatives",
  stability: "stability",
  formatted: "formatted",
});
const OTHER_OPTIONS = ["source", "sampleRate", "key", "token", "heldSeconds", "patienceSeconds", "giveUpSeconds"];
const OPTIONS = new Set([...Object.keys(START_FIELDS), ...OTHER_OPTIONS, "signal", "onstate", "WebSocket"]);

/**
 * Open a stream; resolves when the server has taken it, or rejects with a StreamError.
 * @param {string | URL} url
 * @param {StreamOptions} [options]
 */
export async function connect(url, options) {
  const stream = new SpeechStream(url, options);
  await stream.opened;
  return stream;
}

export class SpeechStream {
  #options;
  #sampleRate;
  #stream;
  #reader = new SampleReader();
  #queue = new EventQueue();
  /** @type {Connection | null} */
  #connection = null;
  /** @type {(started: Started) => void} */
  #resolveOpened = () => {};
  /** @type {(error: StreamError) => void} */
  #rejectOpened = () => {};
  /** @type {Promise<Started>} */
  #opened = new Promise((resolve, reject) => ([this.#resolveOpened, this.#rejectOpened] = [resolve, reject]));
  /** @type {StreamError | null} */
  #failure = null;
  #over = false;
  #missed = 0;
  #missedInAll = 0;
  /** @type {(() => void)[]} who waits for room */
  #waiting = [];
  /** @type {LiveAudio | null} the source, if it is one that never waits */
  #live = null;

  /**
   * Audio may be given at once; it is kept until there is a server.
   * @param {string | URL} url
   * @param {StreamOptions} [options]
   */
  constructor(url, options = {}) {
    for (const name of Object.keys(options)) {
      if (!OPTIONS.has(name)) throw new TypeError(`there is no option ${name}; there are ${[...OPTIONS].join(", ")}`);
    }
    this.#options = options;
    const sampleRate = options.sampleRate ?? options.source?.sampleRate;
    if (sampleRate === undefined || !(sampleRate >= 8000 && sampleRate <= 192_000)) {
      throw new RangeError(`sampleRate is ${sampleRate}; it must be from 8000 to 192000`);
    }
    this.#sampleRate = sampleRate;
    const capacity = Math.ceil((options.heldSeconds ?? HELD_SECONDS) * this.#sampleRate);
    this.#stream = new ClientStream(startOf(options, this.#sampleRate), capacity);
    this.#opened.catch(() => {}); // who does not ask need not hear of it here: the loop throws it as well
    this.#run(baseOf(url));
  }

  /** What the server answered first; rejects with a StreamError if there is no way to go on. */
  get opened() {
    return this.#opened;
  }

  /** Samples per second of the audio that is given. */
  get sampleRate() {
    return this.#sampleRate;
  }

  /** Seconds of audio that were taken. */
  get position() {
    return this.#stream.position / this.#sampleRate;
  }

  /** Seconds that were offered and could not be kept. */
  get missedSeconds() {
    return (this.#missedInAll + this.#missed) / this.#sampleRate;
  }

  /** Whether so much audio waits for the server that no more is taken. */
  get isFull() {
    return this.#missed > 0;
  }

  /** Seconds of audio that are still to be sent. */
  get unsentSeconds() {
    const waiting = (this.#connection?.bufferedBytes ?? 0) / Int16Array.BYTES_PER_ELEMENT;
    return (this.#stream.unsentSamples + waiting) / this.#sampleRate;
  }

  /**
   * Give audio; waits while too much waits for the server. Rejects with the StreamError that ended the stream.
   * @param {Int16Array | Float32Array | Uint8Array} piece
   */
  async send(piece) {
    const samples = this.#reader.read(piece);
    const size = Math.max(1, Math.min(this.#sampleRate, this.#stream.capacity));
    for (let at = 0; at < samples.length; at += size) await this.#sendWhenThereIsRoom(samples.subarray(at, at + size));
  }

  /** @param {Int16Array} samples */
  async #sendWhenThereIsRoom(samples) {
    this.#check();
    while (!this.#stream.audio(samples)) {
      await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
      this.#check();
    }
    this.#connection?.pump();
  }

  /**
   * Give audio that cannot wait, as a microphone's: where there is no room it is counted as missed, the utterance ends,
   * and a `missed` event comes when there is room again. Returns whether it was taken.
   * @param {Int16Array | Float32Array | Uint8Array} piece
   */
  offer(piece) {
    if (this.#over || this.#stream.finishing) return false;
    const samples = this.#reader.read(piece);
    if (this.#missed && this.#stream.hasRoom(samples.length)) this.#closeGap();
    const taken = this.#stream.audio(samples);
    if (!taken) this.#miss(samples.length);
    this.#connection?.pump();
    return taken;
  }

  /**
   * Change hotwords or endpoint rules from here on.
   * @param {{hotwords?: Record<string, number>, endpoint?: Record<string, number | null>}} change
   */
  update(change) {
    if (this.#over || this.#stream.finishing) return;
    this.#stream.update(change);
    this.#connection?.pump();
  }

  /** End the utterance here. */
  finalize() {
    if (this.#over || this.#stream.finishing) return;
    this.#stream.finalize();
    this.#connection?.pump();
  }

  /** No more audio; the words that are still to come do come. A microphone that is the source is let go of. */
  async finish() {
    await this.#live?.close();
    if (this.#over) return;
    this.#closeGap();
    this.#stream.finish();
    this.#connection?.pump();
  }

  /** Stop at once; what the server has not said yet is given up. */
  close() {
    this.#connection?.abandon();
    this.#end(new StreamError("closed"));
    this.#queue.end();
  }

  /** @returns {AsyncIterator<StreamEvent, undefined>} */
  [Symbol.asyncIterator]() {
    return {
      next: () => this.#queue.next(),
      return: async () => {
        this.close();
        return { value: undefined, done: true };
      },
    };
  }

  /** @param {URL} base */
  async #run(base) {
    const { signal, source } = this.#options;
    const stop = () => this.close();
    signal?.addEventListener("abort", stop);
    try {
      signal?.throwIfAborted();
      this.#connection = new Connection(this.#stream, await this.#connectionOptions(base));
      if (this.#over) return;
      if (source) this.#hear(source);
      await this.#connection.run();
      this.#end(new StreamError("closed"));
      this.#queue.end();
    } catch (error) {
      this.#fail(error);
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /**
   * @param {URL} base
   * @returns {Promise<import("./connection.js").ConnectionOptions>}
   */
  async #connectionOptions(base) {
    const { key = "", token, patienceSeconds, giveUpSeconds, onstate, WebSocket } = this.#options;
    return {
      base,
      token: token ?? (() => freshToken(base, key)),
      patienceSeconds: patienceSeconds ?? FIRST_PATIENCE_SECONDS,
      giveUpSeconds: giveUpSeconds ?? Infinity,
      WebSocket: WebSocket ?? (await websocketClass()),
      listener: {
        heard: (messages) => this.#heard(messages),
        changed: (state, reason) => onstate?.(state, reason),
      },
    };
  }

  /** @param {Message[]} messages */
  #heard(messages) {
    for (const message of messages) {
      if (message.type === "started") this.#resolveOpened(/** @type {Started} */ (message));
      this.#queue.put(/** @type {StreamEvent} */ (message));
    }
    this.#makeRoom();
  }

  /** The audio that was acknowledged has made room. */
  #makeRoom() {
    for (const goOn of this.#waiting.splice(0)) goOn();
  }

  /**
   * Take all audio of a source, then finish.
   * @param {NonNullable<StreamOptions["source"]>} source
   */
  async #hear(source) {
    if (source instanceof LiveAudio) return this.#hearLive(source);
    try {
      for await (const piece of /** @type {AsyncIterable<Int16Array>} */ (source)) await this.send(piece);
      await this.finish();
    } catch (error) {
      // Whoever has finished or closed the stream wants no more of the source.
      if (!this.#stream.finishing && error !== this.#failure) this.#fail(error);
    }
  }

  /** @param {LiveAudio} source */
  #hearLive(source) {
    this.#live = source;
    source.onpacket = ({ samples }) => this.offer(samples);
    source.onchange = (change) => change === "ended" && this.finish();
    source.begin().catch((error) => this.#fail(error));
  }

  #check() {
    if (this.#failure) throw this.#failure;
    if (this.#stream.finishing) throw new TypeError("the stream was finished; it takes no more audio");
  }

  /**
   * What was said before a gap must not run into what is said after it.
   * @param {number} samples
   */
  #miss(samples) {
    if (this.#missed === 0) this.#stream.finalize();
    this.#missed += samples;
  }

  #closeGap() {
    if (this.#missed === 0) return;
    this.#missedInAll += this.#missed;
    const seconds = this.#missed / this.#sampleRate;
    this.#missed = 0;
    this.#queue.put({ type: "missed", at: this.position, seconds });
  }

  /** @param {unknown} error */
  #fail(error) {
    const failure = error instanceof StreamError ? error : new StreamError("failed", String(error));
    if (!(error instanceof StreamError)) failure.cause = error;
    this.#connection?.abandon();
    this.#end(failure);
    this.#queue.fail(failure);
  }

  /** @param {StreamError} reason */
  #end(reason) {
    if (this.#over) return;
    this.#over = true;
    this.#failure = reason;
    this.#rejectOpened(reason);
    this.#makeRoom();
    this.#live?.close();
  }
}

/**
 * @param {StreamOptions} options
 * @param {number} sampleRate
 * @returns {Message}
 */
function startOf(options, sampleRate) {
  const chosen = Object.entries(START_FIELDS)
    .map(([name, field]) => [field, options[/** @type {keyof typeof START_FIELDS} */ (name)]])
    .filter(([, value]) => value !== undefined && value !== "");
  const audio = { type: "start", encoding: "linear16", sample_rate: sampleRate, channels: 1 };
  return { hotwords: {}, ...audio, ...Object.fromEntries(chosen) };
}
