// Chooses dark or light before the first paint: the person's choice, else the system's.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => localStorage.getItem("theme") ?? (system.matches ? "dark" : "light");
  const show = () => document.documentElement.setAttribute("data-bs-theme", wanted());
  show();
  system.addEventListener("change", show);
  addEventListener("storage", show);
  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        localStorage.setItem("theme", wanted() === "dark" ? "light" : "dark");
        show();
        document.dispatchEvent(new Event("themechange"));
      });
    }
  });
})();
