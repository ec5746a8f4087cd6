/** The page of the one who speaks: listens, shows, shares. */

import { element } from "./dom.js";
import { LineEditor } from "./editing.js";
import { plainWords } from "./errors.js";
import { listenToDrops } from "./file_drop.js";
import { StreamError, hasTabAudio, info, openMicrophone, openTabAudio, prepareListening } from "./javascript/index.js";
import { Keeper, tabStorage } from "./keeper.js";
import { RecentMedian } from "./latency.js";
import { worded } from "./lettering.js";
import { OverlayDialog } from "./overlay_dialog.js";
import { BASE, Page } from "./page.js";
import { Recording } from "./recording.js";
import { WakeLock } from "./screen.js";
import { parsedHotwords, saveSettings } from "./settings.js";
import { Sharing } from "./sharing.js";
import { RecordedFile } from "./sources.js";
import { applied, edited, withRecording } from "./transcript.js";

/** @typedef {import("./javascript/index.js").StreamEvent} StreamEvent */
/** @typedef {import("./sources.js").Kind} Kind */

const FIGURES_MILLISECONDS = 250;
const KEPT_MINUTES = 5;

export class Speaker extends Page {
  /** @param {boolean} isOverlay whether nobody presses a button here */
  constructor(isOverlay) {
    super();
    this.#isOverlay = isOverlay;
    this.#keeper = new Keeper(isOverlay ? null : tabStorage());
    this.#restore();
    this.#hideKey();
    this.#sharing = new Sharing(BASE, () => this.settings.key);
    this.#editor = new LineEditor(element("utterances", HTMLOListElement), (id, text) => this.#edited(id, text));
    new OverlayDialog(BASE, () => this.settings);
    this.#listenToSources();
    this.#listenToWindow();
    element("start", HTMLButtonElement).addEventListener("click", () => this.toggle());
    this.controls.showPhase("idle");
    this.#showSource();
    this.show();
    setInterval(() => this.#showFigures(), FIGURES_MILLISECONDS);
    prepareListening();
    this.#listLanguages();
  }

  #isOverlay;
  #keeper;
  #sharing;
  #editor;
  #wakeLock = new WakeLock();
  /** @type {Kind} */
  #kind = "microphone";
  /** @type {Recording | null} */
  #recording = null;
  #origin = 0;
  #delays = new RecentMedian();
  /** @type {number | null} seconds */
  #lag = null;
  #newestWord = 0;
  #isFull = false;
  #roomless = false;

  /** Start; or stop; or, if it is stopping already, stop waiting for the last words. */
  toggle() {
    if (this.#recording) return this.#recording.stop();
    if (this.#kind === "file") return element("file", HTMLInputElement).click();
    return this.start();
  }

  edit() {
    this.#editor.openLast();
  }

  /** Listen to what was chosen, or to a file. */
  async start(/** @type {File | null} */ file = null) {
    const { key, model, language, hotwords } = this.settings;
    const options = { base: BASE, key, model, language, hotwords: parsedHotwords(hotwords), open: () => this.#open(file) };
    const recording = new Recording(options, this.#listener());
    this.#recording = recording;
    this.controls.hideNotice();
    this.transcript = withRecording(this.transcript, this.#origin);
    this.#sharing.begin();
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

  /** @param {File | null} file */
  #open(file) {
    const { device, cleaning } = this.settings;
    if (file) return RecordedFile.open(file);
    return this.#kind === "tab" ? openTabAudio() : openMicrophone({ device, cleaning });
  }

  /** @param {Recording} recording that is over */
  async #settle(recording) {
    this.#origin += recording.seconds;
    this.transcript = { ...this.transcript, live: null };
    this.#lag = null;
    this.#sharing.end();
    this.controls.showPhase("idle");
    this.controls.showLevel(0);
    this.controls.hideNotice("connection");
    this.#showSource();
    this.show();
    await this.#wakeLock.release();
  }

  /** @returns {import("./recording.js").RecordingListener} */
  #listener() {
    return {
      phase: (phase, reason) => this.#phaseChanged(phase, reason),
      event: (event) => this.#heard(event),
      level: (level) => this.controls.showLevel(level),
      full: (full) => this.#full(full),
      source: (change) => this.#sourceChanged(change),
    };
  }

  /**
   * @param {import("./recording.js").Phase} phase
   * @param {unknown} reason
   */
  #phaseChanged(phase, reason) {
    this.controls.showPhase(phase);
    if (phase === "waiting" && !this.#isFull) {
      this.controls.showNotice(`${plainWords(reason)} Trying again; what you say is kept.`, { topic: "connection" });
    }
    if (phase === "connecting" || phase === "listening" || phase === "reading") this.#showSource();
    if (phase === "listening" || phase === "reading" || phase === "finishing") this.controls.hideNotice("connection");
  }

  /** @param {StreamEvent} event */
  #heard(event) {
    this.transcript = applied(this.transcript, event);
    if ("lag" in event) this.#lag = event.lag;
    if (event.type === "started") this.#started(event);
    if (event.type === "warning") this.#warned(event);
    if (event.type === "missed") this.#missed(event.seconds);
    if (event.type === "final" && event.text.trim()) this.captions.announce(this.#lastLine());
    this.show();
    if ("words" in event) this.#measure(event.words);
  }

  #lastLine() {
    const last = this.transcript.utterances.at(-1);
    return last ? worded(last, this.lettering).text : "";
  }

  show() {
    super.show();
    const kept = this.#keeper.keep(this.transcript.utterances, this.#seconds);
    if (!kept && !this.#roomless) {
      this.#roomless = true;
      this.controls.showNotice("The browser keeps no more of this transcript over a reload. Save it when you can.");
    }
  }

  /** @param {import("./javascript/index.js").Started} started */
  #started({ model, options, unspellable = [], session }) {
    this.english = /^en(glish)?(?![a-z])/i.test(options.language ?? model);
    const language = options.language ? `, language ${options.language}` : "";
    element("model", HTMLElement).textContent = `Model ${model}${language}`;
    if (unspellable.length) this.controls.showNotice(`This model cannot spell: ${unspellable.join(", ")}.`);
    this.#sharing.show(session);
    this.#listLanguages();
  }

  /** @param {import("./javascript/index.js").Warning} warning */
  #warned({ code, message }) {
    const going = "The server is about to stop. Captions go on until then, and on the next one after that.";
    this.controls.showNotice(code === "draining" ? going : `${message}.`, { topic: code });
  }

