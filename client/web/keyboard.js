/**
 * Keys of the whole page.
 *
 * @typedef {object} Commands
 * @property {() => void} toggle
 * @property {() => void} edit
 * @property {() => void} leave
 */

const FIELDS = "input, select, textarea, [contenteditable]";
const CONTROLS = "button, summary, a";

/**
 * Space starts and stops wherever no field wants it; Enter does where it presses no button.
 * @param {Commands} commands
 */
export function listenToKeys({ toggle, edit, leave }) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isBusy(event.target)) return;
    if (event.key === "Escape") leave();
    else if (event.key === "F2") act(event, edit);
    else if (event.key === " " || (event.key === "Enter" && !isIn(event.target, CONTROLS))) act(event, toggle);
  });
  // A browser presses a button when the key is let go.
  addEventListener("keyup", (event) => {
    if (event.key === " " && !isBusy(event.target)) event.preventDefault();
  });
}

/**
 * @param {KeyboardEvent} event
 * @param {() => void} action
 */
function act(event, action) {
  event.preventDefault();
  if (!event.repeat) action();
}

/** @param {EventTarget | null} target */
function isBusy(target) {
  return document.querySelector("dialog[open]") !== null || isIn(target, FIELDS);
}

/**
 * @param {EventTarget | null} target
 * @param {string} kinds
 */
function isIn(target, kinds) {
  return target instanceof Element && target.closest(kinds) !== null;
}
