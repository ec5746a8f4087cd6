/** When the samples of a recording were heard, on the page's clock of milliseconds; it follows drift and pauses. */
export class CaptureClock {
  #sampleRate;
  #offset = NaN;

  /** @param {number} sampleRate */
  constructor(sampleRate) {
    this.#sampleRate = sampleRate;
  }

  /**
   * A packet that ends at this sample has come now.
   *
   * A packet can be late but never early: the smallest difference between the clocks is the true one. It may grow by
   * a thousandth of the time, as the two clocks never run quite alike; after a pause of the audio it is found anew.
   * @param {number} position
   * @param {number} now
   */
  heard(position, now) {
    const difference = now - this.#milliseconds(position);
    const paused = !(Math.abs(difference - this.#offset) < 1000);
    this.#offset = paused ? difference : Math.min(difference, this.#offset + 0.03);
  }

  /**
   * When this sample was heard.
   * @param {number} position
   */
  at(position) {
    return this.#offset + this.#milliseconds(position);
  }

  /** @param {number} position */
  #milliseconds(position) {
    return (position / this.#sampleRate) * 1000;
  }
}

/** The median of the last few values. */
export class RecentMedian {
  #size;
  /** @type {number[]} */
  #values = [];

  constructor(size = 15) {
    this.#size = size;
  }

  /** @param {number} value */
  push(value) {
    this.#values = [...this.#values, value].slice(-this.#size);
  }

  get value() {
    const sorted = [...this.#values].sort((a, b) => a - b);
    return sorted.length ? sorted[sorted.length >> 1] : null;
  }
}
