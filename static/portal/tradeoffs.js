// Draws the trade-offs of one layer: bars per criterion for the winner with its alternatives.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = (frame) => {
    const { criteria, options } = JSON.parse(document.getElementById(frame.dataset.tradeoffs).textContent);
    const canvas = frame.querySelector("canvas");
    Chart.getChart(canvas)?.destroy();
    // Read from the frame, because a canvas cannot work out what a style sheet's variable means.
    const { color: text, borderTopColor: grid } = getComputedStyle(frame);
    // On a phone the weight goes on a line of its own, or the labels would be cut.
    const narrow = frame.clientWidth < 500;
    const labels = narrow ? criteria.map((label) => label.split(/ (?=\()/)) : criteria;
    const fills = [colour("--tblr-blue"), colour("--tblr-teal"), colour("--tblr-yellow")];
    new Chart(canvas, {
      type: "bar",
      data: {
        labels,
        datasets: options.map((option, place) => ({
          label: option.name, data: option.values, backgroundColor: fills[place], borderRadius: 2,
        })),
      },
      options: {
        indexAxis: "y",
        animation: false,
        maintainAspectRatio: false,
        plugins: { legend: { position: "top", align: "start", labels: { color: text, boxWidth: 12 } } },
        scales: {
          x: { min: 0, max: 100, ticks: { color: text }, grid: { color: grid } },
          y: { ticks: { color: text, autoSkip: false, font: { size: narrow ? 10 : 12 } }, grid: { display: false } },
        },
      },
    });
  };
  const drawAll = () => document.querySelectorAll("[data-tradeoffs]").forEach(draw);
  drawAll();
  // This file runs again whenever the tab is swapped in; one listener is enough.
  if (!window.tradeoffsFollowTheme) {
    window.tradeoffsFollowTheme = true;
    document.addEventListener("themechange", drawAll);
  }
})();
