import { EMPTY, applied, withGap, withRecording } from "/transcript.js";
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
  const gapped = withGap(EMPTY, { at: 5, seconds: 3 });
  const transcript = [final("before", 4), final("after", 5)].reduce(applied, gapped);
  equal(transcript.utterances.map(({ start }) => start), [4, 8]);
}

export function test_a_transcript_that_was_kept_does_not_change() {
  const kept = applied(EMPTY, final("one", 1));
  applied(kept, final("two", 2));
  equal(kept.utterances.length, 1);
}
