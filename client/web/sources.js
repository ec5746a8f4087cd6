/**
 * What the page can listen to.
 *
 * @typedef {import("./javascript/index.js").LiveAudio} LiveAudio
 * @typedef {LiveAudio | RecordedFile} Source
 * @typedef {"microphone" | "tab" | "file"} Kind
 */

import { StreamError } from "./javascript/index.js";

/** Browsers decode a file as a whole: an hour of it is 230 MB then. */
const MOST_BYTES = 1 << 29;
const RATE = 16_000;
const PIECE_SECONDS = 0.5;

/** A recording that the browser has decoded: mono at 16 kHz. */
export class RecordedFile {
  #samples;
  #closed = false;

  /**
   * @param {string} name
   * @param {Float32Array} samples
   */
  constructor(name, samples) {
    this.name = name;
    this.#samples = samples;
  }

  /**
   * Throws a StreamError where the browser finds no sound that it can play.
   * @param {File} file
   */
  static async open(file) {
    if (file.size > MOST_BYTES) throw new StreamError("file_too_big", file.name);
    const context = new OfflineAudioContext(1, 1, RATE);
    let decoded;
    try {
      decoded = await context.decodeAudioData(await file.arrayBuffer());
    } catch (error) {
      throw new StreamError("file_unreadable", file.name);
    }
    return new RecordedFile(file.name, mixed(decoded));
  }

  get sampleRate() {
    return RATE;
  }

  /** Seconds. */
  get duration() {
    return this.#samples.length / RATE;
  }

  /** Pieces from the beginning on, until `close`. */
  async *[Symbol.asyncIterator]() {
    const size = RATE * PIECE_SECONDS;
    for (let at = 0; at < this.#samples.length && !this.#closed; at += size) yield this.#samples.subarray(at, at + size);
  }

  /** No more pieces. */
  async close() {
    this.#closed = true;
  }
}

/**
 * One channel out of all; of two that cancel each other, the first.
 * @param {AudioBuffer} decoded
 */
function mixed(decoded) {
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, index) => decoded.getChannelData(index));
  if (channels.length === 1) return channels[0];
  const mix = new Float32Array(channels[0].length);
  for (const channel of channels) for (let index = 0; index < mix.length; index++) mix[index] += channel[index];
  for (let index = 0; index < mix.length; index++) mix[index] /= channels.length;
  return power(mix) < 0.1 * power(channels[0]) ? channels[0] : mix;
}

/** @param {Float32Array} samples */
function power(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return sum;
}
