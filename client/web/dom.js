/**
 * An element of the page by its id; the page is broken without it.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** @param {number} seconds */
export function clockText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** @param {number} seconds */
export function secondsText(seconds) {
  return `${seconds.toFixed(1)} s`;
}

/** @param {number} seconds since 1970 */
export function timeOfDay(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** @param {string} path of lines in a square of 24 */
export function icon(path) {
  const names = "http://www.w3.org/2000/svg";
  const [picture, lines] = [document.createElementNS(names, "svg"), document.createElementNS(names, "path")];
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  lines.setAttribute("d", path);
  picture.append(lines);
  return picture;
}

/**
 * The text of a field goes to the clipboard, and the button says so.
 * @param {HTMLButtonElement} button
 * @param {HTMLInputElement} field
 */
export function copyOnClick(button, field) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C"; // an insecure page: the text is selected
    }
    setTimeout(() => (button.textContent = label), 2000);
  });
}
