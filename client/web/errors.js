/** What went wrong, in plain words. */

import { StreamError } from "./javascript/index.js";

/** @type {Readonly<Record<string, string>>} */
const WORDS = Object.freeze({
  insecure_page: "Browsers give the microphone to secure pages only. Open this page over https, or on the machine itself at localhost.",
  microphone_denied: "The browser did not get permission to use the microphone. Allow it in the address bar (or in the settings of your system), then press Start again.",
  no_microphone: "No microphone was found. Plug one in, then press Start again.",
  microphone_gone: "The chosen microphone is not there any more. Choose another one in the settings.",
  microphone_busy: "The microphone could not be opened. Perhaps another program is using it.",
  microphone_failed: "The microphone could not be opened",
  microphone_ended: "The microphone was unplugged. What was said up to then is being written down.",
  tab_ended: "The sound is not shared any more. What was heard up to then is being written down.",
  tab_unsupported: "This browser does not let a page hear a tab or the system. Chrome and Edge do, on a computer.",
  tab_denied: "Nothing was shared. Press Start and choose a tab, a window or the screen.",
  tab_silent: "What was shared has no sound. Choose a tab, and tick the box “Also share tab audio”.",
  source_paused: "The browser has paused the sound. Touch the page, or press Stop and Start.",
  source_no_output: "This browser runs no audio while the computer has no output device, not even to listen. Plug in headphones or a loudspeaker, or use Chrome or Edge.",
  file_unreadable: "The browser cannot play this file",
  file_too_big: "This file is too long for a browser. Give it to “streaming-asr transcribe”",
  unauthorized: "This server asks for an API key, and did not accept the one that was given. Enter the key in the settings.",
  key_needed: "This server asks for an API key. Enter it in the settings.",
  forbidden_origin: "This server does not let pages of this address connect.",
  unreachable: "The server does not answer. Is it running, and are you online?",
  starting: "The server is still starting.",
  draining: "The server is about to stop.",
  going_away: "The server has stopped.",
  lost: "The connection was lost.",
  not_found: "The speaker has not begun, or this address has ended.",
  full: "The server is full at the moment: it serves as many people as it can. Try again in a while.",
  refused: "The server refused the connection. If it gave you a key, the key's limit of streams or minutes may be reached.",
  bad_option: "The server cannot work with these settings",
  superseded: "This recording was continued on another connection.",
  too_long: "The recording has reached the longest time that the server allows. All words so far are here. Press Start to go on.",
  minutes_used_up: "The minutes of this key are used up. All words so far are here.",
  failed: "The connection to the server failed",
  broken: "Something in this page went wrong",
});

/** What helps where nobody can press a button, as in OBS. */
const OVERLAY_HINT =
  "OBS gives its pages a microphone only if it was started with --use-fake-ui-for-media-stream. Without one: open the caption page in a browser, press Share there, and put ?overlay=1 before the # of that address here.";

/**
 * A sentence or two for a person.
 * @param {unknown} error
 * @param {boolean} [isOverlay]
 */
export function plainWords(error, isOverlay = false) {
  const code = error instanceof StreamError ? error.code : "broken";
  if (isOverlay && ["microphone_denied", "no_microphone", "insecure_page"].includes(code)) return `No microphone. ${OVERLAY_HINT}`;
  const said = Object.hasOwn(WORDS, code) ? WORDS[code] : WORDS.failed;
  const detail = error instanceof StreamError ? error.detail : String(error);
  return said.endsWith(".") || !detail ? said.replace(/\.?$/, ".") : `${said}: ${detail.replace(/\.?$/, ".")}`;
}
