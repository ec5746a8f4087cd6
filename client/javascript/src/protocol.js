/**
 * The client's end of `/v1/stream`, without sockets and clocks: what may come when, and what a client remembers so that
 * no word is lost when a connection drops. `docs/protocol.md` describes it.
 *
 * @typedef {{text: string, start: number, end: number, confidence: number}} Word times in seconds
 * @typedef {{type: string, [field: string]: any}} Message
 * @typedef {{session: string, acknowledged: number, utterance: number}} Resume
 */

import { HeldAudio } from "./held_audio.js";

export const SUBPROTOCOL = "streaming-asr.v1";

/** The most samples in one message when there is a backlog. */
const PIECE_SAMPLES = 1 << 14;

/** @typedef {"OPENED" | "STARTING" | "STREAMING" | "ENDING" | "FINISHING" | "FINISHED" | "FAILED"} State */
/** @typedef {"client" | "server"} Side */

const SPEAKING = ["audio", "update", "finalize", "keepalive"];
const TURNS = ["turn_ending", "turn_resumed"];
const EVENTS = ["speech_started", "partial", ...TURNS, "final", "speech_ended", "acknowledged", "warning"];

/** @type {(state: State, kinds: string[]) => Record<string, State>} */
const stay = (state, kinds) => Object.fromEntries(kinds.map((kind) => [kind, state]));

/** @type {Readonly<Record<Side, Record<State, Record<string, State>>>>} */
const TRANSITIONS = Object.freeze({
  client: {
    OPENED: { start: "STARTING" },
    STARTING: { ...stay("STARTING", SPEAKING), finish: "ENDING" },
    STREAMING: { ...stay("STREAMING", SPEAKING), finish: "FINISHING" },
    ENDING: stay("ENDING", ["keepalive"]),
    FINISHING: stay("FINISHING", ["keepalive"]),
    FINISHED: stay("FINISHED", ["keepalive"]),
    FAILED: stay("FAILED", ["start", "finish", ...SPEAKING]),
  },
  server: {
    OPENED: { error: "FAILED" },
    STARTING: { started: "STREAMING", warning: "STARTING", error: "FAILED" },
    STREAMING: { ...stay("STREAMING", EVENTS), error: "FAILED" },
    ENDING: { started: "FINISHING", warning: "ENDING", error: "FAILED" },
    FINISHING: { ...stay("FINISHING", EVENTS), finished: "FINISHED", error: "FAILED" },
    FINISHED: {},
    FAILED: {},
  },
});

/**
 * The state after a side has sent a kind of message, or null if it may not.
 * @param {State} state
 * @param {Side} side
 * @param {string} kind
 * @returns {State | null}
 */
export function transition(state, side, kind) {
  const row = TRANSITIONS[side][state];
  return Object.hasOwn(row, kind) ? row[kind] : null;
}

/** Close codes after which the stream cannot go on: `docs/protocol.md`, errors and close codes. */
const FINAL_CLOSES = new Set([1000, 1009, 4400, 4409, 4413, 4429]);

/**
 * Whether a stream may be resumed after a close with this code and no `error` message before it.
 * @param {number} code
 */
export function closeIsResumable(code) {
  return !FINAL_CLOSES.has(code);
}

/** One end broke the protocol. */
export class ProtocolError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = "ProtocolError";
    this.code = code;
  }
}

/** What the server's messages must hold, by type; other fields may be added to the protocol and are let through. */
/** @type {Readonly<Record<string, Record<string, string>>>} */
const FIELDS = Object.freeze({
  started: { session: "string", model: "string", first_sample: "number", options: "object", limits: "object" },
  speech_started: { utterance: "number", time: "number", lag: "number" },
  partial: { utterance: "number", committed: "string", tail: "string", start: "number", end: "number", lag: "number" },
  final: { utterance: "number", text: "string", start: "number", end: "number", acknowledged: "number" },
  turn_ending: { utterance: "number" },
  turn_resumed: { utterance: "number", time: "number" },
  speech_ended: { utterance: "number", time: "number" },
  acknowledged: { samples: "number" },
  warning: { code: "string", message: "string" },
  error: { code: "string", message: "string", resumable: "boolean" },
  finished: { samples: "number", duration: "number" },
});

