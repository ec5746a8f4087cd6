/**
 * Many models write capitals only. These functions set such text in small letters, as one would write it; text that has
 * small letters of its own stays as it is.
 *
 * @typedef {import("./transcript.js").Utterance} Utterance
 */

/** @param {string} text */
const onlyCapitals = (text) => text !== text.toLowerCase() && text === text.toUpperCase();

/**
 * @param {string} text
 * @param {boolean} english whether the word "I" is a capital
 */
function lowered(text, english) {
  const small = text.toLowerCase();
  return english ? small.replace(/(?<![\p{L}\p{N}'])i(?![\p{L}\p{N}])/gu, "I") : small;
}

/** @param {string} text */
function capitalized(text) {
  return text.replace(/\p{L}/u, (letter) => letter.toUpperCase());
}

/**
 * The committed text and the tail of an utterance, the first letter of which is a capital.
 * @param {{committed: string, tail: string}} live
 * @param {boolean} english
 */
export function softenedLive({ committed, tail }, english) {
  if (!onlyCapitals(`${committed} ${tail}`)) return { committed, tail };
  const [first, second] = [lowered(committed, english), lowered(tail, english)];
  return first ? { committed: capitalized(first), tail: second } : { committed: first, tail: capitalized(second) };
}

/**
 * @param {Utterance} utterance
 * @param {boolean} english
 * @returns {Utterance}
 */
export function softened(utterance, english) {
  if (!onlyCapitals(utterance.text)) return utterance;
  const words = utterance.words.map((word, index) => {
    const text = lowered(word.text, english);
    return { ...word, text: index === 0 ? capitalized(text) : text };
  });
  return { ...utterance, text: capitalized(lowered(utterance.text, english)), words };
}
