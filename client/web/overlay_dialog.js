/** Finds the address of an overlay that looks as it shall, and shows how it will look. */

import { copyOnClick, element } from "./dom.js";
import { USUAL, applyOverlay, overlayAddress } from "./overlay_style.js";

export class OverlayDialog {
  #dialog = element("overlay", HTMLDialogElement);
  #form;
  #preview = element("overlay-preview", HTMLElement);
  #address = element("overlay-address", HTMLInputElement);
  #base;
  #settings;

  /**
   * @param {URL} base
   * @param {() => import("./settings.js").Settings} settings
   */
  constructor(base, settings) {
    this.#base = base;
    this.#settings = settings;
    this.#form = /** @type {HTMLFormElement} */ (this.#dialog.querySelector("form"));
    this.#form.addEventListener("input", () => this.#show());
    element("open-overlay", HTMLButtonElement).addEventListener("click", () => {
      element("settings", HTMLDialogElement).close();
      this.#show();
      this.#dialog.showModal();
    });
    copyOnClick(element("overlay-copy", HTMLButtonElement), this.#address);
  }

  #show() {
    const style = this.#chosen();
    applyOverlay(this.#preview, style);
    this.#address.value = overlayAddress(this.#base, style, this.#settings());
  }

  /** @returns {import("./overlay_style.js").OverlayStyle} */
  #chosen() {
    const data = new FormData(this.#form);
    const text = (/** @type {string} */ name) => String(data.get(name) ?? "");
    return {
      ...{ font: text("font").trim(), colour: text("colour"), back: text("back"), place: text("place") || USUAL.place },
      ...{ dense: Number(text("dense")), size: Number(text("size")) },
    };
  }
}
