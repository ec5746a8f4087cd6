/**
 * The transcript as plain text and as subtitles, divided as the library's own `streaming_asr.exports` does it.
 *
 * @typedef {import("./javascript/index.js").Word} Word
 * @typedef {import("./transcript.js").Utterance} Utterance
 * @typedef {{start: number, end: number, lines: string[]}} Cue times in milliseconds
 */

const LINE_LENGTH = 42;
const LINES = 2;
const SHORTEST_SECONDS = 1;
const LONGEST_SECONDS = 7;
const PAUSE_SECONDS = 1.5;

/** By file name ending: the media type, and how the file is written. */
export const FORMATS = Object.freeze({
  txt: { type: "text/plain", write: toText },
  srt: { type: "application/x-subrip", write: toSrt },
  vtt: { type: "text/vtt", write: toVtt },
});

/**
 * One line per utterance.
 * @param {readonly Utterance[]} utterances
 */
export function toText(utterances) {
  return utterances.map(({ text }) => `${text}\n`).join("");
}

/**
 * SubRip.
 * @param {readonly Utterance[]} utterances
 */
export function toSrt(utterances) {
  return cues(utterances)
    .map(({ start, end, lines }, index) => `${index + 1}\n${clock(start, ",")} --> ${clock(end, ",")}\n${written(lines)}`)
    .join("\n");
}

/**
 * WebVTT: https://www.w3.org/TR/webvtt1/, sections 4.1 and 4.2.2 (escapes).
 * @param {readonly Utterance[]} utterances
 */
export function toVtt(utterances) {
  const blocks = cues(utterances).map(
    ({ start, end, lines }) => `${clock(start, ".")} --> ${clock(end, ".")}\n${written(lines.map(escaped))}`,
  );
  return ["WEBVTT\n", ...blocks].join("\n");
}

/** @type {(lines: string[]) => string} */
const written = (lines) => lines.map((line) => `${line}\n`).join("");

/** @type {(line: string) => string} */
const escaped = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const WIDE = new RegExp(
  "[\\u1100-\\u115f\\u2329\\u232a\\u2e80-\\u303e\\u3041-\\ua4cf\\ua960-\\ua97c\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe10-\\ufe19" +
    "\\ufe30-\\ufe6b\\uff01-\\uff60\\uffe0-\\uffe6\\u{1f300}-\\u{1f64f}\\u{1f900}-\\u{1f9ff}\\u{20000}-\\u{3fffd}]",
  "u",
);

/** @type {(character: string) => number} */
const columnsOf = (character) => (/[\p{Mn}\p{Me}\p{Cf}]/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1);

/**
 * How wide a text is shown: two columns for wide characters, none for marks (UAX 11, nearly).
 * @type {(text: string) => number}
 */
const columns = (text) => [...text].reduce((sum, character) => sum + columnsOf(character), 0);

/**
 * @param {number} milliseconds
 * @param {string} point
 */
function clock(milliseconds, point) {
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const digits = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return `${digits}${point}${String(milliseconds % 1000).padStart(3, "0")}`;
}

/**
 * Subtitles: in order of time, never overlapping, broken where speech pauses.
 * @param {readonly Utterance[]} utterances
 * @returns {Cue[]}
 */
export function cues(utterances) {
  const groups = utterances.flatMap((utterance) => runs(wordsOf(utterance).flatMap(divided)).flatMap(grouped));
  const times = timed(groups.map((group) => [group[0].start, group[group.length - 1].end]));
  return groups.map((group, index) => {
    const [start, end] = times[index];
    return { start, end, lines: wrapped(group) };
  });
}

/**
 * The words; the text as one word where a model gives none.
 * @param {Utterance} utterance
 * @returns {Word[]}
 */
function wordsOf({ text, start, end, words }) {
  const all = words.length ? words : [{ text, start, end, confidence: 1 }];
  return all.filter((word) => word.text.trim());
}

/**
 * A word that fills more than a line (scripts without spaces) in parts, its time in proportion to the characters.
 * @param {Word} word
 * @returns {Word[]}
 */
function divided({ text, start, end, confidence, joined }) {
  const letters = [...text.trim().split(/\s+/u).join(" ")];
  const second = (end - start) / letters.length;
  const places = cuts(letters);
  return places.slice(0, -1).map((at, index) => ({
    text: letters.slice(at, places[index + 1]).join(""),
    start: start + at * second,
    end: start + places[index + 1] * second,
    confidence,
    joined: index > 0 || joined,
  }));
}

/**
 * Where letters are cut so that no part is wider than a line; no mark is cut off its letter.
 * @param {string[]} letters
 */
