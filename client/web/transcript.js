/**
 * What was said so far, as a value: every function takes a transcript and returns the next one.
 *
 * Times are seconds on the page's own clock: it counts all that the microphone was heard, over all recordings, and what
 * was missed in between.
 *
 * @typedef {import("./protocol.js").Word} Word
 * @typedef {import("./protocol.js").Message} Message
 * @typedef {{text: string, start: number, end: number, words: readonly Word[]}} Utterance
 * @typedef {{utterance: number, committed: string, tail: string, start: number}} Live
 * @typedef {{at: number, seconds: number}} Gap where in the recording audio was missed, and how much
 * @typedef {{utterances: readonly Utterance[], live: Live | null, origin: number, gaps: readonly Gap[]}} Transcript
 */

/** @type {Transcript} */
export const EMPTY = Object.freeze({ utterances: [], live: null, origin: 0, gaps: [] });

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
 * So much audio was missed at a time of the recording: all that follows is later by that.
 * @param {Transcript} transcript
 * @param {Gap} gap
 * @returns {Transcript}
 */
export function withGap(transcript, gap) {
  return { ...transcript, gaps: [...transcript.gaps, gap] };
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
 * What the server said, added to the transcript.
 * @param {Transcript} transcript
 * @param {Message} message
 * @returns {Transcript}
 */
export function applied(transcript, message) {
  switch (message.type) {
    case "speech_started":
      return { ...transcript, live: liveOf(transcript, message, message.time) };
    case "partial":
      return { ...transcript, live: liveOf(transcript, message, message.words?.[0]?.start ?? message.start) };
    case "final":
      return { ...transcript, live: null, utterances: withFinal(transcript, message) };
    case "speech_ended":
      return transcript.live?.utterance === message.utterance ? { ...transcript, live: null } : transcript;
    default:
      return transcript;
  }
}

/**
 * @param {Transcript} transcript
 * @param {Message} message
 * @param {number} start
 * @returns {Live}
 */
function liveOf(transcript, { utterance, committed = "", tail = "" }, start) {
  return { utterance, committed, tail, start: pageTime(transcript, start) };
}

/**
 * @param {Transcript} transcript
 * @param {Message} message
 */
function withFinal(transcript, { text, start, end, words = [] }) {
  if (!text.trim()) return transcript.utterances;
  /** @type {(word: Word) => Word} */
  const moved = (word) => ({ ...word, start: pageTime(transcript, word.start), end: pageTime(transcript, word.end) });
  /** @type {Utterance} */
  const utterance = { text, start: pageTime(transcript, start), end: pageTime(transcript, end), words: words.map(moved) };
  return [...transcript.utterances, utterance];
}
