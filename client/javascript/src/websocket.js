/** Websockets as every platform has them. */

const OPEN_MILLISECONDS = 10_000;

/**
 * The websocket of this platform: its own one, or for a Node that has none (before 22) ours.
 * @returns {Promise<typeof WebSocket>}
 */
export async function websocketClass() {
  if (globalThis.WebSocket) return globalThis.WebSocket;
  const { NodeWebSocket } = await import("./node_websocket.js");
  return /** @type {any} */ (NodeWebSocket);
}

/**
 * Whether a websocket has opened, in ten seconds at most.
 * @param {WebSocket} socket
 * @param {(interrupt: () => void) => void} interruptible is given what ends the wait
 * @returns {Promise<boolean>}
 */
export function opened(socket, interruptible) {
  return new Promise((resolve) => {
    const settle = (/** @type {boolean} */ open) => {
      clearTimeout(patience);
      resolve(open);
    };
    const patience = setTimeout(settle, OPEN_MILLISECONDS, false);
    interruptible(() => settle(false));
    socket.onopen = () => settle(true);
    socket.onclose = socket.onerror = () => settle(false);
  });
}
