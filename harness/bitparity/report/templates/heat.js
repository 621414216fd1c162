// The heat maps: every map draws the rows that the list chooses, all on one logarithmic scale.
const heat = JSON.parse(document.getElementById("heat").textContent);
const FLOOR = -9, CEILING = 0;  // powers of ten at the ends of the scale
const ENDS = "embeddings and head";
const layerOf = (row) => heat.rows[row][0], stageOf = (row) => heat.rows[row][1];
const allRows = heat.rows.map((_, row) => row);

// The lines that a view draws: a label and the rows of the data behind it, of which the worst is shown.
function linesOf(view) {
  const [kind, name] = view.split(":");
  if (kind === "stage") {
    const rows = allRows.filter((row) => stageOf(row) === name);
    return rows.map((row) => [layerOf(row) < 0 ? name : `layer ${layerOf(row)}`, [row]]);
  }
  if (kind === "layer") {
    const rows = allRows.filter((row) => layerOf(row) === Number(name));
    return rows.map((row) => [stageOf(row), [row]]);
  }
  const layers = [...new Set(allRows.map(layerOf))].filter((layer) => layer >= 0);
  const inBlocks = layers.map((layer) => [`layer ${layer}`, allRows.filter((row) => layerOf(row) === layer)]);
  const outside = allRows.filter((row) => layerOf(row) < 0).map((row) => [stageOf(row), [row]]);
  return [...outside.filter(([name]) => name === "embeddings"), ...inBlocks,
          ...outside.filter(([name]) => name !== "embeddings")];
}
// The worst of some rows in one column: its error, its row, and whether a stage is wrong there.
function cellOf(map, rows, column) {
  let worst = { error: null, row: rows[0], guilty: false };
  for (const row of rows) {
    const error = map.errors[row][column], guilty = map.wrong.has(`${row},${column}`);
    const isWorse = guilty !== worst.guilty ? guilty : error !== null && !(error <= worst.error && worst.error !== null);
    if (isWorse) worst = { error, row, guilty };
  }
  return worst;
}
function palette() {
  const stops = getComputedStyle(document.documentElement).getPropertyValue("--heat").trim().split(/\s+/);
  return stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
}
function colourOf(error, stops) {
  const power = error > 0 ? Math.log10(error) : FLOOR;
  const share = Math.min(1, Math.max(0, (power - FLOOR) / (CEILING - FLOOR))) * (stops.length - 1);
  const low = Math.min(Math.floor(share), stops.length - 2);
  const mixed = stops[low].map((value, i) => Math.round(value + (share - low) * (stops[low + 1][i] - value)));
  return `rgb(${mixed.join(",")})`;
}
const GUTTER = 106, FOOT = 18;  // room for labels, in pixels
function layout(canvas, lines) {
  const width = canvas.clientWidth, high = Math.max(8, Math.min(20, Math.floor(420 / lines.length)));
  return { width, high, wide: (width - GUTTER) / heat.columns.length, height: high * lines.length + FOOT };
}
function draw(canvas) {
  const map = canvas.map, lines = (canvas.lines = linesOf(view.value)), at = layout(canvas, lines);
  const scale = devicePixelRatio || 1, style = getComputedStyle(document.documentElement), stops = palette();
  canvas.style.height = `${at.height}px`;
  canvas.width = Math.round(at.width * scale);
  canvas.height = Math.round(at.height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = `${Math.min(12, at.high + 1)}px system-ui, "DejaVu Sans", sans-serif`;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  const every = Math.ceil(11 / at.high);
  lines.forEach(([label, rows], line) => {
    pen.fillStyle = style.getPropertyValue("--dim");
    if (line % every === 0) pen.fillText(label, GUTTER - 6, (line + 0.5) * at.high, GUTTER - 8);
    heat.columns.forEach((_, column) => {
      const cell = cellOf(map, rows, column), x = GUTTER + column * at.wide, y = line * at.high;
      if (cell.error !== null || cell.guilty) {
        pen.fillStyle = cell.error === null ? style.getPropertyValue("--diverged") : colourOf(cell.error, stops);
        pen.fillRect(x, y, Math.max(at.wide - (at.wide > 4 ? 0.5 : 0), 0.5), at.high - 0.5);
      }
      if (cell.guilty) {
        pen.fillStyle = style.getPropertyValue("--diverged");
        pen.fillRect(x, y + at.high - 3, Math.max(at.wide, 1), 2.5);
      }
    });
  });
  pen.fillStyle = style.getPropertyValue("--dim");
  pen.textAlign = "left";
  const step = Math.ceil(heat.columns.length / Math.max(1, Math.floor((at.width - GUTTER) / 46)));
  for (let column = 0; column < heat.columns.length; column += step)
    pen.fillText(heat.columns[column][0], GUTTER + column * at.wide, at.height - FOOT / 2 + 1);
}
function describe(canvas, line, column) {
  const [, rows] = canvas.lines[line], cell = cellOf(canvas.map, rows, column);
  const [first, last, text] = heat.columns[column];
  const where = layerOf(cell.row) < 0 ? stageOf(cell.row) : `layer ${layerOf(cell.row)} ${stageOf(cell.row)}`;
  const at = first === last ? `position ${first}` : `positions ${first} to ${last}, the worst`;
  const error = cell.error === null ? (cell.guilty ? "not finite" : "not judged") : cell.error.toExponential(1);
  return `${where}, ${at}${text ? ` ${JSON.stringify(text)}` : ""}: ${error}${cell.guilty ? ", wrong" : ""}`;
}
function pointAt(canvas, event) {
  const box = canvas.getBoundingClientRect(), at = layout(canvas, canvas.lines);
  const column = Math.floor((event.clientX - box.left - GUTTER) / at.wide);
  const line = Math.floor((event.clientY - box.top) / at.high);
  return line >= 0 && line < canvas.lines.length && column >= 0 && column < heat.columns.length
    ? [line, column] : null;
}
function listen(canvas) {
  let chosen = [0, 0];
  canvas.addEventListener("pointermove", (event) => {
    const point = pointAt(canvas, event);
    if (point) chosen = point;
    showTip(point ? describe(canvas, ...point) : "", event.clientX, event.clientY);
  });
  canvas.addEventListener("pointerleave", () => showTip(""));
  canvas.addEventListener("blur", () => showTip(""));
  canvas.addEventListener("click", (event) => {
    const point = pointAt(canvas, event), row = point && canvas.lines[point[0]][1];
    if (row && row.length > 1) { view.value = `layer:${layerOf(row[0])}`; drawAll(); }
  });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const limits = [canvas.lines.length, heat.columns.length];
    chosen = chosen.map((at, axis) => Math.min(limits[axis] - 1, Math.max(0, at + move[axis])));
    const box = canvas.getBoundingClientRect(), at = layout(canvas, canvas.lines);
    showTip(describe(canvas, ...chosen), box.left + GUTTER + chosen[1] * at.wide, box.top + chosen[0] * at.high);
  });
}
function drawAll() {
  showTip("");
  for (const canvas of document.querySelectorAll("canvas.heat")) draw(canvas);
  const stops = getComputedStyle(document.documentElement).getPropertyValue("--heat").trim().split(/\s+/);
  document.getElementById("scale").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
}
const view = document.getElementById("view");
const layers = [...new Set(allRows.map(layerOf))].filter((layer) => layer >= 0);
const groups = [["every layer, one stage", [...new Set(allRows.map(stageOf))].map((name) => [`stage:${name}`, name])],
                ["every stage, one layer", [...layers.map((layer) => [`layer:${layer}`, `layer ${layer}`]),
                                            ["layer:-1", ENDS]]]];
view.append(new Option("every layer, the worst of its stages", "worst"));
for (const [label, options] of groups) {
  const group = document.createElement("optgroup");
  group.label = label;
  group.append(...options.map(([value, text]) => new Option(text, value)));
  view.append(group);
}
document.querySelectorAll("canvas.heat").forEach((canvas, index) => {
  canvas.map = heat.maps[index];
  canvas.map.wrong = new Set(canvas.map.guilty.map(([row, column]) => `${row},${column}`));
  listen(canvas);
});
for (const row of document.querySelectorAll("tr[data-stage]"))
  row.addEventListener("click", () => { view.value = `stage:${row.dataset.stage}`; drawAll(); });
document.getElementById("heat-section").hidden = false;
view.addEventListener("change", drawAll);
addEventListener("resize", drawAll);
addEventListener("beforeprint", drawAll);
addEventListener("afterprint", drawAll);
document.addEventListener("theme", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
drawAll();
