/**
 * One stream to the server, over as many websockets as it takes.
 *
 * @typedef {import("./protocol.js").Message} Message
 * @typedef {import("./protocol.js").ClientStream} ClientStream
 * @typedef {object} Listener
 * @property {(events: Message[]) => void} heard what the server said that is news
 * @property {(state: "connecting" | "connected" | "waiting", reason?: PlainError) => void} changed
 */

import { freshToken, reasonOfRefusal } from "./admission.js";
import { PlainError } from "./errors.js";
import { ClientEnd, ProtocolError, SUBPROTOCOL, closeIsResumable } from "./protocol.js";

/** Bytes that may wait in the websocket; more stays in the stream, and is sent when these are on their way. */
const WAITING_BYTES = 1 << 17;
const WAITING_MILLISECONDS = 40;

const OPEN_MILLISECONDS = 10_000;
/** A server that is sent audio acknowledges every second; one that says nothing for so long is gone. */
const SILENT_MILLISECONDS = 20_000;
const WATCH_MILLISECONDS = 1000;

const FIRST_WAIT = 100;
const LONGEST_WAIT = 5000;

/** A stream that never came to be is given up after this; one that has words is not. */
const FIRST_PATIENCE_MILLISECONDS = 8000;
const HOPELESS = new Set(["unauthorized", "key_needed", "forbidden_origin"]);
const HOPELESS_AT_FIRST = new Set(["full", "refused"]);

export class Connection {
  #stream;
  #base;
  #key;
  #listener;
  /** @type {WebSocket | null} */
  #socket = null;
  #end = new ClientEnd();
  #spoken = 0;
  #heard = 0;
  #keepalive = 10_000;
  #started = false;
  #abandoned = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pumping;
  /** @type {() => void} ends the present attempt, connection or wait between attempts */
  #interrupt = () => {};
  /** @type {() => void} ends the present wait only */
  #hurry = () => {};

  /**
   * @param {ClientStream} stream
   * @param {{base: URL, key: string, listener: Listener}} options
   */
  constructor(stream, { base, key, listener }) {
    this.#stream = stream;
    this.#base = base;
    this.#key = key;
    this.#listener = listener;
  }

