/** Keeps the newest words in view, until a person scrolls up to read; then a button leads back. */
export class Follower {
  #scroller;
  #button;
  #following = true;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLButtonElement} button
   */
  constructor(scroller, button) {
    this.#scroller = scroller;
    this.#button = button;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.update()).observe(scroller);
    button.addEventListener("click", () => {
      this.#following = true;
      this.update();
    });
  }

  /** The text has grown. */
  update() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#button.hidden = this.#following;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < 48;
    this.#button.hidden = this.#following;
  }
}
