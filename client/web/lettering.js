/**
 * How text is shown. A server may know capitals and punctuation; many models know one letter case only, and their text
 * is written as a sentence: a capital first, small letters after it. Text that has both cases of its own stays.
 *
 * @typedef {import("./transcript.js").Utterance} Utterance
 * @typedef {{sentences: boolean, english: boolean}} Lettering
 */

/**
 * An utterance as it is shown and saved.
 * @param {Utterance} utterance
 * @param {Lettering} lettering
 * @returns {Utterance}
 */
export function worded(utterance, { sentences, english }) {
  if (!sentences || utterance.edited) return utterance;
  return utterance.formatted ? { ...utterance, ...utterance.formatted } : asSentence(utterance, english);
}

/**
 * The utterance in progress as it is shown.
 * @param {import("./transcript.js").Live} live
 * @param {Lettering} lettering
 * @returns {import("./transcript.js").LiveWording}
 */
export function liveWorded(live, { sentences, english }) {
  return sentences ? (live.formatted ?? liveAsSentence(live, english)) : live;
}

/** @param {string} text */
const hasOneCase = (text) => text === text.toUpperCase() || text === text.toLowerCase();

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
 * The committed text and the tail of an utterance.
 * @param {import("./transcript.js").LiveWording} live
 * @param {boolean} english
 * @returns {import("./transcript.js").LiveWording}
 */
export function liveAsSentence({ committed, tail, joined }, english) {
  if (!hasOneCase(`${committed} ${tail}`)) return { committed, tail, joined };
  const [first, second] = [lowered(committed, english), lowered(tail, english)];
  if (!first) return { committed: first, tail: capitalized(second), joined };
  return { committed: capitalized(first), tail: second, joined };
}

/**
 * @param {Utterance} utterance
 * @param {boolean} english
 * @returns {Utterance}
 */
export function asSentence(utterance, english) {
  if (!hasOneCase(utterance.text)) return utterance;
  const words = utterance.words.map((word, index) => {
    const text = lowered(word.text, english);
    return { ...word, text: index === 0 ? capitalized(text) : text };
  });
  return { ...utterance, text: capitalized(lowered(utterance.text, english)), words };
}
