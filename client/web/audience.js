/** The page of the audience: it reads what is said, and says nothing. */

import { plainWords } from "./errors.js";
import { element } from "./dom.js";
import { StreamError, watch } from "./javascript/index.js";
import { BASE, Page } from "./page.js";
import { WakeLock } from "./screen.js";

/** @typedef {import("./javascript/index.js").ViewEvent} ViewEvent */

export class Audience extends Page {
  #view;
  #live = false;
  #wakeLock = new WakeLock();

  /** @param {string} view */
  constructor(view) {
    super();
    this.#view = view;
    this.controls.showStatus("Connecting");
    this.show();
    element("clear", HTMLElement).hidden = true;
  }

  /** Read until the view is over. */
  async run() {
    await this.#wakeLock.hold();
    for await (const event of watch(BASE, this.#view, { onstate: (state, reason) => this.#stateChanged(state, reason) })) {
      this.#heard(event);
      this.show();
    }
    this.#live = false;
    this.#showState("The speaker has ended this.");
    await this.#wakeLock.release();
  }

  /** @param {ViewEvent} event */
  #heard(event) {
    switch (event.type) {
      case "view":
        this.#live = event.live;
        this.english = event.language?.startsWith("en") ?? false;
        if (!event.live) this.transcript = { ...this.transcript, live: null };
        return this.#showState(event.live ? "Live" : "Waiting for the speaker");
      case "partial":
        this.transcript = { ...this.transcript, live: event };
        return;
      case "final":
        return this.#take(event);
      default:
        this.transcript = { ...this.transcript, live: null };
    }
  }

  /** @param {import("./javascript/index.js").ViewFinal} final */
  #take({ text, start, end, at, formatted }) {
    const { next, utterances } = this.transcript;
    const readable = formatted ? { formatted: { text: formatted.committed, words: [] } } : {};
    const line = { id: next, text, start, end, at, words: [], ...readable };
    this.transcript = { ...this.transcript, live: null, next: next + 1, utterances: [...utterances, line] };
    this.captions.announce(this.written.at(-1)?.text ?? "");
  }

  /**
   * @param {"connecting" | "connected" | "waiting"} state
   * @param {unknown} reason
   */
  #stateChanged(state, reason) {
    if (state === "connected") this.controls.hideNotice("connection");
    if (state !== "waiting") return;
    this.#live = false;
    if (reason instanceof StreamError && reason.code === "not_found") {
      this.controls.hideNotice("connection");
      return this.#showState("Waiting for the speaker");
    }
    this.#showState("Connecting again");
    this.controls.showNotice(`${plainWords(reason)} Trying again.`, { topic: "connection" });
  }

  /** @param {string} status */
  #showState(status) {
    document.body.dataset.phase = this.#live ? "listening" : "idle";
    this.controls.showStatus(status);
    element("viewer-invitation", HTMLElement).textContent = status.endsWith(".") ? status : `${status}…`;
  }
}