  /**
   * How long ago the newest word was spoken, once it can be seen.
   * @param {readonly import("./javascript/index.js").Word[]} [words]
   */
  #measure(words) {
    const end = words?.at(-1)?.end ?? 0;
    if (end <= this.#newestWord) return;
    this.#newestWord = end;
    requestAnimationFrame(() => {
      const age = this.#recording?.age(end);
      if (age !== undefined && age > 0) this.#delays.push(age / 1000);
    });
  }

  /** @param {number} seconds */
  #missed(seconds) {
    this.controls.showNotice(`${Math.round(seconds)} seconds were not heard while the server was away.`);
  }

  /** @param {boolean} full */
  #full(full) {
    this.#isFull = full;
    const text = `The server has been away for too long: ${KEPT_MINUTES} minutes of sound are kept, and no more can be. What is said now is not heard until it is back.`;
    if (full) this.controls.showNotice(text, { topic: "full" });
    else this.controls.hideNotice("full");
  }

  /** @param {"ended" | "paused" | "no_output" | "running"} change */
  #sourceChanged(change) {
    const code = change === "ended" ? `${this.#kind}_ended` : `source_${change}`;
    if (change === "running") this.controls.hideNotice("source");
    else this.controls.showNotice(plainWords(new StreamError(code)), { topic: "source" });
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof StreamError)) console.error(error);
    const code = error instanceof StreamError ? error.code : "";
    const needsKey = ["key_needed", "unauthorized"].includes(code);
    const action = needsKey ? { label: "Enter the key", run: () => this.dialog.open("key") } : undefined;
    this.controls.showNotice(plainWords(error, this.#isOverlay), { action });
  }

  /**
   * @param {number} id
   * @param {string} text
   */
  #edited(id, text) {
    const before = this.transcript;
    const line = before.utterances.find((utterance) => utterance.id === id);
    if (!line) return;
    this.transcript = edited(before, id, worded(line, this.lettering), text);
    if (this.transcript.utterances.length < before.utterances.length) this.#offerToRestore(line);
    this.show();
  }

  /** @param {import("./transcript.js").Utterance} line */
  #offerToRestore(line) {
    const restore = () => {
      const utterances = [...this.transcript.utterances, line].sort((a, b) => a.id - b.id);
      this.transcript = { ...this.transcript, utterances };
      this.show();
    };
    this.controls.showNotice("The line was removed.", { good: true, action: { label: "Undo", run: restore } });
  }

  async #listLanguages() {
    try {
      const { model, languages, models } = await info(BASE);
      this.dialog.listModels(models ?? [{ name: model, languages }]);
    } catch (error) {
      console.info("the languages are listed later:", String(error));
    }
  }

  #restore() {
    const { utterances, next, seconds } = this.#keeper.restore();
    this.transcript = { ...this.transcript, utterances, next };
    this.#origin = seconds;
  }

  get #seconds() {
    return this.#origin + (this.#recording?.seconds ?? 0);
  }

  #showFigures() {
    const recording = this.#recording;
    this.controls.showFigures({
      seconds: this.#seconds,
      delay: recording ? this.#delays.value : null,
      lag: recording && recording.progress === null ? this.#lag : null,
      unsent: recording && recording.progress === null ? recording.unsentSeconds : 0,
      progress: recording?.progress ?? null,
    });
  }

  #showSource() {
    /** @type {Record<Kind, string>} */
    const names = { microphone: "Microphone", tab: "Tab, system", file: "Recording" };
    this.controls.showSource(this.#kind, this.#recording?.sourceName || names[this.#kind]);
    this.dialog.listMicrophones();
  }

  /** @param {import("./settings.js").Settings} before */
  settingsChanged(before) {
    const { hotwords, device, cleaning } = this.settings;
    if (hotwords !== before.hotwords) this.#recording?.setHotwords(parsedHotwords(hotwords));
    if (device !== before.device || cleaning !== before.cleaning) this.#changeMicrophone({ device, cleaning });
  }

  /** @param {import("./javascript/index.js").MicrophoneOptions} microphone */
  async #changeMicrophone(microphone) {
    try {
      await this.#recording?.setMicrophone(microphone);
      if (this.#recording) this.#showSource();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** A key that came with the address is kept for this tab, and is not for everyone to see. */
  #hideKey() {
    if (!location.hash) return;
    saveSettings(this.settings);
    history.replaceState(null, "", location.pathname + location.search);
  }

  #listenToSources() {
    const picker = element("file", HTMLInputElement);
    const menu = element("sources", HTMLDetailsElement);
    menu.addEventListener("click", ({ target }) => {
      const kind = target instanceof Element ? target.closest("button")?.dataset.source : undefined;
      if (kind) this.#choose(/** @type {Kind} */ (kind));
    });
    picker.addEventListener("change", () => {
      if (picker.files?.length) this.#read(picker.files[0]);
      picker.value = "";
    });
    const tab = menu.querySelector('[data-source="tab"]');
    if (tab instanceof HTMLButtonElement) tab.hidden = !hasTabAudio();
    listenToDrops((file) => this.#read(file));
  }

  /** @param {Kind} kind */
  #choose(kind) {
    if (this.#recording) return;
    this.#kind = kind;
    this.#showSource();
    if (kind === "file") element("file", HTMLInputElement).click();
  }

  /** @param {File} file */
  #read(file) {
    if (this.#recording) return this.controls.showNotice("Press Stop first; then drop the recording again.");
    const before = this.#kind;
    this.#kind = "file";
    this.start(file).finally(() => {
      this.#kind = before === "file" ? "microphone" : before;
      this.#showSource();
    });
  }

  #listenToWindow() {
    document.addEventListener("visibilitychange", () => this.#recording?.wake());
    addEventListener("pointerdown", () => this.#recording?.wake());
    addEventListener("beforeunload", (event) => {
      if (this.#recording || this.transcript.utterances !== this.saved) event.preventDefault();
    });
  }
}
