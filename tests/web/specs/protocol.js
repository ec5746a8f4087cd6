import { ClientEnd, ClientStream } from "/javascript/protocol.js";
import { equal, random, throws } from "./check.js";

const START = { type: "start", encoding: "linear16", sample_rate: 16000, channels: 1, hotwords: {} };
const LIMITS = { idle_seconds: 60, resume_seconds: 30, stream_seconds: 100, message_bytes: 1000 };

const started = (fields = {}) => ({
  ...{ type: "started", session: "one", model: "m", first_sample: 0, resumed: "no", options: {}, limits: LIMITS },
  ...fields,
});
const final = (utterance, acknowledged) => ({
  ...{ type: "final", utterance, text: `text ${utterance}`, start: 0, end: 1, lag: 0, reason: "silence", words: [] },
  acknowledged,
});
const ended = (utterance) => ({ type: "speech_ended", utterance, time: 1, reason: "silence", lag: 0 });
const ramp = (from, length) => Int16Array.from({ length }, (_, index) => (from + index) % 30000);

function sendAll(stream) {
  const messages = [];
  for (let message; (message = stream.nextMessage()) !== null; ) messages.push(message);
  return messages;
}

export function test_audio_may_be_sent_before_the_first_answer() {
  const stream = new ClientStream(START, 1000);
  stream.audio(ramp(0, 10));
  stream.connected();
  equal(sendAll(stream).map(({ type }) => type), ["start", "audio"]);
}

export function test_a_resume_waits_for_the_answer_and_begins_where_the_server_wants_it() {
  const stream = new ClientStream(START, 1000);
  stream.audio(ramp(0, 100));
  stream.connected();
  sendAll(stream);
  stream.received(started());
  stream.received({ type: "acknowledged", samples: 40 });
  stream.connected();
  const [start, ...early] = sendAll(stream);
  equal(start.resume, { session: "one", acknowledged: 40, utterance: 0 });
  equal(early, []);
  stream.received(started({ resumed: "session", first_sample: 70 }));
  equal(Array.from(sendAll(stream)[0].samples), Array.from(ramp(70, 30)));
}

export function test_audio_that_is_acknowledged_is_forgotten() {
  const stream = new ClientStream(START, 1000);
  stream.audio(ramp(0, 100));
  stream.connected();
  sendAll(stream);
  stream.received(started());
  stream.received(final(0, 60));
  equal(stream.heldSamples, 40);
}

export function test_audio_beyond_the_bound_is_refused_until_there_is_room() {
  const stream = new ClientStream(START, 100);
  equal([stream.audio(ramp(0, 80)), stream.audio(ramp(80, 30)), stream.position], [true, false, 80]);
  stream.connected();
  sendAll(stream);
  stream.received(started());
  stream.received({ type: "acknowledged", samples: 50 });
  equal([stream.audio(ramp(80, 30)), stream.position], [true, 110]);
}

export function test_what_was_heard_already_is_no_news() {
  const stream = new ClientStream(START, 1000);
  stream.connected();
  sendAll(stream);
  stream.received(started());
  equal(stream.received(final(0, 0)).length, 1);
  equal(stream.received(ended(0)).length, 1);
  equal([final(0, 0), ended(0)].flatMap((message) => stream.received(message)), []);
}

export function test_the_end_of_an_utterance_that_was_lost_is_made_up_for() {
  const stream = new ClientStream(START, 1000);
  stream.connected();
  sendAll(stream);
  stream.received(started());
  stream.received(final(3, 0));
  stream.connected();
  sendAll(stream);
  const news = stream.received(started({ resumed: "session" }));
  equal(news.map(({ type, utterance }) => [type, utterance]), [["started", null], ["speech_ended", 3]]);
}

export function test_an_update_before_the_acknowledged_sample_is_part_of_the_next_start() {
  const stream = new ClientStream(START, 1000);
  stream.audio(ramp(0, 10));
  stream.update({ hotwords: { word: 5 } });
  stream.audio(ramp(10, 10));
  stream.connected();
  equal(sendAll(stream).map(({ type }) => type), ["start", "audio", "update", "audio"]);
  stream.received(started());
  stream.received({ type: "acknowledged", samples: 15 });
  stream.connected();
  equal(sendAll(stream)[0].hotwords, { word: 5 });
}

