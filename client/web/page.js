/** What the speaker's page and the audience's have in common: a transcript, how it looks, what it is saved as. */

import { Captions } from "./captions.js";
import { Controls } from "./controls.js";
import { element } from "./dom.js";
import { copyText, download, listenToFormats } from "./downloads.js";
import { listenToKeys } from "./keyboard.js";
import { worded } from "./lettering.js";
import { closeMenus, listenToMenus } from "./menus.js";
import { isLargeType, setLargeType } from "./screen.js";
import { loadSettings, saveSettings } from "./settings.js";
import { SettingsDialog } from "./settings_dialog.js";
import { EMPTY } from "./transcript.js";

/** @typedef {import("./settings.js").Settings} Settings */

export const BASE = new URL(".", location.href);

export class Page {
  captions = new Captions();
  controls = new Controls();
  settings = loadSettings(location);
  transcript = EMPTY;
  /** The utterances that were copied or saved last. */
  saved = EMPTY.utterances;
  /** Whether the words are English ones, as far as anybody knows. */
  english = false;
  dialog;

  constructor() {
    this.dialog = new SettingsDialog(this.settings, (settings) => this.#settingsChanged(settings));
    element("host", HTMLElement).textContent = location.host || "this server";
    element("copy", HTMLButtonElement).addEventListener("click", () => this.#copy());
    element("clear", HTMLButtonElement).addEventListener("click", () => this.#clear());
    element("large", HTMLButtonElement).addEventListener("click", () => this.#largeType(!isLargeType()));
    element("theme", HTMLButtonElement).addEventListener("click", () => this.#otherTheme());
    document.addEventListener("fullscreenchange", () => {
      if (!document.fullscreenElement && isLargeType()) this.#largeType(false);
    });
    listenToFormats((format) => {
      download(this.written, format);
      this.saved = this.transcript.utterances;
    });
    listenToMenus();
    listenToKeys({ toggle: () => this.toggle(), edit: () => this.edit(), leave: () => this.#leave() });
    this.#applySettings();
  }

  /** What Space does. */
  toggle() {}

  /** What F2 does. */
  edit() {}

  /**
   * Other settings than before.
   * @param {Settings} before
   */
  settingsChanged(before) {
    void before;
  }

  /** The transcript is another one than before. */
  show() {
    this.captions.show(this.transcript, this.lettering);
    const empty = this.transcript.utterances.length === 0;
    element("copy", HTMLButtonElement).disabled = empty;
    for (const button of document.querySelectorAll("#save button")) {
      /** @type {HTMLButtonElement} */ (button).disabled = empty;
    }
  }

  /** @returns {import("./lettering.js").Lettering} */
  get lettering() {
    return { sentences: this.settings.sentences, english: this.english };
  }

  /** The utterances as they are shown, copied and saved. */
  get written() {
    return this.transcript.utterances.map((utterance) => worded(utterance, this.lettering));
  }

  async #copy() {
    try {
      await copyText(this.written);
      this.saved = this.transcript.utterances;
      this.controls.showNotice("Copied.", { good: true, topic: "copied" });
      setTimeout(() => this.controls.hideNotice("copied"), 2500);
    } catch (error) {
      this.controls.showNotice(`The browser did not let the page copy: ${String(error)}. Save the text instead.`);
    }
  }

  #clear() {
    const { utterances } = this.transcript;
    this.transcript = { ...this.transcript, utterances: [] };
    const restore = () => {
      this.transcript = { ...this.transcript, utterances: [...utterances, ...this.transcript.utterances] };
      this.show();
    };
    this.controls.showNotice("The transcript was cleared.", { good: true, action: { label: "Undo", run: restore } });
    this.show();
  }

  #leave() {
    if (!closeMenus() && isLargeType()) this.#largeType(false);
  }

  /** @param {boolean} large */
  #largeType(large) {
    setLargeType(large);
    element("large-label", HTMLElement).textContent = large ? "Leave" : "Large";
    this.show();
  }

  #otherTheme() {
    const prefersDark = matchMedia("(prefers-color-scheme: dark)").matches;
    const dark = this.settings.theme === "dark" || (!this.settings.theme && prefersDark);
    this.dialog.update({ theme: dark ? "light" : "dark" });
  }

  /** @param {Settings} settings */
  #settingsChanged(settings) {
    const before = this.settings;
    this.settings = settings;
    saveSettings(settings);
    this.#applySettings();
    this.show();
    this.settingsChanged(before);
  }

  #applySettings() {
    const root = document.documentElement;
    if (this.settings.theme) root.dataset.theme = this.settings.theme;
    root.style.setProperty("--size", String(this.settings.size));
  }
}
