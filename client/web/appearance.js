/* Runs before the page is painted, so that nothing else flashes up: theme, overlay, audience. No module, for that reason. */
"use strict";

(() => {
  const root = document.documentElement;
  if (/^(1|true|yes)$/.test(new URLSearchParams(location.search).get("overlay") ?? "")) root.dataset.mode = "overlay";
  root.toggleAttribute("data-watching", new URLSearchParams(location.hash.slice(1)).has("view"));
  try {
    const { theme } = JSON.parse(localStorage.getItem("captions") ?? "{}");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // Storage is off limits, or holds something else: the system's colours are fine.
  }
})();
