/**
 * Times for the words of a line that a person has changed.
 *
 * @typedef {import("./transcript.js").Word} Word
 */

/** Letters and figures only, so that a comma or a capital makes no other word. */
const core = (/** @type {string} */ text) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "") || text;

/**
 * Words that stayed keep their times; those between two that stayed share the time between them, by their length.
 * @param {{start: number, end: number, words: readonly Word[]}} before
 * @param {string} text
 * @returns {Word[]}
 */
export function retimed({ start, end, words }, text) {
  const texts = text.split(/\s+/u).filter(Boolean);
  const kept = alignment(words.map((word) => core(word.text)), texts.map(core));
  /** @type {Word[]} */
  const result = [];
  let from = 0;
  for (const [old, now] of [...kept, [words.length, texts.length]]) {
    const replaced = words.slice(from, old);
    const begin = replaced[0]?.start ?? result.at(-1)?.end ?? start;
    const stop = Math.max(begin, replaced.at(-1)?.end ?? words[old]?.start ?? end);
    result.push(...spread(texts.slice(result.length, now), { start: begin, end: stop }));
    if (old < words.length) result.push({ ...words[old], text: texts[now] });
    from = old + 1;
  }
  return result;
}

/**
 * @param {string[]} texts
 * @param {{start: number, end: number}} span
 * @returns {Word[]}
 */
function spread(texts, { start, end }) {
  const letters = texts.reduce((sum, text) => sum + text.length, 0);
  let at = 0;
  return texts.map((text) => {
    const begin = start + ((end - start) * at) / letters;
    at += text.length;
    return { text, start: begin, end: start + ((end - start) * at) / letters, confidence: 1 };
  });
}

/**
 * The longest common subsequence of two lists, as pairs of positions.
 * @param {string[]} before
 * @param {string[]} after
 * @returns {[number, number][]}
 */
function alignment(before, after) {
  const best = Array.from({ length: before.length + 1 }, () => new Uint32Array(after.length + 1));
  for (let old = before.length - 1; old >= 0; old--) {
    for (let now = after.length - 1; now >= 0; now--) {
      const skipped = Math.max(best[old + 1][now], best[old][now + 1]);
      best[old][now] = before[old] === after[now] ? best[old + 1][now + 1] + 1 : skipped;
    }
  }
  /** @type {[number, number][]} */
  const pairs = [];
  for (let old = 0, now = 0; old < before.length && now < after.length; ) {
    if (before[old] === after[now]) pairs.push([old++, now++]);
    else if (best[old + 1][now] >= best[old][now + 1]) old++;
    else now++;
  }
  return pairs;
}
