/**
 * Puts the transcript on the page: finals as a list with times, the utterance in progress below it.
 *
 * @typedef {import("./transcript.js").Transcript} Transcript
 * @typedef {import("./transcript.js").Utterance} Utterance
 * @typedef {{sentences: boolean, english: boolean}} Lettering
 */

import { clockText, element } from "./dom.js";
import { Follower } from "./follow.js";
import { asSentence, liveAsSentence } from "./lettering.js";

/** A screen reader has read these by the time that more have come. */
const ANNOUNCED = 5;
/** Captions over a picture leave it when nobody speaks. */
const STALE_MILLISECONDS = 6000;

export class Captions {
  #empty = element("empty", HTMLElement);
  #list = element("utterances", HTMLOListElement);
  #live = element("live", HTMLElement);
  #liveTime = element("live-time", HTMLTimeElement);
  #committed = element("committed", HTMLElement);
  #tail = element("tail", HTMLElement);
  #announcer = element("announcer", HTMLElement);
  #follower = new Follower(element("page", HTMLElement), element("latest", HTMLButtonElement));
  /** @type {readonly Utterance[]} */
  #shown = [];
  #lettering = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #stale;

  /**
   * @param {Transcript} transcript
   * @param {Lettering} lettering
   */
  show(transcript, lettering) {
    this.#showFinals(transcript.utterances, lettering);
    this.#showLive(transcript.live, lettering);
    this.#empty.hidden = transcript.utterances.length > 0 || transcript.live !== null;
    this.#follower.update();
    this.#keepFresh();
  }

  /**
   * Tell a screen reader; only finals are told, as they do not change any more.
   * @param {string} text
   */
  announce(text) {
    const line = document.createElement("p");
    line.textContent = text;
    this.#announcer.append(line);
    while (this.#announcer.childElementCount > ANNOUNCED) this.#announcer.firstElementChild?.remove();
  }

  /**
   * @param {readonly Utterance[]} utterances
   * @param {Lettering} lettering
   */
  #showFinals(utterances, lettering) {
    const key = JSON.stringify(lettering);
    const grown = key === this.#lettering && this.#shown.every((shown, index) => shown === utterances[index]);
    const fresh = grown ? utterances.slice(this.#shown.length) : utterances;
    const items = fresh.map((utterance) => item(lettering.sentences ? asSentence(utterance, lettering.english) : utterance));
    if (grown) this.#list.append(...items);
    else this.#list.replaceChildren(...items);
    this.#shown = utterances;
    this.#lettering = key;
  }

  /**
   * @param {import("./transcript.js").Live | null} live
   * @param {Lettering} lettering
   */
  #showLive(live, { sentences, english }) {
    const { committed, tail } = live && sentences ? liveAsSentence(live, english) : (live ?? { committed: "", tail: "" });
    this.#live.hidden = live === null;
    this.#live.classList.toggle("wordless", !committed && !tail);
    this.#liveTime.textContent = live ? clockText(live.start) : "";
    this.#committed.textContent = committed;
    this.#tail.textContent = committed && tail ? ` ${tail}` : tail;
  }

  #keepFresh() {
    const { dataset } = document.body;
    clearTimeout(this.#stale);
    delete dataset.stale;
    this.#stale = setTimeout(() => (dataset.stale = "true"), STALE_MILLISECONDS);
  }
}

/** @param {Utterance} utterance */
function item({ text, start }) {
  const [line, time, words] = [document.createElement("li"), document.createElement("time"), document.createElement("span")];
  time.textContent = clockText(start);
  time.dateTime = `PT${start.toFixed(1)}S`;
  words.textContent = text;
  line.append(time, words);
  return line;
}
