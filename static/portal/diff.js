// Lays the diff out, file by file as each comes into view, so that a long one stays smooth.
(() => {
  const frame = document.getElementById("diff");
  const scheme = () => document.documentElement.getAttribute("data-bs-theme");
  const show = (source) => {
    const shown = document.createElement("div");
    shown.innerHTML = Diff2Html.html(source.textContent, {
      drawFileList: false,
      matching: "none",
      outputFormat: frame.dataset.view === "split" ? "side-by-side" : "line-by-line",
      colorScheme: scheme(),
    });
    // Long lines scroll sideways; the keyboard must be able to do that too.
    for (const part of shown.querySelectorAll(".d2h-file-diff, .d2h-file-side-diff")) part.tabIndex = 0;
    source.replaceWith(shown);
  };
  const waiting = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        waiting.unobserve(entry.target);
        show(entry.target);
      }
    },
    { rootMargin: "600px" },
  );
  for (const source of frame.querySelectorAll("[data-diff]")) waiting.observe(source);
  if (!window.diffFollowsTheme) {
    window.diffFollowsTheme = true;
    document.addEventListener("themechange", () => {
      for (const part of document.querySelectorAll("#diff .d2h-wrapper")) {
        part.classList.toggle("d2h-dark-color-scheme", scheme() === "dark");
        part.classList.toggle("d2h-light-color-scheme", scheme() === "light");
      }
    });
  }
})();
