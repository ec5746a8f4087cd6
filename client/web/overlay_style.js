/**
 * How captions over a picture look, as the address says: `font`, `colour`, `back`, `dense`, `place`, `size`.
 *
 * @typedef {object} OverlayStyle
 * @property {string} font a family, or empty for the system's
 * @property {string} colour of the text, `#rrggbb`
 * @property {string} back what is behind it
 * @property {number} dense how much of the picture that hides, from 0 to 1
 * @property {string} place
 * @property {number} size 1 is normal
 */

const PLACES = ["bottom", "bottom-left", "bottom-right", "middle", "top", "top-left", "top-right"];

/** @type {OverlayStyle} */
export const USUAL = Object.freeze({ font: "", colour: "#ffffff", back: "#000000", dense: 0.72, place: "bottom", size: 1 });

/**
 * What cannot be is passed over.
 * @param {URLSearchParams} query
 * @returns {OverlayStyle}
 */
export function overlayOf(query) {
  const place = query.get("place") ?? "";
  return {
    font: (query.get("font") ?? "").replace(/[^\p{L}\p{N} ,._-]/gu, "").slice(0, 80),
    colour: colourOf(query.get("colour") ?? query.get("color"), USUAL.colour),
    back: colourOf(query.get("back"), USUAL.back),
    dense: numberOf(query.get("dense"), 0, 1, USUAL.dense),
    place: PLACES.includes(place) ? place : USUAL.place,
    size: numberOf(query.get("size"), 0.1, 4, USUAL.size),
  };
}

/**
 * The address of an overlay; what is usual is left out.
 * @param {URL} base
 * @param {OverlayStyle} style
 * @param {{model: string, language: string, hotwords: string}} settings
 */
export function overlayAddress(base, style, { model, language, hotwords }) {
  const query = new URLSearchParams({ overlay: "1" });
  if (model) query.set("model", model);
  if (language) query.set("language", language);
  if (hotwords.trim()) query.set("hotwords", hotwords.trim().replace(/\s*\n\s*/gu, ","));
  for (const [name, value] of Object.entries(style)) {
    const usual = USUAL[/** @type {keyof OverlayStyle} */ (name)];
    if (value !== usual && value !== "") query.set(name, String(value).replace("#", ""));
  }
  return `${base}?${query}`;
}

/**
 * @param {HTMLElement} element the page's root, or a preview
 * @param {OverlayStyle} style
 */
export function applyOverlay(element, { font, colour, back, dense, place, size }) {
  element.dataset.place = place;
  const families = font.split(",").map((family) => `"${family.trim()}"`);
  element.style.setProperty("--overlay-font", font ? `${families.join(", ")}, var(--sans)` : "var(--sans)");
  element.style.setProperty("--overlay-ink", colour);
  element.style.setProperty("--overlay-back", back);
  element.style.setProperty("--overlay-dense", String(dense));
  element.style.setProperty("--overlay-size", String(size));
}

/**
 * @param {string | null} text `ffcc00`, with or without `#`, or a name
 * @param {string} usual
 */
function colourOf(text, usual) {
  const hexadecimal = /^#?(?<digits>[\da-f]{3}|[\da-f]{6})$/i.exec(text ?? "")?.groups?.digits;
  if (hexadecimal) return `#${hexadecimal}`;
  return text && /^[a-z]+$/i.test(text) && CSS.supports("color", text) ? text : usual;
}

/**
 * @param {string | null} text
 * @param {number} least
 * @param {number} most
 * @param {number} usual
 */
function numberOf(text, least, most, usual) {
  const value = Number(text);
  return text && Number.isFinite(value) ? Math.max(least, Math.min(most, value)) : usual;
}
