/**
 * One stream, many readers: a view shows the words of a stream to everyone who has its address.
 *
 * @typedef {import("./index.js").ViewEvent} ViewEvent
 * @typedef {import("./index.js").WatchOptions} WatchOptions
 * @typedef {import("./index.js").ShareOptions} ShareOptions
 */

import { baseOf, socketAddress } from "./address.js";
import { asked } from "./admission.js";
import { StreamError } from "./errors.js";
import { opened, websocketClass } from "./websocket.js";

const FIRST_WAIT = 200;
const LONGEST_WAIT = 5000;

/** A new secret: whoever has it may show streams in its view, and the view's address stays the same with it. */
export function newSecret() {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

/**
 * Make a view, and show a stream in it if one is given; returns the view's name, and how many watch it.
 * @param {string | URL} url of the server
 * @param {ShareOptions} options
 * @returns {Promise<{view: string, watching: number}>}
 */
export async function share(url, options) {
  const response = await change(url, "POST", options);
  const { view, watching } = await response.json();
  return { view, watching };
}

/**
 * End a view: who watches it is told, and its words are forgotten.
 * @param {string | URL} url of the server
 * @param {ShareOptions} options
 */
export async function unshare(url, options) {
  await change(url, "DELETE", options);
}

/**
 * @param {string | URL} url
 * @param {string} method
 * @param {ShareOptions} options
 */
async function change(url, method, { key, ...body }) {
  const headers = new Headers({ "Content-Type": "application/json" });
  if (key) headers.set("Authorization", `Bearer ${key}`);
  const response = await asked(new URL("v1/views", baseOf(url)), { method, headers, body: JSON.stringify(body) });
  if (response.ok) return response;
  if (response.status === 401) throw new StreamError(key ? "unauthorized" : "key_needed");
  const { error } = await response.json().catch(() => ({}));
  throw new StreamError(error?.code ?? "failed", error?.message ?? `the server answered ${response.status}`);
}

/**
 * The words of a view: those that were said before, then those that come, over as many websockets as it takes.
 *
 * Ends when the view does or `signal` says so; waits for a view that is not there yet.
 * @param {string | URL} url of the server
 * @param {string} view
 * @param {WatchOptions} [options]
 * @returns {AsyncGenerator<ViewEvent, void, undefined>}
 */
export async function* watch(url, view, { signal, onstate, WebSocket } = {}) {
  const Socket = WebSocket ?? (await websocketClass());
  const base = baseOf(url);
  /** @type {Position} */
  const position = { after: -1, epoch: "" };
  for (let wait = FIRST_WAIT; !signal?.aborted; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    onstate?.("connecting");
    const reading = new Reading(new Socket(addressOf(base, view, position)), signal);
    for await (const event of reading.events()) {
      wait = FIRST_WAIT;
      if (event.type === "view") onstate?.("connected");
      if (remember(position, event)) yield event;
    }
    if (reading.ended || signal?.aborted) return;
    onstate?.("waiting", reading.wasOpen ? new StreamError("lost") : await whyNot(base, view));
    await pause(wait * (0.5 + Math.random() / 2), signal);
  }
}

/** @typedef {{after: number, epoch: string}} Position the last line that was read, of which life of the view */

/**
 * @param {URL} base
 * @param {string} view
 * @param {Position} position
 */
function addressOf(base, view, { after, epoch }) {
  const address = socketAddress(base, `v1/views/${encodeURIComponent(view)}`);
  if (after >= 0) address.search = new URLSearchParams({ after: String(after), epoch }).toString();
  return address;
}

/**
 * Whether an event is news.
 * @param {Position} position
 * @param {ViewEvent} event
 */
function remember(position, event) {
  if (event.type === "view" && event.epoch !== position.epoch) Object.assign(position, { after: -1, epoch: event.epoch });
  if (event.type !== "final") return true;
  if (event.line <= position.after) return false;
  position.after = event.line;
  return true;
}

/**
 * @param {URL} base
 * @param {string} view
 */
async function whyNot(base, view) {
  try {
    const { status } = await asked(new URL(`v1/views/${encodeURIComponent(view)}`, base), {});
    return new StreamError(status === 404 ? "not_found" : status === 200 ? "full" : "refused");
  } catch (error) {
    return error instanceof StreamError ? error : new StreamError("unreachable", String(error));
  }
}

/** One websocket of a view. */
class Reading {
  #socket;
  #signal;
  /** @type {ViewEvent[]} */
  #events = [];
  #over = false;
  #wake = () => {};
  wasOpen = false;
  /** Whether the view itself is over. */
  ended = false;

  /**
   * @param {WebSocket} socket
   * @param {AbortSignal} [signal]
   */
  constructor(socket, signal) {
    this.#socket = socket;
    this.#signal = signal;
  }

  /** @returns {AsyncGenerator<ViewEvent, void, undefined>} */
  async *events() {
    const stop = () => this.#end();
    this.#signal?.addEventListener("abort", stop);
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    try {
      this.wasOpen = await opened(this.#socket, (interrupt) => (this.#wake = interrupt));
      this.#socket.onclose = ({ code }) => this.#end(code);
      while (this.wasOpen && !(this.#over && !this.#events.length)) {
        yield* this.#events.splice(0);
        if (!this.#over && !this.#events.length) await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
      }
    } finally {
      this.#signal?.removeEventListener("abort", stop);
      this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
  }

  /** @param {ViewEvent | {type: "lines", lines: ViewEvent[]}} event one, or many lines that were said before */
  #take(event) {
    if (event.type === "lines") {
      this.#events.push(...event.lines);
      return this.#wake();
    }
    const last = this.#events.at(-1);
    if (last?.type === "partial" && event.type === "partial") this.#events.pop();
    this.#events.push(event);
    this.#wake();
  }

  /** @param {number} [code] */
  #end(code) {
    this.ended = code === 1000;
    this.#over = true;
    this.#wake();
  }
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
