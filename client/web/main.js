/** Puts the parts of the page together. */

import { Captions } from "./captions.js";
import { Controls } from "./controls.js";
import { element } from "./dom.js";
import { PlainError, plainWords } from "./errors.js";
import { FORMATS } from "./export.js";
import { RecentMedian } from "./latency.js";
import { asSentence } from "./lettering.js";
import { HELD_SECONDS, Recording } from "./recording.js";
import { WakeLock, isLargeType, setLargeType } from "./screen.js";
import { SettingsDialog } from "./settings_dialog.js";
import { loadSettings, parsedHotwords, saveSettings } from "./settings.js";
import { EMPTY, applied, withGap, withRecording } from "./transcript.js";

/** @typedef {import("./settings.js").Settings} Settings */
/** @typedef {import("./protocol.js").Message} Message */

const FIGURES_MILLISECONDS = 250;

class Page {
  #captions = new Captions();
  #controls = new Controls();
  #wakeLock = new WakeLock();
  #settings = loadSettings(location);
  #dialog;
  #transcript = EMPTY;
  #saved = EMPTY.utterances;
  /** @type {Recording | null} */
  #recording = null;
  #origin = 0;
  #english = false;
  #delays = new RecentMedian();
  /** @type {number | null} seconds */
  #lag = null;
  #newestWord = 0;
  #isFull = false;

  constructor() {
    this.#dialog = new SettingsDialog(this.#settings, (settings) => this.#settingsChanged(settings));
    element("host", HTMLElement).textContent = location.host || "this server";
    element("start", HTMLButtonElement).addEventListener("click", () => this.toggle());
    element("copy", HTMLButtonElement).addEventListener("click", () => this.#copy());
    element("clear", HTMLButtonElement).addEventListener("click", () => this.#clear());
    element("large", HTMLButtonElement).addEventListener("click", () => this.#largeType(!isLargeType()));
    element("theme", HTMLButtonElement).addEventListener("click", () => this.#otherTheme());
    this.#hideKey();
    this.#listenToMenu();
    this.#listenToKeys();
    this.#listenToWindow();
    this.#applySettings();
    this.#controls.showPhase("idle");
    this.#show();
    setInterval(() => this.#showFigures(), FIGURES_MILLISECONDS);
  }

  /** Start; or stop; or, if it is stopping already, stop waiting for the last words. */
  toggle() {
    return this.#recording ? this.#recording.stop() : this.start();
  }

  async start() {
    const { key, language, hotwords, device, cleaning } = this.#settings;
    const options = { key, language, hotwords: parsedHotwords(hotwords), microphone: { device, cleaning } };
    const recording = new Recording({ base: new URL(".", location.href), ...options }, this.#listener());
    this.#recording = recording;
    this.#controls.hideNotice();
    this.#transcript = withRecording(this.#transcript, this.#origin);
    this.#delays = new RecentMedian();
    this.#newestWord = 0;
    this.#isFull = false;
    try {
      await this.#wakeLock.hold();
      await recording.run();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#recording = null;
      await this.#settle(recording);
    }
  }

  /** @param {Recording} recording that is over */
  async #settle(recording) {
    this.#origin += recording.seconds;
    this.#transcript = { ...this.#transcript, live: null };
    this.#lag = null;
    this.#controls.showPhase("idle");
    this.#controls.showLevel(0);
    this.#controls.hideNotice("connection");
    this.#show();
    await this.#wakeLock.release();
  }

  /** @returns {import("./recording.js").RecordingListener} */
  #listener() {
    return {
      phase: (phase, reason) => this.#phaseChanged(phase, reason),
      message: (message) => this.#heard(message),
      level: (level) => this.#controls.showLevel(level),
      gap: (gap) => this.#missed(gap),
      full: (full) => this.#full(full),
      microphone: (reason) => this.#microphoneChanged(reason),
    };
  }

  /**
   * @param {import("./recording.js").Phase} phase
   * @param {unknown} reason
   */
  #phaseChanged(phase, reason) {
    this.#controls.showPhase(phase);
    if (phase === "waiting" && !this.#isFull) {
      const why = reason instanceof PlainError ? plainWords(reason) : "The connection was lost.";
      this.#controls.showNotice(`${why} Trying again; what you say is kept.`, { topic: "connection" });
    }
    if (phase === "connecting" || phase === "listening") this.#showMicrophone();
    if (phase === "listening" || phase === "finishing") this.#controls.hideNotice("connection");
  }

  #showMicrophone() {
    this.#controls.showMicrophone(this.#recording?.microphoneName ?? "");
    this.#dialog.listMicrophones();
  }

  /** @param {Message} message */
  #heard(message) {
    this.#transcript = applied(this.#transcript, message);
    this.#lag = message.lag ?? this.#lag;
    if (message.type === "started") this.#started(message);
    if (message.type === "warning") this.#controls.showNotice(`${message.message}.`);
    if (message.type === "final" && message.text.trim()) this.#captions.announce(this.#written().at(-1)?.text ?? "");
    this.#show();
    this.#measure(message);
  }

  /** @param {Message} started */
  #started({ model, options, unspellable = [] }) {
    this.#english = /^en(glish)?(?![a-z])/i.test(options.language ?? model);
    const language = options.language ? `, language ${options.language}` : "";
    element("model", HTMLElement).textContent = `Model ${model}${language}`;
    if (unspellable.length) this.#controls.showNotice(`This model cannot spell: ${unspellable.join(", ")}.`);
  }

