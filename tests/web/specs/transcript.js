import { retimed } from "/retiming.js";
import { EMPTY, applied, edited, withRecording } from "/transcript.js";
import { equal } from "./check.js";

const word = (text, start) => ({ text, start, end: start + 0.5, confidence: 1 });
const partial = (committed, tail, start = 1) => ({ type: "partial", utterance: 0, committed, tail, start, end: 2, words: [] });
const final = (text, start) => ({ type: "final", utterance: 0, text, start, end: start + 1, words: [word(text, start)] });
const ended = { type: "speech_ended", utterance: 0 };

export function test_a_partial_is_live_until_its_final_settles() {
  const live = applied(EMPTY, partial("so", "far"));
  equal([live.live.committed, live.live.tail, live.utterances.length], ["so", "far", 0]);
  const settled = [final("so far", 1), ended].reduce(applied, live);
  equal([settled.live, settled.utterances.map(({ text }) => text)], [null, ["so far"]]);
}

export function test_an_utterance_without_words_leaves_nothing() {
  const transcript = [{ type: "speech_started", utterance: 0, time: 1 }, ended].reduce(applied, EMPTY);
  equal([transcript.live, transcript.utterances], [null, []]);
}

export function test_a_second_recording_goes_on_after_the_first() {
  const first = applied(EMPTY, final("one", 2));
  const second = applied(withRecording(first, 10), final("two", 2));
  equal(second.utterances.map(({ start }) => start), [2, 12]);
  equal(second.utterances[1].words[0].start, 12);
}

export function test_what_was_missed_makes_later_times_later() {
  const gapped = applied(EMPTY, { type: "missed", at: 5, seconds: 3 });
  const transcript = [final("before", 4), final("after", 5)].reduce(applied, gapped);
  equal(transcript.utterances.map(({ start }) => start), [4, 8]);
}

export function test_a_transcript_that_was_kept_does_not_change() {
  const kept = applied(EMPTY, final("one", 1));
  applied(kept, final("two", 2));
  equal(kept.utterances.length, 1);
}

const line = { start: 0, end: 4, words: ["the", "quick", "brown", "fox"].map((text, at) => ({ text, start: at, end: at + 1, confidence: 1 })) };
const times = (text) => retimed(line, text).map(({ text, start, end }) => [text, start, end]);

export function test_words_that_stay_keep_their_times() {
  equal(times("The quick, brown fox."), [["The", 0, 1], ["quick,", 1, 2], ["brown", 2, 3], ["fox.", 3, 4]]);
}

export function test_words_that_replace_others_take_their_time() {
  equal(times("the slow red fox"), [["the", 0, 1], ["slow", 1, 1 + (2 * 4) / 7], ["red", 1 + (2 * 4) / 7, 3], ["fox", 3, 4]]);
}

export function test_words_may_be_added_and_taken_away_anywhere() {
  equal(times("well the fox jumps").map(([text]) => text), ["well", "the", "fox", "jumps"]);
  for (const text of ["a b c d e f g", "the", "fox the", "x the quick y brown fox z", "fox fox fox fox fox"]) {
    const flat = retimed(line, text).flatMap(({ start, end }) => [start, end]);
    equal(flat, [...flat].sort((a, b) => a - b), `the times of ${text}`);
    equal(flat.every((time) => time >= 0 && time <= 4), true, `whether ${text} is within its time`);
  }
}

export function test_a_line_can_be_corrected_and_removed() {
  const two = [final("one", 1), final("two", 5)].reduce(applied, EMPTY);
  const corrected = edited(two, 1, two.utterances[1], " tow  you ");
  equal(corrected.utterances.map(({ text }) => text), ["one", "tow you"]);
  equal(corrected.utterances[1].words.map(({ text }) => text), ["tow", "you"]);
  equal(edited(corrected, 0, corrected.utterances[0], "  ").utterances.map(({ id }) => id), [1]);
}
