/** The screen itself: whole-screen large type, and keeping a phone from falling asleep while it listens. */

/**
 * Large type on the whole screen, or back; where a browser has no full screen, the page alone grows.
 * @param {boolean} large
 */
export async function setLargeType(large) {
  const root = document.documentElement;
  if (large) root.dataset.mode = "stage";
  else delete root.dataset.mode;
  try {
    if (large) await root.requestFullscreen?.();
    else if (document.fullscreenElement) await document.exitFullscreen();
  } catch (error) {
    // The page fills its window then, and that is all the difference.
    console.info("no full screen:", String(error));
  }
}

export function isLargeType() {
  return document.documentElement.dataset.mode === "stage";
}

/** Keeps the screen on between `hold` and `release`; the browser lets go of it whenever the page is hidden. */
export class WakeLock {
  #wanted = false;
  /** @type {WakeLockSentinel | null} */
  #lock = null;

  constructor() {
    document.addEventListener("visibilitychange", () => this.#renew());
  }

  hold() {
    this.#wanted = true;
    return this.#renew();
  }

  async release() {
    this.#wanted = false;
    await this.#lock?.release();
    this.#lock = null;
  }

  async #renew() {
    if (!this.#wanted || document.visibilityState !== "visible" || !navigator.wakeLock) return;
    try {
      this.#lock = await navigator.wakeLock.request("screen");
      if (!this.#wanted) await this.release();
    } catch (error) {
      // A low battery is a reason to refuse; captions go on without it.
      console.info("the screen may fall asleep:", String(error));
    }
  }
}