/** One connection's order of messages. */
export class ClientEnd {
  /** @type {State} */
  state = "OPENED";

  /**
   * What to put into the websocket.
   * @param {Message} message
   * @returns {string | Int16Array}
   */
  send(message) {
    this.#step("client", message.type);
    return message.type === "audio" ? message.samples : JSON.stringify(message);
  }

  /**
   * What the server said.
   * @param {unknown} data of a websocket message
   * @returns {Message}
   */
  receive(data) {
    const message = parsed(data);
    this.#step("server", message.type);
    return message;
  }

  /**
   * @param {Side} side
   * @param {string} kind
   */
  #step(side, kind) {
    const next = transition(this.state, side, kind);
    if (next === null) throw new ProtocolError("out_of_order", `the ${side} may not send ${kind} in state ${this.state}`);
    this.state = next;
  }
}

/**
 * @param {unknown} data
 * @returns {Message}
 */
function parsed(data) {
  let message;
  try {
    message = JSON.parse(/** @type {string} */ (data));
  } catch {
    throw new ProtocolError("bad_message", "the server sent a message that is not JSON");
  }
  const fields = Object.hasOwn(FIELDS, message?.type ?? "") ? FIELDS[message.type] : null;
  if (fields === null) throw new ProtocolError("bad_message", `the server sent a message of unknown type ${message?.type}`);
  for (const [name, kind] of Object.entries(fields)) {
    if (typeof message[name] !== kind || message[name] === null) {
      throw new ProtocolError("bad_message", `${name} of ${message.type} is ${message[name]}; it must be a ${kind}`);
    }
  }
  return message;
}

/**
 * What a client remembers of one stream, over all its connections.
 *
 * The program's side is `audio`, `update`, `finalize`, `finish`; the connection's side is `connected`, `nextMessage` and
 * `received`. Memory is the audio since the last acknowledgement, at most `capacity` samples: beyond that, `audio`
 * refuses what it is given.
 */
export class ClientStream {
  #start;
  #held;
  #sent = 0;
  /** @type {{position: number, message: Message}[]} */
  #controls = [];
  #controlsSent = 0;
  #introduced = false;
  #answered = false;
  /** @type {string | null} */
  #session = null;
  #acknowledged = 0;
  #utterance = 0;
  #speaking = -1;
  /** @type {Message | null} a final whose `speech_ended` has not come yet */
  #unended = null;
  /** @type {Message | null} */
  finished = null;

  /**
   * @param {Message} start without `resume`
   * @param {number} capacity samples that may be unacknowledged
   */
  constructor(start, capacity) {
    this.#start = start;
    this.#held = new HeldAudio(capacity);
  }

  /** The most samples that may be unacknowledged. */
  get capacity() {
    return this.#held.capacity;
  }

  /** Samples that were taken, from the beginning of the stream. */
  get position() {
    return this.#held.end;
  }

  /** Samples that would have to be sent again after a drop. */
  get heldSamples() {
    return this.#held.end - this.#held.start;
  }

  /** Samples that the present connection has not been given. */
  get unsentSamples() {
    return this.#held.end - this.#sent;
  }

  /** @param {number} samples */
  hasRoom(samples) {
    return this.#held.hasRoom(samples);
  }

  get finishing() {
    return this.#controls.some(({ message }) => message.type === "finish");
  }

  /**
   * Take in audio; false if there is no room for it, and then nothing of it was taken.
   * @param {Int16Array} samples
   */
  audio(samples) {
    return this.#held.append(samples);
  }

  /**
   * Change hotwords or endpoint rules from here on.
   * @param {{hotwords?: Record<string, number>, endpoint?: Record<string, number | null>}} change
   */
  update(change) {
    this.#control({ type: "update", ...change });
  }

  /** End the utterance here. */
  finalize() {
    const last = this.#controls.at(-1);
    if (last?.message.type !== "finalize" || last.position !== this.position) this.#control({ type: "finalize" });
  }

  /** No more audio. */
  finish() {
    if (!this.finishing) this.#control({ type: "finish" });
  }

