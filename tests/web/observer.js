/* Runs in a page before its own scripts: notes every change of the captions, and what the security policy blocks. */
window.captionsSeen = [];
window.violations = [];

addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  window.violations.push(`${violatedDirective} ${blockedURI}`);
});

addEventListener("DOMContentLoaded", () => {
  const text = (selector) => document.querySelector(selector).textContent;
  const note = () => {
    const finals = document.querySelectorAll("#utterances li").length;
    window.captionsSeen.push({ finals, committed: text("#committed"), tail: text("#tail") });
  };
  const everything = { subtree: true, childList: true, characterData: true };
  new MutationObserver(note).observe(document.querySelector("main"), everything);
});