  /**
   * How long ago the newest word was spoken, once it can be seen.
   * @param {Message} message
   */
  #measure({ words }) {
    const end = words?.at(-1)?.end ?? 0;
    if (end <= this.#newestWord) return;
    this.#newestWord = end;
    requestAnimationFrame(() => {
      const age = this.#recording?.age(end);
      if (age !== undefined && age > 0) this.#delays.push(age / 1000);
    });
  }

  /** @param {{at: number, seconds: number}} gap */
  #missed(gap) {
    this.#transcript = withGap(this.#transcript, gap);
    this.#controls.showNotice(`${Math.round(gap.seconds)} seconds were not heard while the server was away.`);
  }

  /** @param {boolean} full */
  #full(full) {
    this.#isFull = full;
    const minutes = HELD_SECONDS / 60;
    const text = `The server has been away for too long: ${minutes} minutes of sound are kept, and no more can be. What is said now is not heard until it is back.`;
    if (full) this.#controls.showNotice(text, { topic: "full" });
    else this.#controls.hideNotice("full");
  }

  /** @param {"unplugged" | "paused" | "running"} reason */
  #microphoneChanged(reason) {
    if (reason === "running") this.#controls.hideNotice("microphone");
    else this.#controls.showNotice(plainWords(new PlainError(`microphone_${reason}`)), { topic: "microphone" });
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof PlainError)) console.error(error);
    const needsKey = error instanceof PlainError && ["key_needed", "unauthorized"].includes(error.code);
    const action = needsKey ? { label: "Enter the key", run: () => this.#dialog.open("key") } : undefined;
    this.#controls.showNotice(plainWords(error), { action });
  }

  /** The utterances as they are shown, copied and saved. */
  #written() {
    const { utterances } = this.#transcript;
    return this.#settings.sentences ? utterances.map((utterance) => asSentence(utterance, this.#english)) : utterances;
  }

  #show() {
    this.#captions.show(this.#transcript, { sentences: this.#settings.sentences, english: this.#english });
    const empty = this.#transcript.utterances.length === 0;
    element("copy", HTMLButtonElement).disabled = empty;
    for (const button of document.querySelectorAll("#save button")) {
      /** @type {HTMLButtonElement} */ (button).disabled = empty;
    }
  }

  #showFigures() {
    const recording = this.#recording;
    this.#controls.showFigures({
      seconds: this.#origin + (recording?.seconds ?? 0),
      delay: recording ? this.#delays.value : null,
      lag: recording ? this.#lag : null,
      unsent: recording?.unsentSeconds ?? 0,
    });
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(FORMATS.txt.write(this.#written()));
      this.#saved = this.#transcript.utterances;
      this.#controls.showNotice("Copied.", { good: true, topic: "copied" });
      setTimeout(() => this.#controls.hideNotice("copied"), 2500);
    } catch (error) {
      this.#controls.showNotice(`The browser did not let the page copy: ${String(error)}. Save the text instead.`);
    }
  }

  /** @param {keyof typeof FORMATS} format */
  #download(format) {
    const { type, write } = FORMATS[format];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([write(this.#written())], { type: `${type};charset=utf-8` }));
    link.download = `captions-${timestamp(new Date())}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    this.#saved = this.#transcript.utterances;
  }

  #clear() {
    const { utterances } = this.#transcript;
    this.#transcript = { ...this.#transcript, utterances: [] };
    const restore = () => {
      this.#transcript = { ...this.#transcript, utterances: [...utterances, ...this.#transcript.utterances] };
      this.#show();
    };
    this.#controls.showNotice("The transcript was cleared.", { good: true, action: { label: "Undo", run: restore } });
    this.#show();
  }

  /** @param {boolean} large */
  #largeType(large) {
    setLargeType(large);
    element("large-label", HTMLElement).textContent = large ? "Leave" : "Large";
    this.#show();
  }

  #otherTheme() {
    const dark = this.#settings.theme === "dark" || (!this.#settings.theme && prefersDark());
    this.#dialog.update({ theme: dark ? "light" : "dark" });
  }

  /** @param {Settings} settings */
  #settingsChanged(settings) {
    const before = this.#settings;
    this.#settings = settings;
    saveSettings(settings);
    this.#applySettings();
    this.#show();
    if (settings.hotwords !== before.hotwords) this.#recording?.setHotwords(parsedHotwords(settings.hotwords));
    if (settings.device !== before.device || settings.cleaning !== before.cleaning) this.#changeMicrophone();
  }

  async #changeMicrophone() {
    try {
      await this.#recording?.setMicrophone({ device: this.#settings.device, cleaning: this.#settings.cleaning });
      if (this.#recording) this.#showMicrophone();
    } catch (error) {
      this.#failed(error);
    }
  }

  #applySettings() {
    const root = document.documentElement;
    if (this.#settings.theme) root.dataset.theme = this.#settings.theme;
    root.style.setProperty("--size", String(this.#settings.size));
  }

  /** A key that came with the address is kept for this tab, and is not for everyone to see. */
  #hideKey() {
    if (!location.hash) return;
    saveSettings(this.#settings);
    history.replaceState(null, "", location.pathname + location.search);
  }

  #listenToMenu() {
    const menu = element("save", HTMLDetailsElement);
    menu.addEventListener("click", ({ target }) => {
      const button = target instanceof Element ? target.closest("button") : null;
      const format = button?.dataset.format;
      if (format && format in FORMATS) this.#download(/** @type {keyof typeof FORMATS} */ (format));
      if (button) menu.open = false;
    });
    addEventListener("pointerdown", ({ target }) => {
      if (target instanceof Node && !menu.contains(target)) menu.open = false;
    });
  }

  /** Space and Enter start and stop wherever no control wants them; Escape leads back. */
  #listenToKeys() {
    const menu = element("save", HTMLDetailsElement);
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || this.#dialog.isOpen) return;
      if (event.key === "Escape" && menu.open) menu.open = false;
      else if (event.key === "Escape" && isLargeType()) this.#largeType(false);
      else if ((event.key === " " || event.key === "Enter") && !wantsKeys(event.target)) {
        event.preventDefault();
        this.toggle();
      }
    });
  }

  #listenToWindow() {
    document.addEventListener("fullscreenchange", () => {
      if (!document.fullscreenElement && isLargeType()) this.#largeType(false);
    });
    document.addEventListener("visibilitychange", () => this.#recording?.wake());
    addEventListener("pointerdown", () => this.#recording?.wake());
    addEventListener("beforeunload", (event) => {
      if (this.#recording || this.#transcript.utterances !== this.#saved) event.preventDefault();
    });
  }
}

/** @param {EventTarget | null} target */
function wantsKeys(target) {
  return target instanceof Element && target.closest("button, summary, a, input, select, textarea, dialog") !== null;
}

function prefersDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** @param {Date} date */
function timestamp(date) {
  const digits = [date.getFullYear(), date.getMonth() + 1, date.getDate(), date.getHours(), date.getMinutes()];
  const [year, month, day, hour, minute] = digits.map((part) => String(part).padStart(2, "0"));
  return `${year}-${month}-${day}-${hour}${minute}`;
}

const page = new Page();
// Over a picture there is no button to press.
if (document.documentElement.dataset.mode === "overlay") page.start();
