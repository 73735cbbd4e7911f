"use strict";
const form = document.getElementById("form");
const names = [...new Set([...form.querySelectorAll("article input")].map((input) => input.name))];
const chosen = (name) => form.querySelector(`input[name="${name}"]:checked`)?.value ?? null;
const lookedUp = () => ({ true: true, false: false })[chosen("looked-up")] ?? null;

function show() {
  const open = names.filter((name) => chosen(name) === null).length;
  const rest = open ? `${open} of ${names.length} texts have no answer yet.` : "Every text has an answer.";
  document.getElementById("state").textContent =
    rest + (lookedUp() === null ? " The last question is open." : "");
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // not before the browser has read it
}

function saveJson() {
  const given = names.filter((name) => chosen(name) !== null);
  const answers = Object.fromEntries(given.map((name) => [name, Number(chosen(name))]));
  const { participant, format } = form.dataset;
  const sheet = { format, participant, looked_up: lookedUp(), answers };
  save(`${participant}.json`, "application/json", JSON.stringify(sheet, null, 2));
}

function saveCsv() {
  const { participant } = form.dataset;
  const said = lookedUp() === null ? "" : String(lookedUp());
  const rows = names.map((name) => [participant, name, chosen(name) ?? "", said].join(","));
  save(`${participant}.csv`, "text/csv", ["participant,article,choice,looked_up", ...rows, ""].join("\n"));
}

form.addEventListener("change", show);
document.getElementById("save-json").addEventListener("click", saveJson);
document.getElementById("save-csv").addEventListener("click", saveCsv);
show();
