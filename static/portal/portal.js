// What pages do beyond HTMX. Everything works without it, only less comfortably.
(() => {
  // Copy buttons stand hidden in the page, because without this script they would do nothing.
  const revealCopyButtons = (root) => {
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    const icon = button.querySelector(".ti");
    icon.classList.replace("ti-copy", "ti-check");
    setTimeout(() => icon.classList.replace("ti-check", "ti-copy"), 1500);
  });
  revealCopyButtons(document);
  document.addEventListener("htmx:load", (event) => revealCopyButtons(event.detail.elt));
})();