  /** Bytes in the websocket that the network has not taken yet. */
  get bufferedBytes() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /**
   * Keep a connection until the server has finished, or `abandon` was called. Throws a PlainError where there is no
   * way to go on.
   */
  async run() {
    const hurry = () => this.#hurry();
    const interrupt = () => this.#interrupt();
    addEventListener("online", hurry);
    addEventListener("offline", interrupt);
    const watch = setInterval(() => this.#watch(), WATCH_MILLISECONDS);
    try {
      await this.#keepConnected();
    } finally {
      clearInterval(watch);
      removeEventListener("online", hurry);
      removeEventListener("offline", interrupt);
    }
  }

  async #keepConnected() {
    const began = performance.now();
    for (let wait = FIRST_WAIT; !this.#abandoned; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      this.#listener.changed("connecting");
      try {
        const socket = await this.#opened();
        const opened = performance.now();
        if (await this.#conversed(socket)) return;
        if (performance.now() - opened > LONGEST_WAIT) wait = FIRST_WAIT;
        this.#listener.changed("waiting");
      } catch (error) {
        if (!(error instanceof PlainError) || this.#isHopeless(error, performance.now() - began)) throw error;
        this.#listener.changed("waiting", error);
      }
      await this.#pause(wait * (0.5 + Math.random() / 2));
    }
  }

  /**
   * @param {PlainError} error
   * @param {number} waited milliseconds
   */
  #isHopeless(error, waited) {
    if (HOPELESS.has(error.code) || FINAL_ERRORS.has(error.code)) return true;
    return !this.#started && (HOPELESS_AT_FIRST.has(error.code) || waited > FIRST_PATIENCE_MILLISECONDS);
  }

  /** There is something to send, or room for it. */
  pump() {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    clearTimeout(this.#pumping);
    while (socket.bufferedAmount < WAITING_BYTES) {
      const message = this.#stream.nextMessage();
      if (message === null) return;
      this.#say(message);
    }
    this.#pumping = setTimeout(() => this.pump(), WAITING_MILLISECONDS);
  }

  /** Stop at once; what the server has not written down yet is given up. */
  abandon() {
    this.#abandoned = true;
    this.#interrupt();
  }

  /** @param {Message} message */
  #say(message) {
    this.#socket?.send(/** @type {string} */ (this.#end.send(message)));
    this.#spoken = performance.now();
  }

  /** @returns {Promise<WebSocket>} */
  async #opened() {
    const token = await freshToken(this.#base, this.#key);
    const address = new URL("v1/stream", this.#base);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, token === null ? [SUBPROTOCOL] : [SUBPROTOCOL, `token.${token}`]);
    const open = await new Promise((resolve) => {
      const patience = setTimeout(() => resolve(false), OPEN_MILLISECONDS);
      this.#interrupt = () => resolve(false);
      socket.onopen = () => resolve(true);
      socket.onclose = () => resolve(false);
      socket.addEventListener("open", () => clearTimeout(patience));
      socket.addEventListener("close", () => clearTimeout(patience));
    });
    if (open) return socket;
    socket.close();
    throw await reasonOfRefusal(this.#base);
  }

  /**
   * Use one websocket to its end; true if the server has finished or nobody waits any more, false if it should be
   * resumed.
   * @param {WebSocket} socket
   * @returns {Promise<boolean>}
   */
  async #conversed(socket) {
    this.#socket = socket;
    this.#end = new ClientEnd();
    this.#stream.connected();
    this.#spoken = 0;
    this.#heard = performance.now();
    try {
      return await new Promise((resolve, reject) => {
        this.#interrupt = () => resolve(this.#abandoned);
        socket.onclose = ({ code }) => this.#closed(code, resolve, reject);
        socket.onmessage = ({ data }) => this.#guarded(() => this.#take(data, resolve, reject), reject);
        this.#guarded(() => this.pump(), reject);
      });
    } finally {
      this.#leave(socket);
    }
  }

  /** @param {WebSocket} socket */
  #leave(socket) {
    clearTimeout(this.#pumping);
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
    this.#socket = null;
    this.#interrupt = () => {};
  }

  /**
   * @param {() => void} action
   * @param {(error: unknown) => void} reject
   */
  #guarded(action, reject) {
    try {
      action();
    } catch (error) {
      reject(error instanceof ProtocolError ? new PlainError("failed", error.message) : error);
    }
  }

  /**
   * @param {unknown} data
   * @param {(finished: boolean) => void} resolve
   * @param {(error: PlainError) => void} reject
   */
  #take(data, resolve, reject) {
    const message = this.#end.receive(data);
    this.#heard = performance.now();
    if (message.type === "error") {
      if (message.resumable) resolve(false);
      else reject(new PlainError(FINAL_ERRORS.has(message.code) ? message.code : "failed", message.message));
      return;
    }
    const events = this.#stream.received(message);
    if (message.type === "started") this.#welcome(message);
    this.#listener.heard(events);
    this.pump();
    if (message.type === "finished") resolve(true);
  }

  /** @param {Message} started */
  #welcome({ limits }) {
    this.#started = true;
    this.#keepalive = (limits.idle_seconds * 1000) / 3;
    this.#listener.changed("connected");
  }

  /**
   * @param {number} code
   * @param {(finished: boolean) => void} resolve
   * @param {(error: PlainError) => void} reject
   */
  #closed(code, resolve, reject) {
    if (closeIsResumable(code)) resolve(false);
    else reject(new PlainError("failed", `it was closed with code ${code} before all words had come`));
  }

  /** Say that we are still there; and notice a server that is not. */
  #watch() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const now = performance.now();
    const silent = now - this.#heard > SILENT_MILLISECONDS;
    if (silent && this.#spoken > this.#heard) this.#interrupt();
    else if (now - this.#spoken > this.#keepalive && this.#end.state !== "OPENED") this.#say({ type: "keepalive" });
  }

  /**
   * @param {number} milliseconds
   * @returns {Promise<void>}
   */
  #pause(milliseconds) {
    if (this.#abandoned) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#hurry = this.#interrupt = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Errors that the page has words for, after which the stream is over. */
const FINAL_ERRORS = new Set(["bad_option", "superseded", "too_long", "minutes_used_up", "failed"]);
