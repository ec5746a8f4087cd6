/** What went wrong, in plain words. */

/** @type {Readonly<Record<string, string>>} */
const WORDS = Object.freeze({
  insecure_page: "Browsers give the microphone to secure pages only. Open this page over https, or on the machine itself at localhost.",
  microphone_denied: "The browser did not get permission to use the microphone. Allow it in the address bar (or in the settings of your system), then press Start again.",
  no_microphone: "No microphone was found. Plug one in, then press Start again.",
  microphone_gone: "The chosen microphone is not there any more. Choose another one in the settings.",
  microphone_busy: "The microphone could not be opened. Perhaps another program is using it.",
  microphone_failed: "The microphone could not be opened",
  microphone_unplugged: "The microphone was unplugged. What was said up to then is being written down.",
  microphone_paused: "The browser has paused the microphone. Touch the page, or press Stop and Start.",
  unauthorized: "This server asks for an API key, and did not accept the one that was given. Enter the key in the settings.",
  key_needed: "This server asks for an API key. Enter it in the settings.",
  forbidden_origin: "This server does not let pages of this address connect.",
  unreachable: "The server does not answer. Is it running, and are you online?",
  starting: "The server is still starting. Try again in a moment.",
  draining: "The server is shutting down. Try again in a minute.",
  full: "The server is full at the moment: it serves as many people as it can. Try again in a while.",
  refused: "The server refused the connection. If it gave you a key, the key's limit of streams or minutes may be reached.",
  bad_option: "The server cannot work with these settings",
  superseded: "This recording was continued on another connection.",
  too_long: "The recording has reached the longest time that the server allows. All words so far are here. Press Start to go on.",
  minutes_used_up: "The minutes of this key are used up. All words so far are here.",
  failed: "The connection to the server failed",
  broken: "Something in this page went wrong",
});

/** An error that a person can read: `code` names a sentence, `detail` may add what the other side said. */
export class PlainError extends Error {
  /**
   * @param {string} code
   * @param {string} [detail]
   */
  constructor(code, detail = "") {
    super(detail || code);
    this.name = "PlainError";
    this.code = code;
    this.detail = detail;
  }
}

/**
 * A sentence or two for a person.
 * @param {unknown} error
 */
export function plainWords(error) {
  const code = error instanceof PlainError ? error.code : "broken";
  const said = Object.hasOwn(WORDS, code) ? WORDS[code] : WORDS.failed;
  const detail = error instanceof PlainError ? error.detail : String(error);
  return said.endsWith(".") || !detail ? said.replace(/\.?$/, ".") : `${said}: ${detail.replace(/\.?$/, ".")}`;
}
