/** Menus: `details` that close when something was chosen, or elsewhere is where a person looks. */

const menus = () => /** @type {HTMLDetailsElement[]} */ ([...document.querySelectorAll("details.menu")]);

export function listenToMenus() {
  for (const menu of menus()) {
    menu.addEventListener("click", ({ target }) => {
      if (target instanceof Element && target.closest("button")) menu.open = false;
    });
    menu.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget instanceof Node && !menu.contains(relatedTarget)) menu.open = false;
    });
  }
  addEventListener("pointerdown", ({ target }) => {
    for (const menu of menus()) if (target instanceof Node && !menu.contains(target)) menu.open = false;
  });
}

/** Close what is open, and say whether something was. */
export function closeMenus() {
  const open = menus().filter((menu) => menu.open);
  for (const menu of open) {
    menu.open = false;
    menu.querySelector("summary")?.focus();
  }
  return open.length > 0;
}