  /** @param {Message} message */
  #control(message) {
    this.#controls.push({ position: this.position, message });
  }

  /** A new connection is there: the next message is `start`. */
  connected() {
    this.#introduced = false;
    this.#answered = false;
    this.#sent = this.#held.start;
    this.#controlsSent = 0;
  }

  /**
   * The next message for the connection, or null if there is nothing to send yet.
   * @returns {Message | null}
   */
  nextMessage() {
    if (!this.#introduced) {
      this.#introduced = true;
      return this.#session === null ? this.#start : { ...this.#start, resume: this.#resume() };
    }
    if (this.#session !== null && !this.#answered) return null;
    const control = this.#controls[this.#controlsSent];
    if (control && control.position <= this.#sent) {
      this.#controlsSent += 1;
      return control.message;
    }
    return this.#nextAudio(control?.position ?? this.position);
  }

  /**
   * @param {number} stop
   * @returns {Message | null}
   */
  #nextAudio(stop) {
    if (this.#sent >= stop) return null;
    const samples = this.#held.read(this.#sent, Math.min(stop, this.#sent + PIECE_SAMPLES));
    this.#sent += samples.length;
    return { type: "audio", samples };
  }

  /** @returns {Resume} */
  #resume() {
    return { session: this.#session ?? "", acknowledged: this.#acknowledged, utterance: this.#utterance };
  }

  /**
   * Take in what the server said; returns what is news.
   * @param {Message} message
   * @returns {Message[]}
   */
  received(message) {
    switch (message.type) {
      case "started":
        return this.#goOn(message);
      case "acknowledged":
        this.#acknowledge(message.samples);
        return [];
      case "final":
        this.#acknowledge(message.acknowledged);
        return this.#event(message);
      case "finished":
        this.finished = message;
        return [message];
      case "warning":
        return [message];
      default:
        return this.#event(message);
    }
  }

  /**
   * Send from where the server wants it; what was said at or after that place is said again.
   * @param {Message} started
   * @returns {Message[]}
   */
  #goOn(started) {
    const resumed = this.#session !== null;
    this.#answered = true;
    this.#session = started.session;
    if (!resumed) return [started];
    const first = started.first_sample;
    if (!(first >= this.#held.start && first <= this.#held.end)) {
      throw new ProtocolError("out_of_order", `the server wants audio from sample ${first} on; there is none`);
    }
    this.#sent = first;
    this.#controlsSent = this.#controls.filter(({ position }) => position < first).length;
    return [started, ...this.#lostEnd()];
  }

  /**
   * A final whose `speech_ended` was lost is over all the same; no server says so again.
   * @returns {Message[]}
   */
  #lostEnd() {
    const final = this.#unended;
    this.#unended = null;
    if (final === null) return [];
    const { utterance, end, reason, lag } = final;
    return [{ type: "speech_ended", utterance, time: end, reason, lag }];
  }

  /** @param {number} samples */
  #acknowledge(samples) {
    if (samples <= this.#acknowledged) return;
    this.#acknowledged = samples;
    const position = Math.min(samples, this.#sent);
    this.#held.dropBefore(position);
    while (this.#controlsSent && this.#controls[0].position < position && this.#controls[0].message.type !== "finish") {
      this.#settle(/** @type {{message: Message}} */ (this.#controls.shift()).message);
      this.#controlsSent -= 1;
    }
  }

  /**
   * A change before the acknowledged sample is part of the options with which one would start there.
   * @param {Message} message
   */
  #settle(message) {
    if (message.type !== "update") return;
    const { hotwords = this.#start.hotwords, endpoint } = message;
    this.#start = { ...this.#start, hotwords };
    if (endpoint) this.#start.endpoint = { ...this.#start.endpoint, ...endpoint };
  }

  /**
   * Pass on what has not been passed on yet.
   * @param {Message} event
   * @returns {Message[]}
   */
  #event(event) {
    return this.#isNews(event) ? [event] : [];
  }

  /** @param {Message} event */
  #isNews(event) {
    const number = event.utterance;
    switch (event.type) {
      case "speech_started":
        if (number <= this.#speaking) return false;
        this.#speaking = number;
        return true;
      case "partial":
      case "turn_ending":
      case "turn_resumed":
        return number >= this.#utterance;
      case "final":
        if (number < this.#utterance) return false;
        [this.#utterance, this.#unended] = [number + 1, event];
        return true;
      default:
        if (number < this.#utterance && this.#unended === null) return false;
        [this.#utterance, this.#unended] = [number + 1, null];
        return true;
    }
  }
}
