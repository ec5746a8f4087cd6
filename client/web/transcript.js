/**
 * What was said so far, as a value: every function takes a transcript and returns the next one.
 *
 * Times are seconds on the page's own clock: it counts all that was heard, over all recordings, and what was missed in
 * between.
 *
 * @typedef {import("./javascript/index.js").Word} Word
 * @typedef {import("./javascript/index.js").StreamEvent} StreamEvent
 * @typedef {{text: string, words: readonly Word[]}} Wording
 * @typedef {object} Timing
 * @property {number} id
 * @property {number} start
 * @property {number} end
 * @property {Wording} [formatted] with capitals and punctuation, where the server knows them
 * @property {boolean} [edited] whether a person has corrected it
 * @property {number} [at] the time of day, in seconds since 1970, where that is what is shown
 * @typedef {Wording & Timing} Utterance
 * @typedef {{committed: string, tail: string, joined?: boolean}} LiveWording the tail joined without a space, or not
 * @typedef {LiveWording & {start: number, formatted?: LiveWording}} Live
 * @typedef {{at: number, seconds: number}} Gap where in the recording audio was missed, and how much
 * @typedef {object} Transcript
 * @property {readonly Utterance[]} utterances in the order of their ids
 * @property {Live | null} live the utterance in progress
 * @property {number} origin when the recording began
 * @property {readonly Gap[]} gaps
 * @property {number} next the id of the next utterance
 */

import { retimed } from "./retiming.js";

/** @type {Transcript} */
export const EMPTY = Object.freeze({ utterances: [], live: null, origin: 0, gaps: [], next: 0 });

/**
 * A recording begins at this time.
 * @param {Transcript} transcript
 * @param {number} origin
 * @returns {Transcript}
 */
export function withRecording(transcript, origin) {
  return { ...transcript, live: null, origin, gaps: [] };
}

/**
 * A time of the recording, on the page's clock.
 * @param {Transcript} transcript
 * @param {number} time
 */
export function pageTime({ origin, gaps }, time) {
  return gaps.reduce((sum, { at, seconds }) => (at <= time ? sum + seconds : sum), origin + time);
}

/**
 * What the stream said, added to the transcript.
 * @param {Transcript} transcript
 * @param {StreamEvent} event
 * @returns {Transcript}
 */
export function applied(transcript, event) {
  switch (event.type) {
    case "speech_started":
      return { ...transcript, live: { committed: "", tail: "", start: pageTime(transcript, event.time) } };
    case "partial":
      return { ...transcript, live: liveOf(transcript, event) };
    case "final":
      return withFinal(transcript, event);
    case "speech_ended":
      return { ...transcript, live: null };
    case "missed":
      // All that follows is later by that.
      return { ...transcript, gaps: [...transcript.gaps, { at: event.at, seconds: event.seconds }] };
    default:
      return transcript;
  }
}

/**
 * @param {Transcript} transcript
 * @param {import("./javascript/index.js").Partial} partial
 * @returns {Live}
 */
function liveOf(transcript, { committed, tail, joined, start, words, formatted }) {
  return { committed, tail, joined, start: pageTime(transcript, words?.[0]?.start ?? start), formatted };
}

/**
 * @param {Transcript} transcript
 * @param {import("./javascript/index.js").Final} final
 * @returns {Transcript}
 */
function withFinal(transcript, { text, start, end, words = [], formatted }) {
  if (!text.trim()) return { ...transcript, live: null };
  /** @type {(word: Word) => Word} */
  const moved = (word) => ({ ...word, start: pageTime(transcript, word.start), end: pageTime(transcript, word.end) });
  const [first, last] = [pageTime(transcript, start), pageTime(transcript, end)];
  const readable = formatted && { text: formatted.committed, words: (formatted.words ?? []).map(moved) };
  const utterance = {
    ...{ id: transcript.next, text, start: first, end: last, words: words.map(moved) },
    ...(readable ? { formatted: readable } : {}),
  };
  return { ...transcript, live: null, next: transcript.next + 1, utterances: [...transcript.utterances, utterance] };
}

/**
 * A line as a person has corrected it; without any words it is gone.
 * @param {Transcript} transcript
 * @param {number} id
 * @param {Wording} shown what stood there
 * @param {string} text
 * @returns {Transcript}
 */
export function edited(transcript, id, shown, text) {
  const line = text.trim().replace(/\s+/gu, " ");
  const changed = (/** @type {Utterance} */ utterance) => ({
    ...utterance,
    text: line,
    words: retimed({ ...utterance, words: shown.words }, line),
    edited: true,
  });
  const utterances = transcript.utterances
    .filter((utterance) => line || utterance.id !== id)
    .map((utterance) => (utterance.id === id ? changed(utterance) : utterance));
  return { ...transcript, utterances };
}
