/**
 * The transcript as text to copy and as files to save.
 *
 * @typedef {import("./transcript.js").Utterance} Utterance
 * @typedef {keyof typeof FORMATS} Format
 */

import { element } from "./dom.js";
import { FORMATS } from "./export.js";

/** @param {readonly Utterance[]} utterances */
export function copyText(utterances) {
  return navigator.clipboard.writeText(FORMATS.txt.write(utterances));
}

/**
 * @param {readonly Utterance[]} utterances
 * @param {Format} format
 */
export function download(utterances, format) {
  const { type, write } = FORMATS[format];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([write(utterances)], { type: `${type};charset=utf-8` }));
  link.download = `captions-${timestamp(new Date())}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {Date} date */
function timestamp(date) {
  const digits = [date.getFullYear(), date.getMonth() + 1, date.getDate(), date.getHours(), date.getMinutes()];
  const [year, month, day, hour, minute] = digits.map((part) => String(part).padStart(2, "0"));
  return `${year}-${month}-${day}-${hour}${minute}`;
}

/**
 * The buttons of the menu do what their `data-format` says.
 * @param {(format: Format) => void} chosen
 */
export function listenToFormats(chosen) {
  element("save", HTMLDetailsElement).addEventListener("click", ({ target }) => {
    const format = target instanceof Element ? target.closest("button")?.dataset.format : undefined;
    if (format && format in FORMATS) chosen(/** @type {Format} */ (format));
  });
}
