/**
 * One stream to the server, over as many websockets as it takes.
 *
 * @typedef {import("./protocol.js").Message} Message
 * @typedef {import("./protocol.js").ClientStream} ClientStream
 * @typedef {object} Listener
 * @property {(events: Message[]) => void} heard what the server said that is news
 * @property {(state: "connecting" | "connected" | "waiting", reason?: StreamError) => void} changed
 * @typedef {object} ConnectionOptions
 * @property {URL} base of the server's addresses
 * @property {() => Promise<string | null>} token opens one connection; null where none is needed
 * @property {number} patienceSeconds how long the first connection may take
 * @property {number} giveUpSeconds how long a later one may
 * @property {typeof WebSocket} WebSocket
 * @property {Listener} listener
 */

import { socketAddress } from "./address.js";
import { reasonOfRefusal } from "./admission.js";
import { StreamError } from "./errors.js";
import { opened } from "./websocket.js";
import { ClientEnd, ProtocolError, SUBPROTOCOL, closeIsResumable } from "./protocol.js";

/** Bytes that may wait in the websocket; more stays in the stream, and is sent when these are on their way. */
const WAITING_BYTES = 1 << 17;
const WAITING_MILLISECONDS = 40;

/** A server that is sent audio acknowledges every second; one that says nothing for so long is gone. */
const SILENT_MILLISECONDS = 20_000;
const WATCH_MILLISECONDS = 1000;

const FIRST_WAIT = 100;
const LONGEST_WAIT = 5000;

/** `readyState` of a websocket that is open; not every implementation has the name. */
const OPEN = 1;

const HOPELESS = new Set(["unauthorized", "key_needed", "forbidden_origin", "unread"]);
const HOPELESS_AT_FIRST = new Set(["full", "refused"]);

export class Connection {
  #stream;
  #options;
  #listener;
  /** @type {WebSocket | null} */
  #socket = null;
  #end = new ClientEnd();
  #spoken = 0;
  #heard = 0;
  #keepalive = 10_000;
  #started = false;
  #abandoned = false;
  /** @type {StreamError | null} why the server ended the present websocket */
  #farewell = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pumping;
  /** @type {() => void} ends the present attempt, connection or wait between attempts */
  #interrupt = () => {};
  /** @type {() => void} ends the present wait only */
  #hurry = () => {};

  /**
   * @param {ClientStream} stream
   * @param {ConnectionOptions} options
   */
  constructor(stream, options) {
    this.#stream = stream;
    this.#options = options;
    this.#listener = options.listener;
  }

  /** Bytes in the websocket that the network has not taken yet. */
  get bufferedBytes() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /**
   * Keep a connection until the server has finished, or `abandon` was called. Throws a StreamError where there is no
   * way to go on.
   */
  async run() {
    const hurry = () => this.#hurry();
    const interrupt = () => this.#interrupt();
    globalThis.addEventListener?.("online", hurry);
    globalThis.addEventListener?.("offline", interrupt);
    const watch = setInterval(() => this.#watch(), WATCH_MILLISECONDS);
    try {
      await this.#keepConnected();
    } finally {
      clearInterval(watch);
      globalThis.removeEventListener?.("online", hurry);
      globalThis.removeEventListener?.("offline", interrupt);
    }
  }

  async #keepConnected() {
    let alone = performance.now();
    for (let wait = FIRST_WAIT; !this.#abandoned; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      this.#listener.changed("connecting");
      try {
        const socket = await this.#opened();
        const opened = performance.now();
        if (await this.#conversed(socket)) return;
        alone = performance.now();
        if (alone - opened > LONGEST_WAIT) wait = FIRST_WAIT;
        this.#listener.changed("waiting", this.#farewell ?? new StreamError("lost"));
      } catch (error) {
        if (this.#abandoned) return;
        if (!(error instanceof StreamError) || this.#isHopeless(error, performance.now() - alone)) throw error;
        this.#listener.changed("waiting", error);
      }
      await this.#pause(wait * (0.5 + Math.random() / 2));
    }
  }

  /**
   * @param {StreamError} error
   * @param {number} waited milliseconds
   */
  #isHopeless(error, waited) {
    if (HOPELESS.has(error.code) || FINAL_ERRORS.has(error.code)) return true;
    const { patienceSeconds, giveUpSeconds } = this.#options;
    if (this.#started) return waited > giveUpSeconds * 1000;
    return HOPELESS_AT_FIRST.has(error.code) || waited > patienceSeconds * 1000;
  }

  /** There is something to send, or room for it. */
  pump() {
    const socket = this.#socket;
    if (socket?.readyState !== OPEN) return;
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
    const { base, token, WebSocket } = this.#options;
    const ticket = await token();
    if (this.#abandoned) throw new StreamError("closed");
    // A browser sets no headers: what opens the door is offered as a subprotocol.
    const subprotocols = ticket === null ? [SUBPROTOCOL] : [SUBPROTOCOL, `token.${ticket}`];
    const socket = new WebSocket(socketAddress(base, "v1/stream"), subprotocols);
    socket.binaryType = "arraybuffer";
    const open = await opened(socket, (interrupt) => (this.#interrupt = interrupt));
    if (open) return socket;
    socket.close();
    throw await reasonOfRefusal(base);
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
    this.#farewell = null;
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
      reject(error instanceof ProtocolError ? new StreamError("failed", error.message) : error);
    }
  }

  /**
   * @param {unknown} data
   * @param {(finished: boolean) => void} resolve
   * @param {(error: StreamError) => void} reject
   */
  #take(data, resolve, reject) {
    const message = this.#end.receive(data);
    this.#heard = performance.now();
    if (message.type === "error") {
      this.#farewell = new StreamError(message.code, message.message);
      if (message.resumable) resolve(false);
      else reject(new StreamError(FINAL_ERRORS.has(message.code) ? message.code : "failed", message.message));
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
   * @param {(error: StreamError) => void} reject
   */
  #closed(code, resolve, reject) {
    if (closeIsResumable(code)) resolve(false);
    else reject(new StreamError("failed", `it was closed with code ${code} before all words had come`));
  }

  /** Say that we are still there; and notice a server that is not. */
  #watch() {
    if (this.#socket?.readyState !== OPEN) return;
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

/** Errors with a name of their own, after which the stream is over. */
const FINAL_ERRORS = new Set(["bad_option", "superseded", "too_long", "minutes_used_up", "failed"]);
