"use strict";
// Tables of class "sortable": a click on a heading sorts by it, a second one turns the order round.
// A cell is sorted by its data-value, else by its text; what is no number comes after all numbers.
function sortBy(table, column, heading) {
  const falls = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", falls ? "descending" : "ascending");
  const key = (row) => {
    const given = row.cells[column].dataset.value ?? row.cells[column].textContent;
    return given === "nan" || given === "inf" ? Infinity : given === "" || isNaN(given) ? given : Number(given);
  };
  const isNumber = (value) => typeof value === "number";
  const order = (a, b) =>
    isNumber(a) && isNumber(b) ? (a === b ? 0 : a < b ? -1 : 1)
    : isNumber(a) ? -1 : isNumber(b) ? 1 : a.localeCompare(b);
  const body = table.tBodies[0], rows = [...body.rows].map((row) => [key(row), row]);
  rows.sort((a, b) => (falls ? -1 : 1) * order(a[0], b[0]));
  body.append(...rows.map((pair) => pair[1]));
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sortBy(table, column, heading));
    heading.append(button);
  });
}
function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
for (const button of document.querySelectorAll("button.theme")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    document.dispatchEvent(new Event("theme"));
  });
}
const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);
// Show a text beside a place of the window, inside of it; an empty text hides it.
function showTip(text, x, y) {
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 4))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 18}px`;
}
