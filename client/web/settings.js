/**
 * What a person has chosen, kept in this browser; the API key for this tab only.
 *
 * @typedef {object} Settings
 * @property {string} device
 * @property {string} model
 * @property {string} language
 * @property {string} hotwords as they were typed
 * @property {number} size of the text, 1 is normal
 * @property {boolean} sentences whether text of one letter case is written as sentences
 * @property {boolean} cleaning whether the browser removes echo and noise
 * @property {"" | "light" | "dark"} theme
 * @property {string} key
 */

const NAME = "captions";
const KEY_NAME = "captions-key";

/** @type {Settings} */
const DEFAULTS = Object.freeze({
  device: "",
  model: "",
  language: "",
  hotwords: "",
  size: 1,
  sentences: true,
  cleaning: false,
  theme: "",
  key: "",
});

/**
 * What was kept, then what the address says: `?model=mms&language=en&hotwords=…&size=1.5#key=…`.
 * @param {Location | URL} address
 * @returns {Settings}
 */
export function loadSettings(address) {
  const query = new URLSearchParams(address.search);
  const fragment = new URLSearchParams(address.hash.slice(1));
  const kept = { ...stored(localStorage, NAME), key: stored(sessionStorage, KEY_NAME).key };
  const named = {
    model: query.get("model"),
    language: query.get("language"),
    hotwords: query.get("hotwords"),
    key: fragment.get("key"),
  };
  const size = Number(query.get("size"));
  return checked({ ...kept, ...present(named), ...(size > 0 ? { size: Math.min(4, size) } : {}) });
}

/** @param {Settings} settings */
export function saveSettings({ key, ...others }) {
  try {
    localStorage.setItem(NAME, JSON.stringify(others));
    sessionStorage.setItem(KEY_NAME, JSON.stringify({ key }));
  } catch (error) {
    // A private window may refuse; the settings then last as long as the page.
    console.info("settings are not kept:", String(error));
  }
}

/**
 * @param {Storage} storage
 * @param {string} name
 * @returns {Record<string, unknown>}
 */
function stored(storage, name) {
  try {
    return JSON.parse(storage.getItem(name) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/** @type {(values: Record<string, unknown>) => Record<string, unknown>} */
const present = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));

/**
 * Only what is known, and of the right kind.
 * @param {Record<string, unknown>} values
 * @returns {Settings}
 */
function checked(values) {
  const entries = Object.entries(DEFAULTS).map(([name, usual]) => [
    name,
    typeof values[name] === typeof usual ? values[name] : usual,
  ]);
  return Object.fromEntries(entries);
}

/** The weight of a hotword that was given none. */
const USUAL_WEIGHT = 10;
const MOST_HOTWORDS = 1000;

/**
 * Hotwords as they are typed: one per line or between commas, `word = weight` where the usual weight does not fit.
 * @param {string} text
 * @returns {Record<string, number>}
 */
export function parsedHotwords(text) {
  const entries = text
    .split(/[\n,;]+/u)
    .map((entry) => /^\s*(?<word>.*?)\s*(?:=\s*(?<weight>[-+]?\d+(?:\.\d+)?))?\s*$/u.exec(entry)?.groups)
    .filter((groups) => groups?.word)
    .map((groups) => [groups?.word.slice(0, 200), clamped(Number(groups?.weight ?? USUAL_WEIGHT))]);
  return Object.fromEntries(entries.slice(0, MOST_HOTWORDS));
}

/** @type {(weight: number) => number} */
const clamped = (weight) => Math.max(-100, Math.min(100, weight));
