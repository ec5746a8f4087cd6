/**
 * A websocket for a Node that has none of its own: what a client needs of RFC 6455, with the names of the browsers'.
 */

import { createHash, randomBytes } from "node:crypto";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";

/** RFC 6455, section 1.3. */
const ACCEPTANCE = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CODES = Object.freeze({ continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 });
const MOST_BYTES = 1 << 24;
/** A server that does not answer a close is left after this. */
const FAREWELL_MILLISECONDS = 2000;

export class NodeWebSocket {
  /** 0 connecting, 1 open, 2 closing, 3 closed */
  readyState = 0;
  protocol = "";
  binaryType = "arraybuffer";
  /** @type {(() => void) | null} */
  onopen = null;
  /** @type {((event: {code: number, reason: string}) => void) | null} */
  onclose = null;
  /** @type {((event: {message: string}) => void) | null} */
  onerror = null;
  /** @type {((event: {data: string | ArrayBuffer}) => void) | null} */
  onmessage = null;
  #key = randomBytes(16).toString("base64");
  #request;
  /** @type {import("node:stream").Duplex | null} */
  #socket = null;
  #frames = new FrameReader();
  /** @type {{binary: boolean, parts: Buffer[], bytes: number} | null} */
  #message = null;
  #code = 1006;
  #reason = "";

  /**
   * @param {string | URL} address
   * @param {string[]} [protocols]
   */
  constructor(address, protocols = []) {
    const url = new URL(address);
    const secure = url.protocol === "wss:";
    url.protocol = secure ? "https:" : "http:";
    const offered = protocols.length ? { "Sec-WebSocket-Protocol": protocols.join(", ") } : {};
    const upgrade = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13" };
    this.#request = (secure ? requestHttps : requestHttp)(url, {
      headers: { ...upgrade, "Sec-WebSocket-Key": this.#key, ...offered },
    });
    this.#request.on("upgrade", (response, socket, head) => this.#upgraded(response, socket, head));
    this.#request.on("response", (response) => {
      response.resume();
      this.#fail(`the server answered ${response.statusCode}`);
    });
    this.#request.on("error", (error) => this.#fail(String(error)));
    this.#request.end();
  }

  /** Bytes that the network has not taken yet. */
  get bufferedAmount() {
    return this.#socket?.writableLength ?? 0;
  }

  /** @param {string | ArrayBufferView | ArrayBuffer} data */
  send(data) {
    if (this.readyState !== 1) return;
    if (typeof data === "string") return this.#write(CODES.text, Buffer.from(data));
    const view = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
    this.#write(CODES.binary, Buffer.from(view.buffer, view.byteOffset, view.byteLength));
  }

  /**
   * @param {number} [code]
   * @param {string} [reason]
   */
  close(code = 1000, reason = "") {
    if (this.readyState >= 2) return;
    if (this.readyState === 0) return this.#fail("closed before it was open");
    this.readyState = 2;
    this.#writeClose(code, reason);
    setTimeout(() => this.#socket?.destroy(), FAREWELL_MILLISECONDS).unref();
  }

  /**
   * @param {import("node:http").IncomingMessage} response
   * @param {import("node:stream").Duplex} socket
   * @param {Buffer} head
   */
  #upgraded(response, socket, head) {
    this.#socket = socket;
    const accepted = createHash("sha1").update(this.#key + ACCEPTANCE).digest("base64");
    if (response.headers["sec-websocket-accept"] !== accepted) return this.#fail("the server does not speak websocket");
    if (this.readyState !== 0) return void socket.destroy();
    this.protocol = response.headers["sec-websocket-protocol"] ?? "";
    socket.on("data", (bytes) => this.#guarded(bytes));
    socket.on("error", (error) => this.onerror?.({ message: String(error) }));
    socket.on("end", () => socket.end());
    socket.on("close", () => this.#closed());
    this.readyState = 1;
    this.onopen?.();
    if (head.length) this.#guarded(head);
  }

  /** @param {Buffer} bytes */
  #guarded(bytes) {
    try {
      for (const frame of this.#frames.push(bytes)) this.#take(frame);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#code = error.code;
      this.#writeClose(error.code, error.message);
      this.#socket?.destroy();
    }
  }

  /** @param {Frame} frame */
  #take({ code, last, payload }) {
    if (code === CODES.ping) this.#write(CODES.pong, payload);
    else if (code === CODES.close) this.#takeClose(payload);
    else if (code !== CODES.pong) this.#takePart(code, last, payload);
  }

  /** @param {Buffer} payload */
  #takeClose(payload) {
    this.#code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
    this.#reason = payload.subarray(2).toString();
    if (this.readyState === 1) this.#writeClose(this.#code === 1005 ? 1000 : this.#code, "");
    this.readyState = 2;
    this.#socket?.end();
  }

  /**
   * @param {number} code
   * @param {boolean} last
   * @param {Buffer} payload
   */
  #takePart(code, last, payload) {
    if ((code === CODES.continuation) === (this.#message === null)) throw new FrameError(1002, "frames out of order");
    this.#message ??= { binary: code === CODES.binary, parts: [], bytes: 0 };
    this.#message.parts.push(payload);
    this.#message.bytes += payload.length;
    if (this.#message.bytes > MOST_BYTES) throw new FrameError(1009, "the message is too big");
    if (!last) return;
    const whole = Buffer.concat(this.#message.parts);
    const data = this.#message.binary ? new Uint8Array(whole).buffer : whole.toString();
    this.#message = null;
    this.onmessage?.({ data });
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #writeClose(code, reason) {
    const number = Buffer.alloc(2);
    number.writeUInt16BE(code);
    this.#write(CODES.close, Buffer.concat([number, Buffer.from(reason)]));
  }

  /**
   * One frame; a client masks what it sends (RFC 6455, section 5.3).
   * @param {number} code
   * @param {Buffer} payload
   */
  #write(code, payload) {
    const mask = randomBytes(4);
    const masked = Buffer.from(payload);
    for (let index = 0; index < masked.length; index++) masked[index] ^= mask[index & 3];
    this.#socket?.write(Buffer.concat([header(code, payload.length), mask, masked]));
  }

  /** @param {string} message */
  #fail(message) {
    if (this.readyState === 3) return;
    this.#request.destroy();
    this.#socket?.destroy();
    this.onerror?.({ message });
    this.#closed();
  }

  #closed() {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code: this.#code, reason: this.#reason });
  }
}

