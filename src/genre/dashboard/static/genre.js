// Draws the charts, asks before what cannot be undone, and keeps the current page in sight. Everything else works without it.
"use strict";

(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const LINES = ["--accent", "--warn", "--good", "--bad", "--soft"];
  const SAY = {
    count: (v) => v.toLocaleString("en", { maximumFractionDigits: 0 }),
    percent: (v) => (100 * v).toPrecision(3) + " %",
    ms: (v) => Number(v.toPrecision(3)) + " ms",
    number: (v) => String(Number(v.toPrecision(4))),
    change: (v) => (v > 0 ? "+" : "") + (100 * v).toFixed(1) + " %",
  };

  const iso = (seconds) => new Date(seconds * 1000).toISOString();
  const short = (seconds, days) => (days > 3 ? iso(seconds).slice(5, 10) : iso(seconds).slice(11, 16));

  // Where a value has no neighbour there is no line to draw.
  const alone = (values) => values.flatMap((v, i) => (v != null && values[i - 1] == null && values[i + 1] == null ? [i] : []));

  // An interval without neighbours has no area: a bar from low to high.
  function bars(plot, bands) {
    const ratio = devicePixelRatio;
    for (const { series: [high, low], fill } of bands) {
      for (const i of alone(plot.data[high])) {
        const [x, top, bottom] = [plot.valToPos(plot.data[0][i], "x", true), plot.valToPos(plot.data[high][i], "y", true), plot.valToPos(plot.data[low][i], "y", true)];
        plot.ctx.fillStyle = fill;
        plot.ctx.fillRect(x - 7 * ratio, top, 14 * ratio, bottom - top);
      }
    }
  }

  function draw(place) {
    const chart = JSON.parse(place.dataset.chart);
    const say = SAY[chart.unit];
    const span = (chart.x.at(-1) - chart.x[0]) / 86400;
    const series = [chart.days ? { label: "day" } : { label: "time", value: (_, v) => (v == null ? "–" : iso(v).slice(0, 16).replace("T", " ")) }];
    const bands = [];
    let lines = 0;
    let high = -1;
    chart.series.forEach((one, i) => {
      if (one.role === "line") {
        const stroke = colour(LINES[lines % LINES.length]);
        lines += 1;
        series.push({ label: one.label, stroke, width: 2, value: (_, v) => (v == null ? "–" : say(v)), points: { show: true, filter: () => (chart.x.length < 40 ? null : alone(one.values)) } });
      } else {
        series.push({ label: one.label, stroke: "transparent", value: (_, v) => (v == null ? "–" : say(v)), points: { show: false } });
        if (one.role === "high") high = i + 1;
        else bands.push({ series: [high, i + 1], fill: colour("--accent") + "30" });
      }
    });
    const rest = chart.x.findLastIndex((_, i) => chart.series.some((one) => one.values[i] != null));
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const options = {
      width: place.clientWidth,
      height: 220,
      series,
      bands,
      scales: { x: { time: !chart.days } },
      axes: [
        { ...axis, values: (_, at) => at.map((v) => (chart.days ? (Number.isInteger(v) ? v : "") : short(v, span))) },
        { ...axis, size: 80, values: (_, values) => values.map((v) => (chart.unit === "count" && !Number.isInteger(v) ? "" : say(v))) },
      ],
      hooks: {
        ready: [(plot) => plot.setLegend({ idx: rest })],
        setLegend: [(plot) => plot.legend.idx == null && rest >= 0 && plot.setLegend({ idx: rest })],
        draw: [(plot) => bars(plot, bands)],
      },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    };
    place.replaceChildren();
    return new uPlot(options, [chart.x, ...chart.series.map((one) => one.values)], place);
  }

  const drawn = new Map();
  function drawAll(root) {
    for (const place of root.querySelectorAll("[data-chart]")) {
      drawn.get(place)?.destroy();
      drawn.set(place, draw(place));
    }
  }

  function arrive() {
    drawAll(document);
    const here = document.querySelector(".side [aria-current]");
    const strip = here?.closest(".side");
    if (strip) strip.scrollLeft = Math.max(0, here.offsetLeft - strip.clientWidth / 3);
  }

  document.addEventListener("DOMContentLoaded", arrive);
  document.addEventListener("htmx:afterSwap", (event) => drawAll(event.target));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));
  addEventListener("resize", () => drawn.forEach((plot, place) => plot.setSize({ width: place.clientWidth, height: 220 })));
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
})();
