"use strict";
const rows = [...document.querySelectorAll(".record")];
const words = rows.map((row) => row.textContent.toLowerCase());
const search = document.getElementById("search");
const answer = document.getElementById("answer");
const topic = document.getElementById("topic");
const shown = document.getElementById("shown");
function filter() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  rows.forEach((row, place) => {
    const fits = (!answer.value || row.dataset.answer === answer.value)
      && (!topic.value || row.dataset.topic === topic.value)
      && wanted.every((word) => words[place].includes(word));
    row.hidden = !fits;
    count += fits;
  });
  shown.textContent = `${count} of ${rows.length}`;
}
for (const control of [search, answer, topic]) control.addEventListener("input", filter);
