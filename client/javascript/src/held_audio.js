/** Audio that may have to be sent again, addressed by its position in the stream; bounded. */
export class HeldAudio {
  #capacity;
  /** @type {{start: number, samples: Int16Array}[]} in order, without gaps */
  #packets = [];
  /** Position of the first sample that is held. */
  start = 0;
  /** Position after the last sample. */
  end = 0;

  /** @param {number} capacity samples */
  constructor(capacity) {
    this.#capacity = capacity;
  }

  get capacity() {
    return this.#capacity;
  }

  /** @param {number} samples */
  hasRoom(samples) {
    return this.end - this.start + samples <= this.#capacity;
  }

  /**
   * False if there is no room, and then nothing was taken.
   * @param {Int16Array} samples
   */
  append(samples) {
    if (!this.hasRoom(samples.length)) return false;
    if (samples.length) this.#packets.push({ start: this.end, samples });
    this.end += samples.length;
    return true;
  }

  /**
   * A copy of the samples from one position to another; both must be held.
   * @param {number} from
   * @param {number} to
   */
  read(from, to) {
    const result = new Int16Array(to - from);
    for (let index = this.#indexOf(from); index < this.#packets.length; index++) {
      const { start, samples } = this.#packets[index];
      if (start >= to) break;
      const first = Math.max(from, start);
      result.set(samples.subarray(first - start, Math.min(to - start, samples.length)), first - from);
    }
    return result;
  }

  /**
   * Forget what lies before a position.
   * @param {number} position
   */
  dropBefore(position) {
    const kept = Math.min(Math.max(position, this.start), this.end);
    const index = kept === this.end ? this.#packets.length : this.#indexOf(kept);
    this.#packets.splice(0, index);
    this.start = kept;
  }

  /**
   * Which packet holds a position: a binary search.
   * @param {number} position
   */
  #indexOf(position) {
    let [low, high] = [0, this.#packets.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#packets[middle].start <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
