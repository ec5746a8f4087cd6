import { clockText } from "/dom.js";
import { plainWords } from "/errors.js";
import { StreamError } from "/javascript/index.js";
import { CaptureClock, RecentMedian } from "/latency.js";
import { asSentence, liveAsSentence } from "/lettering.js";
import { packetSamples } from "/javascript/live_audio.js";
import { USUAL, overlayAddress, overlayOf } from "/overlay_style.js";
import { loadSettings, parsedHotwords } from "/settings.js";
import { equal } from "./check.js";

const utterance = (text) => ({
  text,
  ...{ start: 0, end: 1 },
  words: text.split(" ").map((word) => ({ text: word, start: 0, end: 1, confidence: 1 })),
});

export function test_small_letters_become_a_sentence() {
  equal(asSentence(utterance("when i say i'll stay"), true).text, "When I say I'll stay");
}

export function test_capitals_become_a_sentence() {
  const { text, words } = asSentence(utterance("WHEN I SAY I'LL STAY IN HAWAII"), true);
  equal(text, "When I say I'll stay in hawaii");
  equal(words.map(({ text }) => text).join(" "), text);
}

export function test_i_is_a_word_of_english_only() {
  equal(asSentence(utterance("GATTI I CANI"), false).text, "Gatti i cani");
}

export function test_text_with_both_cases_or_with_none_stays() {
  for (const text of ["NASA says so", "今日は", "12"]) equal(asSentence(utterance(text), true).text, text);
}

export function test_committed_and_tail_are_one_sentence() {
  equal(liveAsSentence({ committed: "THE WORDS", tail: "I SA" }, true), { committed: "The words", tail: "I sa" });
  equal(liveAsSentence({ committed: "", tail: "THE" }, true), { committed: "", tail: "The" });
}

export function test_hotwords_are_read_as_they_are_typed() {
  equal(parsedHotwords(" Streamwell = 8.5\nnew york, wav2vec;;\n = 3"), { Streamwell: 8.5, "new york": 10, wav2vec: 10 });
  equal(parsedHotwords("word = 1000"), { word: 100 });
  equal(parsedHotwords(""), {});
}

export function test_the_address_may_hold_settings() {
  const settings = loadSettings(new URL("http://host/?language=fra&hotwords=a,b&size=9#key=secret"));
  const { language, hotwords, size, key } = settings;
  equal({ language, hotwords, size, key }, { language: "fra", hotwords: "a,b", size: 4, key: "secret" });
}

export function test_settings_of_another_kind_are_not_taken() {
  localStorage.setItem("captions", JSON.stringify({ size: "big", language: "en" }));
  const { size, language } = loadSettings(new URL("http://host/"));
  localStorage.clear();
  equal({ size, language }, { size: 1, language: "en" });
}

export function test_packets_are_20_to_40_milliseconds_at_every_rate() {
  for (const rate of [8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000]) {
    const [samples, milliseconds] = [packetSamples(rate), (packetSamples(rate) / rate) * 1000];
    equal([samples % 128, milliseconds >= 20, milliseconds <= 40], [0, true, true], `a packet at ${rate} Hz`);
  }
}

export function test_the_clock_knows_when_a_sample_was_heard() {
  const clock = new CaptureClock(1000);
  [0, 5, 1, 40].forEach((late, packet) => clock.heard((packet + 1) * 100, 5000 + (packet + 1) * 100 + late));
  equal(Math.round(clock.at(250)), 5250);
}

export function test_the_clock_finds_itself_again_after_a_pause() {
  const clock = new CaptureClock(1000);
  clock.heard(100, 100);
  clock.heard(200, 60200);
  equal(clock.at(200), 60200);
}

export function test_the_median_is_of_the_last_values() {
  const median = new RecentMedian(3);
  equal(median.value, null);
  [100, 1, 2, 3].forEach((value) => median.push(value));
  equal(median.value, 2);
}

export function test_errors_are_sentences() {
  equal(plainWords(new StreamError("full")).startsWith("The server is full"), true);
  equal(plainWords(new StreamError("bad_option", "no such language")), "The server cannot work with these settings: no such language.");
  equal(plainWords(new TypeError("x is y")), "Something in this page went wrong: TypeError: x is y.");
}

export function test_times_are_read_as_on_a_clock() {
  equal([0, 61.9, 3605].map(clockText), ["0:00", "1:01", "1:00:05"]);
}

export function test_an_overlay_looks_as_its_address_says() {
  const style = { font: "Comic Neue, Verdana", colour: "#ffcc00", back: "#102030", dense: 0.4, place: "top-left", size: 1.5 };
  const address = new URL(overlayAddress(new URL("https://here/captions/"), style, { language: "fr", hotwords: "a\nb = 15\n" }));
  equal([address.pathname, address.searchParams.get("overlay"), address.searchParams.get("hotwords")], ["/captions/", "1", "a,b = 15"]);
  equal(overlayOf(address.searchParams), style);
}

export function test_an_overlay_passes_over_what_cannot_be() {
  const query = new URLSearchParams({ colour: "url(x)", back: "12345", dense: "9", place: "under", size: "-1", font: "a;b{}" });
  equal(overlayOf(query), { ...USUAL, dense: 1, size: 0.1, font: "ab" });
  equal(overlayOf(new URLSearchParams({ colour: "red" })).colour, "red");
}