function cuts(letters) {
  const places = [0];
  let wide = 0;
  letters.forEach((letter, place) => {
    const width = columnsOf(letter);
    if (wide && wide + width > LINE_LENGTH) {
      places.push(place);
      wide = 0;
    }
    wide += width;
  });
  return [...places, letters.length];
}

/**
 * Words between which nobody pauses for long.
 * @param {Word[]} words
 * @returns {Word[][]}
 */
function runs(words) {
  /** @type {Word[][]} */
  const result = [];
  for (const word of words) {
    const last = result.at(-1);
    if (last && word.start - last[last.length - 1].end < PAUSE_SECONDS) last.push(word);
    else result.push([word]);
  }
  return result;
}

/**
 * The best division of a run into cues: few, evenly filled, ending where there is a pause (dynamic programming over the
 * places where a cue may end).
 * @param {Word[]} words
 * @returns {Word[][]}
 */
function grouped(words) {
  const best = [{ cost: 0, start: 0 }];
  for (let stop = 1; stop <= words.length; stop++) best.push(cheapest(words, stop, best));
  const groups = [];
  for (let stop = words.length; stop; stop = best[stop].start) groups.unshift(words.slice(best[stop].start, stop));
  return groups;
}

/**
 * The best beginning of a cue that ends at a place, and the cost of all up to there.
 * @param {Word[]} words
 * @param {number} stop
 * @param {{cost: number, start: number}[]} best
 */
function cheapest(words, stop, best) {
  const after = stop < words.length ? words[stop].start - words[stop - 1].end : PAUSE_SECONDS;
  // A pause of 0.6 s is worth nearly a cue more; longer ones say no more about where a phrase ends.
  const worth = 0.8 * Math.min(1, Math.max(0, after) / 0.6);
  let found = { cost: Infinity, start: stop - 1 };
  for (let start = stop - 1; start >= 0; start--) {
    const group = words.slice(start, stop);
    const fits = filled(group, LINE_LENGTH).length <= LINES;
    if (group.length > 1 && !(fits && group[group.length - 1].end - group[0].start <= LONGEST_SECONDS)) break;
    const letters = group.reduce((sum, { text, joined }) => sum + columns(text) + (joined ? 0 : 1), 0);
    const unfilled = 1 - letters / (LINE_LENGTH * LINES);
    const cost = best[start].cost + 1 + unfilled ** 2 - Math.max(worth, worthOf(words[stop - 1].text));
    if (cost <= found.cost) found = { cost, start };
  }
  return found;
}

/**
 * What it is worth, in cues, to end a cue behind a word: sentence ends come first, then commas.
 * @param {string} text
 */
function worthOf(text) {
  if (/[.?!。？！]$/u.test(text)) return 0.95;
  return /[,;:、，；：،]$/u.test(text) ? 0.4 : 0;
}

/**
 * The fewest lines that hold the words, as even as that allows.
 * @param {Word[]} words
 */
function wrapped(words) {
  let lines = filled(words, LINE_LENGTH);
  for (let width = LINE_LENGTH - 1; width > 0; width--) {
    const narrower = filled(words, width);
    if (narrower.length > lines.length || narrower.some((line) => columns(line) > width)) break;
    lines = narrower;
  }
  return lines;
}

/**
 * @param {Word[]} words
 * @param {number} width
 */
function filled(words, width) {
  /** @type {string[]} */
  const lines = [];
  let wide = 0;
  for (const { text, joined } of words) {
    const gap = joined ? "" : " ";
    const own = columns(text);
    if (lines.length && wide + gap.length + own <= width) {
      lines[lines.length - 1] += gap + text;
      wide += gap.length + own;
    } else {
      lines.push(text);
      wide = own;
    }
  }
  return lines;
}

/**
 * Spans of seconds as milliseconds that never overlap, each as long as is readable where the next one lets it.
 * @param {number[][]} spans
 * @returns {number[][]}
 */
function timed(spans) {
  const starts = spans.map(([start]) => rounded(start * 1000));
  const shortest = SHORTEST_SECONDS * 1000;
  /** @type {number[][]} */
  const result = [];
  spans.forEach(([, end], index) => {
    const start = Math.max(starts[index], result.at(-1)?.[1] ?? 0);
    const spoken = Math.max(rounded(end * 1000), start + 1);
    const room = starts[index + 1] ?? start + shortest;
    result.push([start, Math.max(spoken, Math.min(start + shortest, room))]);
  });
  return result;
}

/**
 * Halves to the even neighbour, as Python does it, so that both ends write the same file.
 * @param {number} value
 */
function rounded(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
