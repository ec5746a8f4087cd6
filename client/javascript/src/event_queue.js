/**
 * Events between a connection and the loop that reads them: bounded, and a partial gives way to a newer one.
 *
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 * @typedef {{resolve: (result: IteratorResult<StreamEvent, undefined>) => void, reject: (error: unknown) => void}} Waiting
 */

import { StreamError } from "./errors.js";

/** A loop that has so much before it does not read at all. */
const MOST_EVENTS = 10_000;

export class EventQueue {
  /** @type {StreamEvent[]} */
  #events = [];
  /** @type {Waiting | null} */
  #waiting = null;
  #ended = false;
  /** @type {unknown} */
  #error = null;

  /**
   * Throws a StreamError when too many wait.
   * @param {StreamEvent} event
   */
  put(event) {
    if (this.#ended) return;
    if (this.#waiting) return this.#answer({ value: event, done: false });
    const last = this.#events.at(-1);
    if (last?.type === "partial" && event.type === "partial" && last.utterance === event.utterance) this.#events.pop();
    if (this.#events.length >= MOST_EVENTS) throw new StreamError("unread");
    this.#events.push(event);
  }

  /** No more events; those that wait can still be read. */
  end() {
    this.#ended = true;
    if (this.#waiting) this.#answer({ value: undefined, done: true });
  }

  /**
   * As `end`, and then the loop throws.
   * @param {unknown} error
   */
  fail(error) {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#waiting) this.#take().reject(error);
    else this.#error = error;
  }

  /** @returns {Promise<IteratorResult<StreamEvent, undefined>>} */
  next() {
    const event = this.#events.shift();
    if (event) return Promise.resolve({ value: event, done: false });
    if (this.#error !== null) return Promise.reject(this.#thrown());
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    if (this.#waiting) throw new TypeError("the stream is being read already; one loop reads it");
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  }

  #thrown() {
    const error = this.#error;
    this.#error = null;
    return error;
  }

  /** @param {IteratorResult<StreamEvent, undefined>} result */
  #answer(result) {
    this.#take().resolve(result);
  }

  #take() {
    const waiting = /** @type {Waiting} */ (this.#waiting);
    this.#waiting = null;
    return waiting;
  }
}
