"use strict";
const rows = [...document.querySelectorAll(".record")];
const rater = document.getElementById("rater");
const chosen = (row, kind) => row.querySelector(`input[data-kind="${kind}"]:checked`);
function count() {
  const done = rows.filter((row) => chosen(row, "label")).length;
  document.getElementById("done").textContent = `${done} of ${rows.length} rated`;
}
function quoted(text) {
  return `"${String(text).replaceAll('"', '""')}"`;
}
function save() {
  const lines = ["id,rater,label,relevance,ambiguous"];
  for (const row of rows) {
    const label = chosen(row, "label");
    if (!label) continue;
    const relevance = chosen(row, "relevance");
    const ambiguous = chosen(row, "ambiguous") ? 1 : 0;
    lines.push([quoted(row.dataset.id), quoted(rater.value), label.value, relevance ? relevance.value : "", ambiguous].join(","));
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = "ratings.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}
document.addEventListener("input", count);
document.getElementById("save").addEventListener("click", save);
