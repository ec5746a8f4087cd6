/**
 * The address of a server as one may write it (`ws://`, `wss://`, `http://`, `https://`; with or without `/v1/stream`),
 * as the base of all its addresses. Throws a TypeError where it is none.
 * @param {string | URL} address
 * @returns {URL}
 */
export function baseOf(address) {
  const base = new URL(address, globalThis.location?.href);
  base.protocol = base.protocol.replace(/^ws/, "http");
  if (!/^https?:$/.test(base.protocol)) throw new TypeError(`${address} is no address of a server; write ws://HOST:PORT`);
  base.pathname = base.pathname.replace(/v1\/stream\/?$/, "").replace(/\/?$/, "/");
  base.search = base.hash = "";
  return base;
}

/**
 * A websocket's address below the base.
 * @param {URL} base
 * @param {string} path
 * @returns {URL}
 */
export function socketAddress(base, path) {
  const address = new URL(path, base);
  address.protocol = base.protocol.replace(/^http/, "ws");
  return address;
}
