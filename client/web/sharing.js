/** An address under which others read along, and the dialog that gives it. */

import { copyOnClick, element } from "./dom.js";
import { plainWords } from "./errors.js";
import { newSecret, share, unshare } from "./javascript/index.js";

const NAME = "captions-share";
const COUNT_MILLISECONDS = 3000;

export class Sharing {
  #dialog = element("share", HTMLDialogElement);
  #switch = element("sharing", HTMLInputElement);
  #address = element("share-address", HTMLInputElement);
  #state = element("share-state", HTMLElement);
  #base;
  #key;
  #kept = stored();
  /** The stream that is shown, and its present session. */
  #stream = "";
  #session = "";

  /**
   * @param {URL} base
   * @param {() => string} key
   */
  constructor(base, key) {
    this.#base = base;
    this.#key = key;
    this.#switch.checked = this.#kept.on;
    this.#switch.addEventListener("change", () => this.#switched());
    element("open-share", HTMLButtonElement).addEventListener("click", () => {
      this.#dialog.showModal();
      this.#renewState();
    });
    element("share-renew", HTMLButtonElement).addEventListener("click", () => this.#renewAddress());
    copyOnClick(element("share-copy", HTMLButtonElement), this.#address);
    setInterval(() => this.#dialog.open && this.#renewState(), COUNT_MILLISECONDS);
    this.#mark();
  }

  /** A new stream begins. */
  begin() {
    this.#stream = newSecret();
  }

  /**
   * The stream goes on in this session.
   * @param {string} session
   */
  show(session) {
    this.#session = session;
    if (this.#kept.on) this.#share();
  }

  /** The stream is over. */
  end() {
    this.#session = "";
  }

  async #switched() {
    this.#keep({ ...this.#kept, on: this.#switch.checked });
    if (this.#kept.on) await this.#share();
    else await this.#unshare();
  }

  async #renewAddress() {
    await this.#unshare();
    this.#keep({ secret: newSecret(), on: true });
    this.#switch.checked = true;
    await this.#share();
  }

  /** @param {{secret: string, on: boolean}} kept */
  #keep(kept) {
    this.#kept = kept;
    try {
      localStorage.setItem(NAME, JSON.stringify(kept));
    } catch (error) {
      console.info("the address lasts as long as this page:", String(error));
    }
    this.#mark();
  }

  #mark() {
    document.body.toggleAttribute("data-sharing", this.#kept.on);
    element("share-row", HTMLElement).hidden = !this.#kept.on;
  }

  #renewState() {
    if (this.#kept.on) return this.#share();
    this.#state.textContent = "";
  }

  /** Make the view, or say what is shown in it now; and tell who watches. */
  async #share() {
    const shown = this.#session ? { session: this.#session, stream: this.#stream } : {};
    try {
      const { view, watching } = await share(this.#base, { secret: this.#kept.secret, key: this.#key(), ...shown });
      this.#address.value = `${this.#base}#view=${view}`;
      this.#state.textContent = watching === 1 ? "One person watches." : `${watching || "No"} people watch.`;
    } catch (error) {
      this.#state.textContent = plainWords(error);
    }
  }

  async #unshare() {
    try {
      await unshare(this.#base, { secret: this.#kept.secret, key: this.#key() });
    } catch (error) {
      this.#state.textContent = plainWords(error);
    }
  }
}

/** @returns {{secret: string, on: boolean}} */
function stored() {
  try {
    const { secret, on } = JSON.parse(localStorage.getItem(NAME) ?? "{}");
    if (typeof secret === "string" && secret.length >= 22) return { secret, on: on === true };
  } catch (error) {
    console.info("no address was kept:", String(error));
  }
  return { secret: newSecret(), on: false };
}