/**
 * @param {number} code
 * @param {number} length
 */
function header(code, length) {
  const size = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const bytes = Buffer.alloc(size);
  bytes[0] = 0x80 | code;
  bytes[1] = 0x80 | (size === 2 ? length : size === 4 ? 126 : 127);
  if (size === 4) bytes.writeUInt16BE(length, 2);
  if (size === 10) bytes.writeBigUInt64BE(BigInt(length), 2);
  return bytes;
}

/** The server broke the protocol. */
class FrameError extends Error {
  /**
   * @param {number} code to close with
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** @typedef {{code: number, last: boolean, payload: Buffer}} Frame */

/** Frames out of bytes that may be cut anywhere. */
export class FrameReader {
  /** @type {Buffer} */
  #bytes = Buffer.alloc(0);

  /**
   * Throws where a frame is none that a server may send.
   * @param {Buffer} bytes
   * @returns {Frame[]}
   */
  push(bytes) {
    this.#bytes = this.#bytes.length ? Buffer.concat([this.#bytes, bytes]) : bytes;
    const frames = [];
    for (let frame; (frame = this.#next()) !== null; ) frames.push(frame);
    return frames;
  }

  /** @returns {Frame | null} */
  #next() {
    const [first, second] = this.#bytes;
    if (this.#bytes.length < 2) return null;
    if (first & 0x70 || second & 0x80) throw new FrameError(1002, "a frame with bits that nobody asked for");
    const short = second & 0x7f;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (this.#bytes.length < start) return null;
    const length = short < 126 ? short : short === 126 ? this.#bytes.readUInt16BE(2) : Number(this.#bytes.readBigUInt64BE(2));
    if (length > MOST_BYTES) throw new FrameError(1009, "the message is too big");
    if (this.#bytes.length < start + length) return null;
    const payload = this.#bytes.subarray(start, start + length);
    this.#bytes = this.#bytes.subarray(start + length);
    return { code: first & 0x0f, last: (first & 0x80) !== 0, payload };
  }
}
