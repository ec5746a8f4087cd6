/** The page of the one who speaks, or of the audience, as the address says. */

import { Audience } from "./audience.js";
import { applyOverlay, overlayOf } from "./overlay_style.js";
import { Speaker } from "./speaker.js";

const isOverlay = document.documentElement.dataset.mode === "overlay";
if (isOverlay) applyOverlay(document.documentElement, overlayOf(new URLSearchParams(location.search)));

const view = new URLSearchParams(location.hash.slice(1)).get("view");
if (view) {
  new Audience(view).run();
} else {
  const speaker = new Speaker(isOverlay);
  // Over a picture there is no button to press.
  if (isOverlay) speaker.start();
}
// Another view or key in the same tab is another page.
addEventListener("hashchange", () => location.reload());
