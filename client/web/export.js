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

/** @type {(text: string) => number} characters as a reader counts them, nearly: code points */
const length = (text) => [...text].length;

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
    return { start, end, lines: wrapped(group.map(({ text }) => text)) };
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
function divided({ text, start, end, confidence }) {
  const letters = [...text.trim().split(/\s+/u).join(" ")];
  const second = (end - start) / letters.length;
  const parts = [];
  for (let at = 0; at < letters.length; at += LINE_LENGTH) {
    const stop = Math.min(at + LINE_LENGTH, letters.length);
    parts.push({
      text: letters.slice(at, stop).join(""),
      start: start + at * second,
      end: start + stop * second,
      confidence,
    });
  }
  return parts;
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
    const fits = filled(group.map(({ text }) => text), LINE_LENGTH).length <= LINES;
    if (group.length > 1 && !(fits && group[group.length - 1].end - group[0].start <= LONGEST_SECONDS)) break;
    const letters = group.reduce((sum, { text }) => sum + length(text) + 1, 0);
    const unfilled = 1 - letters / (LINE_LENGTH * LINES);
    const cost = best[start].cost + 1 + unfilled ** 2 - worth;
    if (cost <= found.cost) found = { cost, start };
  }
  return found;
}

/**
 * The fewest lines that hold the words, as even as that allows.
 * @param {string[]} words
 */
function wrapped(words) {
  let lines = filled(words, LINE_LENGTH);
  for (let width = LINE_LENGTH - 1; width > 0; width--) {
    const narrower = filled(words, width);
    if (narrower.length > lines.length || narrower.some((line) => length(line) > width)) break;
    lines = narrower;
  }
  return lines;
}

/**
 * @param {string[]} words
 * @param {number} width
 */
function filled(words, width) {
  /** @type {string[]} */
  const lines = [];
  for (const word of words) {
    const line = lines.at(-1);
    if (line !== undefined && length(line) + 1 + length(word) <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
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
