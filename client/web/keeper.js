/**
 * Keeps the transcript of this tab over a reload: one entry per line, so that a long one costs no more than a short one.
 *
 * @typedef {import("./transcript.js").Transcript} Transcript
 * @typedef {import("./transcript.js").Utterance} Utterance
 */

const LINE = "captions-line-";
const CLOCK = "captions-clock";

export class Keeper {
  #storage;
  /** @type {Map<number, Utterance>} */
  #kept = new Map();

  /** @param {Storage | null} storage null keeps nothing */
  constructor(storage) {
    this.#storage = storage;
  }

  /**
   * What was kept, as the beginning of a transcript, and the time on the page's clock.
   * @returns {{utterances: Utterance[], next: number, seconds: number}}
   */
  restore() {
    const names = this.#storage ? Object.keys(this.#storage).filter((name) => name.startsWith(LINE)) : [];
    const utterances = names.map((name) => this.#read(name)).filter((line) => line !== null);
    utterances.sort((a, b) => a.id - b.id);
    this.#kept = new Map(utterances.map((utterance) => [utterance.id, utterance]));
    const last = utterances.at(-1);
    const seconds = Math.max(last?.end ?? 0, Number(this.#storage?.getItem(CLOCK) ?? 0));
    return { utterances, next: (last?.id ?? -1) + 1, seconds };
  }

  /**
   * False where the browser has no more room.
   * @param {readonly Utterance[]} utterances
   * @param {number} seconds on the page's clock
   */
  keep(utterances, seconds) {
    if (!this.#storage) return true;
    const now = new Map(utterances.map((utterance) => [utterance.id, utterance]));
    for (const id of this.#kept.keys()) if (!now.has(id)) this.#storage.removeItem(LINE + id);
    try {
      for (const [id, utterance] of now) {
        if (this.#kept.get(id) !== utterance) this.#storage.setItem(LINE + id, JSON.stringify(utterance));
      }
      this.#storage.setItem(CLOCK, utterances.length ? String(seconds) : "0");
      return true;
    } catch (error) {
      console.info("the transcript is not kept over a reload:", String(error));
      return false;
    } finally {
      this.#kept = now;
    }
  }

  /**
   * @param {string} name
   * @returns {Utterance | null}
   */
  #read(name) {
    try {
      const line = JSON.parse(this.#storage?.getItem(name) ?? "");
      const right = Number.isInteger(line.id) && typeof line.text === "string" && Array.isArray(line.words);
      return right && line.start <= line.end ? line : null;
    } catch {
      return null; // something else has written here
    }
  }
}

/** The storage of this tab, where the browser has one for the page. */
export function tabStorage() {
  try {
    return sessionStorage;
  } catch (error) {
    console.info("nothing is kept over a reload:", String(error));
    return null;
  }
}
