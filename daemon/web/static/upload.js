// Photographs are sent in parts, side files first, a few at a time; what fails is sent again.

import { call, word } from "./app.js";

const AT_ONCE = 3;
const TRIES = 5;

const form = document.getElementById("add");
const drop = document.getElementById("drop");
const files = document.getElementById("files");
const folder = document.getElementById("folder");
const waiting = [];
let running = 0;
let all = 0;
let sent = 0;
let failed = 0;

function show(path) {
  const line = document.createElement("li");
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = path;
  const state = document.createElement("span");
  state.className = "meta";
  state.textContent = word("Waiting");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", path);
  line.append(name, state, bar);
  document.getElementById("files-list").append(line);
  return { line, state, bar };
}

/** Side files go first, so that a photograph is not taken without them. */
function order(path) {
  return /\.(mask|hints)\.png$|\.(xmp|aae|thm|mov|json)$/i.test(path) ? 0 : 1;
}

function take(list) {
  const found = [...list].sort((a, b) => order(a.path) - order(b.path));
  if (!found.length) return;
  document.getElementById("sending").hidden = false;
  const recipe = new FormData(form).get("recipe") || null;
  for (const { file, path } of found) {
    waiting.push({ file, path, recipe, ...show(path) });
    all += file.size;
  }
  tell();
  while (running < AT_ONCE && waiting.length) next();
}

async function next() {
  const one = waiting.shift();
  if (!one) return;
  running++;
  try {
    await send(one);
    one.state.textContent = word("Sent");
    one.bar.value = 1;
    one.line.dataset.done = "";
  } catch (error) {
    failed++;
    one.state.textContent = `${word("Not taken")}: ${error.message}`;
    one.state.classList.add("bad");
    sent += one.file.size - (one.sent ?? 0);
  }
  running--;
  tell();
  if (waiting.length) next();
  else if (!running) finish();
}

async function send(one) {
  one.state.textContent = word("Sending");
  const begun = await call("POST", "/api/uploads", { path: one.path, bytes: one.file.size, recipe: one.recipe });
  let at = 0;
  one.sent = 0;
  for (let tries = 0; at < one.file.size; ) {
    const part = one.file.slice(at, at + begun.part_bytes);
    try {
      const state = await call("PUT", `/api/uploads/${begun.id}?offset=${at}`, part);
      tries = 0;
      sent += state.received - at;
      at = one.sent = state.received;
      one.bar.value = at / one.file.size;
      tell();
    } catch (error) {
      if ((error.status && error.status < 500) || ++tries >= TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * 2 ** tries));
      at = (await call("GET", `/api/uploads/${begun.id}`)).received;
    }
  }
}

function tell() {
  document.getElementById("total").value = all ? sent / all : 0;
  document.getElementById("told").textContent = `${Math.round(all ? (100 * sent) / all : 0)} %`;
}

function finish() {
  document.getElementById("finished").hidden = false;
}

/** Files of what was dropped, folders with all that is in them. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  const visit = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      if (!file.name.startsWith(".")) found.push({ file, path: entry.fullPath.replace(/^\//, "") });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const one of some) await visit(one);
    }
  };
  for (const entry of entries) await visit(entry);
  return found;
}

drop.classList.add("ready");
folder.hidden = false;
document.getElementById("folder-label").hidden = false;
document.getElementById("send").hidden = true;
files.addEventListener("change", () => {
  take([...files.files].map((file) => ({ file, path: file.name })));
  files.value = "";
});
folder.addEventListener("change", () => {
  take([...folder.files].filter((file) => !file.name.startsWith("."))
    .map((file) => ({ file, path: file.webkitRelativePath || file.name })));
  folder.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    if (name === "drop" || !event.relatedTarget) drop.classList.remove("over");
  });
}
addEventListener("drop", async (event) => take(await dropped(event.dataTransfer)));
addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});
