// A recipe is checked while somebody writes it.

import { call, word } from "./app.js";

const source = document.getElementById("source");
const name = document.getElementById("name");
const verdict = document.getElementById("verdict");
let timer = 0;
let number = 0;

async function check() {
  const mine = ++number;
  if (!name.value) return;
  try {
    const path = `/api/recipes/${encodeURIComponent(name.value)}/check`;
    const found = await call("POST", path, { source: source.value });
    if (mine !== number) return;
    verdict.textContent = found.error || word("Valid");
    verdict.className = `verdict ${found.error ? "bad" : "good"}`;
  } catch (error) {
    if (mine === number) verdict.textContent = error.message;
  }
}

for (const field of [source, name]) {
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, 300);
  });
}
source.addEventListener("keydown", (event) => {
  if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  source.form.requestSubmit();
});
if (!verdict.textContent) check();
