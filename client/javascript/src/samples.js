/** Samples as the wire has them: 16 bits, one channel. */

/** Takes samples in any of the usual forms; bytes may be cut anywhere. */
export class SampleReader {
  /** @type {number | null} the first half of a sample whose second half has not come yet */
  #half = null;

  /**
   * @param {Int16Array | Float32Array | Uint8Array} piece 16-bit samples, samples from -1 to 1, or little-endian bytes
   *   of 16-bit samples
   * @returns {Int16Array}
   */
  read(piece) {
    if (piece instanceof Int16Array) return piece;
    if (piece instanceof Float32Array) return Int16Array.from(piece, toInt16);
    if (piece instanceof Uint8Array) return this.#fromBytes(piece);
    throw new TypeError(`samples are ${Object.prototype.toString.call(piece)}; they must be an Int16Array, a Float32Array or bytes`);
  }

  /** @param {Uint8Array} bytes */
  #fromBytes(bytes) {
    const whole = new Uint8Array(bytes.length + (this.#half === null ? 0 : 1));
    if (this.#half !== null) whole[0] = this.#half;
    whole.set(bytes, whole.length - bytes.length);
    this.#half = whole.length % 2 ? whole[whole.length - 1] : null;
    const view = new DataView(whole.buffer);
    return Int16Array.from({ length: whole.length >> 1 }, (_, index) => view.getInt16(2 * index, true));
  }
}

/** @param {number} value from -1 to 1; what is no number is silence */
function toInt16(value) {
  return Math.max(-32768, Math.min(32767, Math.round(value * 32768))) || 0;
}
