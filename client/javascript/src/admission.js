/** What must be asked in plain HTTP, because a browser does not tell it why a websocket was refused. */

import { baseOf } from "./address.js";
import { StreamError } from "./errors.js";

const PATIENCE_MILLISECONDS = 10_000;

/**
 * A token that opens one connection, or null where the server knows no tokens. Throws a StreamError.
 * @param {URL} base of the server's addresses
 * @param {string} key the API key, or empty
 * @returns {Promise<string | null>}
 */
export async function freshToken(base, key) {
  const headers = key ? { Authorization: `Bearer ${key}` } : undefined;
  const response = await asked(new URL("v1/tokens", base), { method: "POST", headers });
  switch (response.status) {
    case 200:
      return (await response.json()).token;
    case 401:
      throw new StreamError(key ? "unauthorized" : "key_needed");
    case 403:
      throw new StreamError("forbidden_origin");
    case 404:
    case 405:
      return null;
    default:
      throw new StreamError("unreachable", `the server answered ${response.status}`);
  }
}

/**
 * What the server recognizes: its models, the first of which is that of streams that name none.
 * @param {string | URL} url
 * @returns {Promise<{model: string, languages: string[], models?: {name: string, languages: string[]}[]}>}
 */
export async function info(url) {
  const response = await asked(new URL("v1/info", baseOf(url)), {});
  if (!response.ok) throw new StreamError(response.status === 503 ? "starting" : "failed", `the server answered ${response.status}`);
  return response.json();
}

/**
 * Why a websocket could not be opened.
 * @param {URL} base
 * @returns {Promise<StreamError>}
 */
export async function reasonOfRefusal(base) {
  try {
    const response = await asked(new URL("readyz", base), {});
    const status = response.status === 503 ? (await response.json()).status : "ready";
    return new StreamError(["starting", "draining", "full"].includes(status) ? status : "refused");
  } catch (error) {
    return error instanceof StreamError ? error : new StreamError("unreachable", String(error));
  }
}

/**
 * An answer, whatever its status. Throws a StreamError where none comes.
 * @param {URL} address
 * @param {RequestInit} options
 */
export async function asked(address, options) {
  try {
    return await fetch(address, { ...options, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MILLISECONDS) });
  } catch (error) {
    throw new StreamError("unreachable", String(error));
  }
}
