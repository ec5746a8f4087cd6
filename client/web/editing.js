/** A line of the transcript as a field, where a person corrects it. */

export class LineEditor {
  #list;
  #done;
  /** @type {HTMLElement | null} */
  #field = null;
  #before = "";

  /**
   * @param {HTMLOListElement} list whose items have a `data-id`, a `span` with the words and a button `.edit`
   * @param {(id: number, text: string) => void} done
   */
  constructor(list, done) {
    this.#list = list;
    this.#done = done;
    list.addEventListener("click", ({ target }) => {
      if (target instanceof Element && target.closest(".edit")) this.#open(target.closest("li"));
    });
    list.addEventListener("dblclick", ({ target }) => {
      if (target instanceof Element) this.#open(target.closest("li"));
    });
    list.addEventListener("keydown", (event) => this.#pressed(event));
    list.addEventListener("focusout", ({ target }) => {
      if (target === this.#field) this.#close(true);
    });
  }

  get isOpen() {
    return this.#field !== null;
  }

  /** Correct the line that was said last. */
  openLast() {
    this.#open(this.#list.querySelector("li:last-child"));
  }

  /** @param {HTMLLIElement | null} line */
  #open(line) {
    const field = line?.querySelector("span") ?? null;
    if (!field || field === this.#field) return;
    this.#close(true);
    this.#before = field.textContent ?? "";
    this.#field = field;
    makeEditable(field);
    field.role = "textbox";
    field.ariaLabel = "Correct this line; Enter keeps it, Escape does not";
    field.focus();
    getSelection()?.selectAllChildren(field);
    getSelection()?.collapseToEnd();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.target !== this.#field || event.isComposing) return;
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      const line = this.#field?.closest("li");
      this.#close(event.key === "Enter");
      if (line?.isConnected) /** @type {HTMLElement | null} */ (line.querySelector(".edit"))?.focus();
    }
  }

  /** @param {boolean} keep */
  #close(keep) {
    const field = this.#field;
    if (!field) return;
    this.#field = null;
    const text = field.textContent ?? "";
    for (const name of ["contenteditable", "role", "aria-label"]) field.removeAttribute(name);
    if (!keep || text === this.#before) field.textContent = this.#before;
    else this.#done(Number(field.closest("li")?.dataset.id), text);
  }
}

/** @param {HTMLElement} field */
function makeEditable(field) {
  try {
    field.contentEditable = "plaintext-only";
  } catch {
    field.contentEditable = "true"; // Firefox before 136
  }
}