export function test_a_server_out_of_order_is_refused() {
  const end = new ClientEnd();
  throws(() => end.receive(JSON.stringify(ended(0))), "out_of_order");
}

export function test_messages_that_are_none_are_refused() {
  for (const data of ["no json", "[]", "null", '{"type": "toString"}', '{"type": "started", "session": 1}']) {
    throws(() => new ClientEnd().receive(data), "bad_message");
  }
}

export function test_an_audio_start_that_the_page_does_not_have_is_refused() {
  const stream = new ClientStream(START, 1000);
  stream.audio(ramp(0, 10));
  stream.connected();
  sendAll(stream);
  stream.received(started());
  stream.connected();
  sendAll(stream);
  throws(() => stream.received(started({ resumed: "session", first_sample: 11 })), "out_of_order");
}

/** A server that hears samples: every 50 make an utterance; it is cut off and sometimes forgets the session. */
class Server {
  heard = [];
  finished = false;
  #first = 0;

  answer(message, forget) {
    if (message.type === "start") return [this.#welcome(message, forget)];
    if (message.type === "finish") {
      this.finished = true;
      return [{ type: "finished", samples: this.heard.length, duration: 0 }];
    }
    if (message.type !== "audio") return [];
    const before = Math.floor(this.heard.length / 50);
    this.heard.push(...message.samples);
    const after = Math.floor(this.heard.length / 50);
    const numbers = Array.from({ length: after - before }, (_, index) => before + index);
    return numbers.flatMap((number) => [final(number, (number + 1) * 50), ended(number)]);
  }

  #welcome({ resume }, forget) {
    if (!resume) {
      this.heard = [];
      return started();
    }
    if (forget) this.heard.length = resume.acknowledged;
    return started({ resumed: forget ? "position" : "session", first_sample: this.heard.length });
  }

  missed(utterance) {
    const all = Array.from({ length: Math.floor(this.heard.length / 50) }, (_, number) => number);
    return all.filter((number) => number >= utterance).flatMap((number) => [final(number, (number + 1) * 50), ended(number)]);
  }
}

/** Whatever is lost and wherever: the server has heard every sample once, the page has every final once. */
function undisturbed(seed) {
  const chance = random(seed);
  const stream = new ClientStream(START, 100000);
  const [server, finals, ends] = [new Server(), [], []];
  const hear = (messages, lose) => {
    for (const message of messages) {
      if (lose()) return false;
      for (const news of stream.received(message)) {
        if (news.type === "final") finals.push(news.utterance);
        if (news.type === "speech_ended") ends.push(news.utterance);
      }
    }
    return true;
  };
  let recorded = 0;
  while (stream.finished === null) {
    stream.connected();
    for (let alive = true; alive && stream.finished === null; ) {
      if (recorded < 1000) stream.audio(ramp(recorded, 23)), (recorded += 23);
      else stream.finish();
      const lose = () => chance() < 0.02;
      for (let message; alive && (message = stream.nextMessage()) !== null; ) {
        if (lose()) alive = false;
        else alive = hear(withMissed(server, message, server.answer(message, chance() < 0.5)), lose);
      }
    }
  }
  equal(server.heard, Array.from(ramp(0, recorded)), `seed ${seed}: what the server heard`);
  const numbers = Array.from({ length: Math.floor(recorded / 50) }, (_, number) => number);
  equal([finals, ends], [numbers, numbers], `seed ${seed}: what the page heard`);
}

function withMissed(server, message, answers) {
  return message.resume ? [...answers, ...server.missed(message.resume.utterance)] : answers;
}

export function test_nothing_is_lost_and_nothing_comes_twice_wherever_the_connection_drops() {
  for (let seed = 1; seed <= 300; seed++) undisturbed(seed);
}
