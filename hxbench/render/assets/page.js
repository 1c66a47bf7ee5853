"use strict";
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script); // runs at once: its hash stands in the policy

  // before printing the page's own colours are still those of the screen
  const paper = { "--ink": "#000000", "--line": "#bbbbbb", "--grid": "#dddddd", "--wash": "#ffffff" };
  const screen = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const themed = (layout, printed) => {
    const colour = (name) => (printed ? paper[name] : screen(name));
    const line = { linecolor: colour("--line"), tickcolor: colour("--line"), zerolinecolor: colour("--line") };
    const ink = { color: colour("--ink") };
    const made = { ...layout, font: { ...layout.font, ...ink } };
    made.hoverlabel = { bgcolor: colour("--wash"), bordercolor: colour("--line"), font: ink };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(name)) made[name] = { ...layout[name], ...line, gridcolor: colour("--grid") };
    }
    if (matchMedia("(pointer: coarse)").matches) made.dragmode = false; // a finger scrolls the page
    delete made.width;
    return made;
  };
  // on black, the same hues lighter
  const lighter = { "#0072b2": "#4ba6dd", "#009e73": "#2fbf96", "#d55e00": "#ff8a3d", "0, 114, 178": "75, 166, 221" };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figure = (json, printed) => {
    if (dark.matches && !printed) {
      for (const [from, to] of Object.entries(lighter)) json = json.replaceAll(from, to);
    }
    return JSON.parse(json);
  };
  const plots = [...document.querySelectorAll(".plot")].map((place) => {
    const json = place.nextElementSibling.textContent;
    place.replaceChildren();
    place.parentElement.querySelector(".data")?.removeAttribute("open"); // it stood in for the drawing
    return { place, json };
  });
  const config = { displayModeBar: false, responsive: true, typesetMath: false };
  const drawAll = (printed) => {
    for (const { place, json } of plots) {
      const { data, layout } = figure(json, printed);
      const size = printed ? { width: 680, autosize: false } : { autosize: true };
      Plotly.react(place, data, { ...themed(layout, printed), ...size }, config);
    }
  };
  drawAll(false);
  dark.addEventListener("change", () => drawAll(false));
  addEventListener("beforeprint", () => drawAll(true));
  addEventListener("afterprint", () => drawAll(false));
  document.documentElement.dataset.figures = String(plots.length);
})();
