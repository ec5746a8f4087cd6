/**
 * The settings as a form: what is chosen counts at once.
 *
 * @typedef {import("./settings.js").Settings} Settings
 */

import { element } from "./dom.js";
import { microphones } from "./javascript/index.js";

export class SettingsDialog {
  #dialog = element("settings", HTMLDialogElement);
  #form;
  #settings;
  #changed;
  /** @type {readonly {name: string, languages: readonly string[]}[]} */
  #models = [];

  /**
   * @param {Settings} settings
   * @param {(settings: Settings) => void} changed
   */
  constructor(settings, changed) {
    this.#settings = settings;
    this.#changed = changed;
    this.#form = /** @type {HTMLFormElement} */ (this.#dialog.querySelector("form"));
    this.#fill();
    this.#form.addEventListener("change", () => this.#read());
    this.#field("model").addEventListener("change", () => this.#listLanguages());
    element("open-settings", HTMLButtonElement).addEventListener("click", () => this.open());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    navigator.mediaDevices?.addEventListener("devicechange", () => this.listMicrophones());
    this.listMicrophones();
    this.listModels([]);
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** @param {string} [field] where to begin */
  open(field) {
    if (!this.#dialog.open) this.#dialog.showModal();
    if (field) this.#field(field).focus();
    return this.listMicrophones();
  }

  /** The microphones that there are now; their names are known once one was allowed. */
  async listMicrophones() {
    const select = /** @type {HTMLSelectElement} */ (this.#field("device"));
    const [usual] = select.options;
    const named = (await microphones()).filter(({ id, name }) => id && id !== "default" && name);
    select.replaceChildren(usual, ...named.map(({ id, name }) => new Option(name, id)));
    if (this.#settings.device && !named.some(({ id }) => id === this.#settings.device)) {
      select.append(new Option("The microphone chosen last time", this.#settings.device));
    }
    select.value = this.#settings.device;
  }

  /**
   * The models to choose from, where there are several, and the languages of the chosen one, or of all.
   * @param {readonly {name: string, languages: readonly string[]}[]} models as the server gives them
   */
  listModels(models) {
    this.#models = models;
    const select = /** @type {HTMLSelectElement} */ (this.#field("model"));
    const chosen = this.#settings.model;
    const names = models.map(({ name }) => name);
    const shown = chosen && !models.length ? [chosen] : names;
    element("model-choice", HTMLElement).hidden = models.length < 2;
    const [usual] = select.options;
    select.replaceChildren(usual, ...shown.map((name) => new Option(name, name)));
    select.value = shown.includes(chosen) ? chosen : "";
    this.#listLanguages();
  }

  #listLanguages() {
    const chosenModel = this.#field("model").value;
    const offered = this.#models.filter(({ name }) => !chosenModel || name === chosenModel);
    const languages = [...new Set(offered.flatMap((model) => model.languages))];
    const select = /** @type {HTMLSelectElement} */ (this.#field("language"));
    const [usual] = select.options;
    const chosen = this.#settings.language;
    const codes = chosen && !languages.includes(chosen) ? [...languages, chosen] : languages;
    const named = codes.map((code) => ({ code, name: languageName(code) })).sort((a, b) => a.name.localeCompare(b.name));
    select.replaceChildren(usual, ...named.map(({ code, name }) => new Option(name, code)));
    select.value = chosen;
  }

  /** @param {Partial<Settings>} change that was made elsewhere */
  update(change) {
    this.#settings = { ...this.#settings, ...change };
    this.#fill();
    this.#changed(this.#settings);
  }

  #read() {
    const value = (/** @type {string} */ name) => this.#field(name).value.trim();
    const checked = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ (this.#field(name)).checked;
    this.#settings = {
      ...this.#settings,
      device: value("device"),
      model: value("model"),
      language: value("language"),
      hotwords: value("hotwords"),
      key: value("key"),
      size: Number(value("size")),
      sentences: checked("sentences"),
      cleaning: checked("cleaning"),
    };
    this.#changed(this.#settings);
  }

  #fill() {
    for (const [name, value] of Object.entries(this.#settings)) {
      const field = this.#form.elements.namedItem(name);
      if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = Boolean(value);
      else if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) field.value = String(value);
    }
  }

  /** @param {string} name */
  #field(name) {
    return /** @type {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} */ (this.#form.elements.namedItem(name));
  }
}

/** @param {string} code */
function languageName(code) {
  try {
    const name = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" }).of(code);
    return name ? `${name} (${code})` : code;
  } catch {
    return code; // no language tag
  }
}
