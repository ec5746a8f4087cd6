/**
 * Puts the transcript on the page: finals as a list with times, the utterance in progress below it.
 *
 * @typedef {import("./transcript.js").Transcript} Transcript
 * @typedef {import("./transcript.js").Utterance} Utterance
 * @typedef {import("./lettering.js").Lettering} Lettering
 */

import { clockText, element, icon, timeOfDay } from "./dom.js";
import { Follower } from "./follow.js";
import { liveWorded, worded } from "./lettering.js";

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
    document.body.toggleAttribute("data-worded", transcript.utterances.length > 0 || this.#tail.textContent !== "");
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
   * Only what is new or has changed: a line that is read or edited stays the element that it is.
   * @param {readonly Utterance[]} utterances
   * @param {Lettering} lettering
   */
  #showFinals(utterances, lettering) {
    const key = JSON.stringify(lettering);
    const same = key === this.#lettering;
    if (same && utterances === this.#shown) return;
    const items = utterances.map((utterance, index) => {
      const there = this.#list.children[index];
      if (same && this.#shown[index] === utterance) return there;
      const line = item(worded(utterance, lettering));
      there ? there.replaceWith(line) : this.#list.append(line);
      return line;
    });
    while (this.#list.childElementCount > items.length) this.#list.lastElementChild?.remove();
    this.#shown = utterances;
    this.#lettering = key;
  }

  /**
   * @param {import("./transcript.js").Live | null} live
   * @param {Lettering} lettering
   */
  #showLive(live, lettering) {
    const { committed, tail, joined } = live ? liveWorded(live, lettering) : { committed: "", tail: "", joined: false };
    this.#live.hidden = live === null;
    this.#live.classList.toggle("wordless", !committed && !tail);
    this.#liveTime.textContent = live ? clockText(live.start) : "";
    this.#committed.textContent = committed;
    this.#tail.textContent = committed && tail && !joined ? ` ${tail}` : tail;
  }

  #keepFresh() {
    const { dataset } = document.body;
    clearTimeout(this.#stale);
    delete dataset.stale;
    this.#stale = setTimeout(() => (dataset.stale = "true"), STALE_MILLISECONDS);
  }
}

const PENCIL = "m5 19 .8-3.6L16 5.2l2.8 2.8L8.6 18.2zM14 7.2l2.8 2.8";

/** @param {Utterance} utterance */
function item({ id, text, start, at }) {
  const [line, time, words] = [document.createElement("li"), document.createElement("time"), document.createElement("span")];
  line.dataset.id = String(id);
  time.textContent = at === undefined ? clockText(start) : timeOfDay(at);
  time.dateTime = at === undefined ? `PT${start.toFixed(1)}S` : new Date(at * 1000).toISOString();
  words.textContent = text;
  words.dir = "auto";
  line.append(time, words, ...(at === undefined ? [pencil()] : []));
  return line;
}

function pencil() {
  const button = document.createElement("button");
  button.className = "edit";
  button.type = "button";
  button.title = "Correct this line";
  button.append(icon(PENCIL));
  return button;
}
