/** What went wrong, by a code that a program can act on. */

/** @type {Readonly<Record<string, string>>} */
const REASONS = Object.freeze({
  insecure_page: "browsers give a microphone to secure pages only: https, or localhost",
  microphone_denied: "the browser did not get permission to use the microphone",
  no_microphone: "there is no microphone",
  microphone_gone: "the chosen microphone is not there any more",
  microphone_busy: "the microphone could not be opened; perhaps another program uses it",
  microphone_failed: "the microphone could not be opened",
  tab_unsupported: "this browser does not share the sound of a tab or of the system",
  tab_denied: "sharing was cancelled",
  tab_silent: "what was shared has no sound; share a tab, or tick the box for its sound",
  unauthorized: "the server did not accept the API key",
  key_needed: "the server asks for an API key",
  forbidden_origin: "the server does not let pages of this origin connect",
  unreachable: "the server does not answer",
  starting: "the server is still starting",
  draining: "the server takes no new streams; it is about to stop",
  full: "the server is full",
  refused: "the server refused the connection",
  lost: "the connection was lost",
  going_away: "the server stops",
  unread: "too many events wait to be read; iterate over the stream",
  not_found: "there is nothing to watch at this address",
  closed: "the stream was closed",
  failed: "the stream failed",
});

/** `code` names the reason, `detail` may add what the other side said. */
export class StreamError extends Error {
  /**
   * @param {string} code
   * @param {string} [detail]
   */
  constructor(code, detail = "") {
    const reason = Object.hasOwn(REASONS, code) ? REASONS[code] : REASONS.failed;
    super(detail ? `${reason}: ${detail}` : reason);
    this.name = "StreamError";
    this.code = code;
    this.detail = detail;
  }
}
