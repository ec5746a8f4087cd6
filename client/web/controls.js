/**
 * The rest of the page: the button, the level, the figures, messages.
 *
 * @typedef {import("./recording.js").Phase} Phase
 * @typedef {{label: string, run: () => void}} Action
 * @typedef {{seconds: number, delay: number | null, lag: number | null, unsent: number, progress: number | null}} Figures
 */

import { clockText, element, secondsText } from "./dom.js";

/** @type {Readonly<Record<Phase | "idle", {status: string, button: string}>>} */
const PHASES = Object.freeze({
  idle: { status: "Ready", button: "Start" },
  opening: { status: "Waiting for permission", button: "Stop" },
  connecting: { status: "Connecting", button: "Stop" },
  listening: { status: "Listening", button: "Stop" },
  reading: { status: "Reading", button: "Stop" },
  waiting: { status: "Connecting again", button: "Stop" },
  finishing: { status: "Finishing", button: "Finishing" },
});

/** Sounds below this are as good as silence, in decibels of full scale. */
const QUIETEST = -60;
const BARS = 14;

export class Controls {
  #start = element("start", HTMLButtonElement);
  #startLabel = element("start-label", HTMLElement);
  #status = element("status", HTMLElement);
  #elapsed = element("elapsed", HTMLElement);
  #latency = element("latency", HTMLElement);
  #meter = element("meter", HTMLElement);
  #source = element("source-name", HTMLElement);
  #notice = element("notice", HTMLElement);
  #noticeText = element("notice-text", HTMLElement);
  #noticeAction = element("notice-action", HTMLButtonElement);
  /** @type {() => void} */
  #action = () => {};
  #level = 0;
  #noticeTopic = "";

  constructor() {
    this.#meter.append(...Array.from({ length: BARS }, () => document.createElement("i")));
    this.#noticeAction.addEventListener("click", () => {
      this.hideNotice();
      this.#action();
    });
    element("notice-close", HTMLButtonElement).addEventListener("click", () => this.hideNotice());
  }

  /** @param {Phase | "idle"} phase */
  showPhase(phase) {
    const { status, button } = PHASES[phase];
    document.body.dataset.phase = phase;
    this.showStatus(status);
    this.#startLabel.textContent = button;
    this.#start.title = phase === "finishing" ? "Press again to stop without waiting for the last words" : "";
  }

  /** @param {string} status */
  showStatus(status) {
    if (this.#status.textContent !== status) this.#status.textContent = status;
  }

  /**
   * @param {import("./sources.js").Kind} kind
   * @param {string} name
   */
  showSource(kind, name) {
    document.body.dataset.source = kind;
    this.#source.textContent = name;
    element("source-choice", HTMLElement).title = `What to listen to: ${name}`;
    for (const button of document.querySelectorAll("#sources button")) {
      button.ariaPressed = String(button instanceof HTMLElement && button.dataset.source === kind);
    }
  }

  /**
   * How loud it is: quick to rise, slow to fall.
   * @param {number} level root mean square, 0 to 1
   */
  showLevel(level) {
    const decibels = 20 * Math.log10(Math.max(level, 1e-6));
    const share = Math.max(0, Math.min(1, 1 - decibels / QUIETEST));
    this.#level = Math.max(share, this.#level * 0.88);
    const lit = Math.round(this.#level * BARS);
    [...this.#meter.children].forEach((bar, index) => bar.classList.toggle("lit", index < lit));
    this.#start.style.setProperty("--level", this.#level.toFixed(2));
  }

  /**
   * @param {Figures} figures in seconds; `delay` is from the end of a word to its text on the screen, `lag` the server's
   *   own part, `unsent` waits in this browser, `progress` is how much of a file was heard, from 0 to 1
   */
  showFigures({ seconds, delay, lag, unsent, progress }) {
    this.#elapsed.textContent = progress !== null ? `${Math.floor(100 * progress)} %` : seconds > 0 ? clockText(seconds) : "";
    const parts = unsent > 2 ? [`${Math.round(unsent)} s to send`] : [];
    if (delay !== null) parts.push(`delay ${secondsText(delay)}`);
    if (lag !== null) parts.push(`lag ${secondsText(lag)}`);
    this.#latency.textContent = parts.join(" · ");
    this.#latency.title = "Delay: from the end of a spoken word to its text here. Lag: audio that the server has not worked on yet.";
  }

  /**
   * A message to the person; one at a time.
   * @param {string} text
   * @param {{topic?: string, action?: Action, good?: boolean}} [options] `topic` lets `hideNotice` take back this one only
   */
  showNotice(text, { topic = "", action, good = false } = {}) {
    this.#noticeTopic = topic;
    if (this.#noticeText.textContent !== text) this.#noticeText.textContent = text;
    this.#noticeAction.hidden = !action;
    this.#noticeAction.textContent = action?.label ?? "";
    this.#action = action?.run ?? (() => {});
    this.#notice.classList.toggle("good", good);
    this.#notice.hidden = false;
  }

  /** @param {string} [topic] */
  hideNotice(topic) {
    if (topic !== undefined && topic !== this.#noticeTopic) return;
    this.#notice.hidden = true;
    this.#noticeText.textContent = "";
  }
}
