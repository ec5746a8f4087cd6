/** Speech to text over one websocket: https://www.rfc-editor.org/rfc/rfc6455 below, `docs/protocol.md` above. */

export { info } from "./admission.js";
export { StreamError } from "./errors.js";
export { hasTabAudio, LiveAudio, microphones, openMicrophone, openTabAudio, prepareListening } from "./live_audio.js";
export { connect, HELD_SECONDS, SpeechStream } from "./stream.js";
export { newSecret, share, unshare, watch } from "./view.js";
