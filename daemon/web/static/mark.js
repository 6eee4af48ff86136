// Masks and colour hints are painted on the photograph and become its side files.

import { call, word } from "./app.js";

const root = document.getElementById("mark");
const { row, version, name } = root.dataset;
const canvas = document.getElementById("canvas");
const pen = canvas.getContext("2d");
const brush = document.getElementById("brush");
const colour = document.getElementById("colour");
const verdict = document.getElementById("verdict");
const recipe = document.getElementById("recipe");

const photo = new Image();
const state = {
  mode: "mask", tool: "paint", scale: 1, x: 0, y: 0, cursor: null,
  layers: { mask: { strokes: [], undone: [], base: null }, hints: { strokes: [], undone: [], base: null } },
};
const layer = () => state.layers[state.mode];

/** Draw the strokes of a layer on its own, in the size of the photograph. */
function render(mode) {
  const made = document.createElement("canvas");
  made.width = photo.naturalWidth;
  made.height = photo.naturalHeight;
  const to = made.getContext("2d");
  const { base, strokes } = state.layers[mode];
  if (base) to.drawImage(base, 0, 0, made.width, made.height);
  for (const stroke of strokes) paint(to, stroke);
  return made;
}

function paint(to, stroke) {
  to.globalCompositeOperation = stroke.erase ? "destination-out" : "source-over";
  to.strokeStyle = to.fillStyle = stroke.colour;
  to.lineCap = to.lineJoin = "round";
  let last = null;
  for (const [x, y, width] of stroke.points) {
    to.beginPath();
    if (last) {
      to.lineWidth = width;
      to.moveTo(last[0], last[1]);
      to.lineTo(x, y);
      to.stroke();
    } else {
      to.arc(x, y, width / 2, 0, 2 * Math.PI);
      to.fill();
    }
    last = [x, y];
  }
  to.globalCompositeOperation = "source-over";
}

/** A mask as it is shown: in a colour that few photographs have. */
function tinted(mask) {
  const to = mask.getContext("2d");
  to.globalCompositeOperation = "source-in";
  to.fillStyle = "#ff2fd0";
  to.fillRect(0, 0, mask.width, mask.height);
  return mask;
}

let cached = null;

function draw({ changed = true } = {}) {
  if (changed || !cached) cached = state.mode === "mask" ? tinted(render("mask")) : render("hints");
  const ratio = devicePixelRatio;
  const box = canvas.getBoundingClientRect();
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  pen.setTransform(ratio * state.scale, 0, 0, ratio * state.scale, ratio * state.x, ratio * state.y);
  pen.drawImage(photo, 0, 0);
  pen.globalAlpha = state.mode === "mask" ? 0.6 : 0.9;
  pen.drawImage(cached, 0, 0);
  pen.globalAlpha = 1;
  if (state.cursor) {
    pen.beginPath();
    pen.arc(state.cursor[0], state.cursor[1], brush.value / 2, 0, 2 * Math.PI);
    pen.lineWidth = 2 / state.scale;
    pen.strokeStyle = "#fff";
    pen.stroke();
    pen.setLineDash([4 / state.scale, 4 / state.scale]);
    pen.strokeStyle = "#000";
    pen.stroke();
    pen.setLineDash([]);
  }
  document.getElementById("undo").disabled = !layer().strokes.length;
  document.getElementById("redo").disabled = !layer().undone.length;
  document.getElementById("scale").textContent = `${Math.round(state.scale * 100)} %`;
}

function fit() {
  const { width, height } = canvas.getBoundingClientRect();
  state.scale = Math.min(width / photo.naturalWidth, height / photo.naturalHeight);
  state.x = (width - photo.naturalWidth * state.scale) / 2;
  state.y = (height - photo.naturalHeight * state.scale) / 2;
  draw({ changed: false });
}

function zoom(factor, x, y) {
  const box = canvas.getBoundingClientRect();
  const [atX, atY] = [x ?? box.width / 2, y ?? box.height / 2];
  const scale = Math.min(16, Math.max(0.05, state.scale * factor));
  state.x = atX - ((atX - state.x) * scale) / state.scale;
  state.y = atY - ((atY - state.y) * scale) / state.scale;
  state.scale = scale;
  draw({ changed: false });
}

function place(event) {
  const { left, top } = canvas.getBoundingClientRect();
  return [(event.clientX - left - state.x) / state.scale, (event.clientY - top - state.y) / state.scale];
}

/** How wide the brush is here: a pen that is pressed harder paints wider. */
function width(event) {
  const size = Number(brush.value);
  return event.pointerType === "pen" ? size * (0.35 + 1.3 * event.pressure) : size;
}

function newStroke() {
  const stroke = { points: [], erase: state.tool === "erase", colour: state.mode === "mask" ? "#fff" : colour.value };
  layer().strokes.push(stroke);
  layer().undone = [];
  return stroke;
}

function hearPointers() {
  const held = new Map();
  let stroke = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
    if (held.size === 2 && stroke) {
      // The second finger says that the first one did not mean to paint.
      layer().strokes = layer().strokes.filter((one) => one !== stroke);
      stroke = null;
    } else if (held.size === 1 && state.tool !== "move" && event.button !== 1) {
      stroke = newStroke();
      stroke.points.push([...place(event), width(event)]);
    }
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    state.cursor = place(event);
    const last = held.get(event.pointerId);
    if (stroke) {
      for (const one of event.getCoalescedEvents?.() ?? [event]) stroke.points.push([...place(one), width(one)]);
      draw();
    } else if (held.size === 1 && last) {
      state.x += event.clientX - last[0];
      state.y += event.clientY - last[1];
      draw({ changed: false });
    } else if (held.size === 2 && last) {
      const other = [...held].find(([id]) => id !== event.pointerId)[1];
      const { left, top } = canvas.getBoundingClientRect();
      const was = Math.hypot(last[0] - other[0], last[1] - other[1]);
      const is = Math.hypot(event.clientX - other[0], event.clientY - other[1]);
      state.x += (event.clientX - last[0]) / 2;
      state.y += (event.clientY - last[1]) / 2;
      zoom(is / Math.max(1, was), (event.clientX + other[0]) / 2 - left, (event.clientY + other[1]) / 2 - top);
    } else draw({ changed: false });
    if (last) held.set(event.pointerId, [event.clientX, event.clientY]);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => {
      held.delete(event.pointerId);
      if (stroke) preview();
      stroke = null;
      draw();
    });
  }
  canvas.addEventListener("pointerleave", () => {
    state.cursor = null;
    draw({ changed: false });
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { left, top } = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - left, event.clientY - top);
  }, { passive: false });
}

function undo() {
  const taken = layer().strokes.pop();
  if (taken) layer().undone.push(taken);
  draw();
  preview();
}

function redo() {
  const back = layer().undone.pop();
  if (back) layer().strokes.push(back);
  draw();
  preview();
}

function hearKeys() {
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 40 : 8;
    const cursor = (state.cursor ??= [photo.naturalWidth / 2, photo.naturalHeight / 2]);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) {
      cursor[0] += moves[event.key][0];
      cursor[1] += moves[event.key][1];
    } else if (event.key === " ") newStroke().points.push([...cursor, Number(brush.value)]);
    else if (event.key.toLowerCase() === "z") return event.shiftKey ? redo() : undo();
    else if (event.key === "+") return zoom(1.4);
    else if (event.key === "-") return zoom(1 / 1.4);
    else return undefined;
    event.preventDefault();
    preview();
    return draw();
  });
}

/** Spread the dabs of colour over what is alike in light, at thumbnail size: a rough look ahead. */
function preview() {
  const box = document.getElementById("preview-box");
  box.hidden = state.mode !== "hints";
  if (box.hidden) return;
  const shown = document.getElementById("preview");
  const scale = 160 / Math.max(photo.naturalWidth, photo.naturalHeight);
  const wide = (shown.width = Math.max(1, Math.round(photo.naturalWidth * scale)));
  const high = (shown.height = Math.max(1, Math.round(photo.naturalHeight * scale)));
  const to = shown.getContext("2d", { willReadFrequently: true });
  to.drawImage(render("hints"), 0, 0, wide, high);
  const dabs = to.getImageData(0, 0, wide, high).data;
  to.clearRect(0, 0, wide, high);
  to.drawImage(photo, 0, 0, wide, high);
  const image = to.getImageData(0, 0, wide, high);
  const pixels = image.data;
  const light = new Float32Array(wide * high);
  const chroma = [new Float32Array(wide * high), new Float32Array(wide * high)];
  const known = new Uint8Array(wide * high);
  const split = (data, at) => {
    const y = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
    return [y, data[at] - y, data[at + 2] - y];
  };
  for (let i = 0; i < light.length; i++) {
    light[i] = split(pixels, 4 * i)[0];
    if (dabs[4 * i + 3] > 127) {
      known[i] = 1;
      [, chroma[0][i], chroma[1][i]] = split(dabs, 4 * i);
    }
  }
  for (let pass = 0; pass < 240; pass++) {
    for (let n = 0; n < light.length; n++) {
      const i = pass % 2 ? light.length - 1 - n : n;
      if (known[i]) continue;
      let weights = 0.002, red = 0, blue = 0;
      for (const j of [i - 1, i + 1, i - wide, i + wide]) {
        if (j < 0 || j >= light.length) continue;
        const weight = Math.exp(-((light[i] - light[j]) ** 2) / 120);
        weights += weight;
        red += weight * chroma[0][j];
        blue += weight * chroma[1][j];
      }
      chroma[0][i] = red / weights;
      chroma[1][i] = blue / weights;
    }
  }
  for (let i = 0; i < light.length; i++) {
    const red = light[i] + chroma[0][i], blue = light[i] + chroma[1][i];
    pixels[4 * i] = red;
    pixels[4 * i + 1] = (light[i] - 0.299 * red - 0.114 * blue) / 0.587;
    pixels[4 * i + 2] = blue;
  }
  to.putImageData(image, 0, 0);
}

function choose(mode) {
  state.mode = mode;
  for (const button of root.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", button.dataset.mode === mode);
  document.getElementById("colour-label").hidden = mode !== "hints";
  document.getElementById("found").hidden = mode !== "mask";
  const fits = [...recipe.options].filter((one) => one.dataset.side.split(" ").includes(mode));
  for (const one of recipe.options) one.hidden = one.disabled = !fits.includes(one);
  const usual = fits.find((one) => one.value === (mode === "mask" ? "inpaint" : "colorize")) ?? fits[0];
  if (usual) usual.selected = true;
  draw();
  preview();
}

/** The side file: a mask is white on black, hints are transparent where nothing was painted. */
async function sideFile() {
  const painted = render(state.mode);
  if (state.mode === "mask") {
    const to = painted.getContext("2d");
    to.globalCompositeOperation = "destination-over";
    to.fillStyle = "#000";
    to.fillRect(0, 0, painted.width, painted.height);
  }
  return new Promise((resolve) => painted.toBlob(resolve, "image/png"));
}

async function send() {
  const button = document.getElementById("send");
  button.disabled = true;
  verdict.className = "";
  verdict.textContent = word("Sending");
  try {
    const query = new URLSearchParams({ role: state.mode, recipe: recipe.value });
    await call("POST", `/api/jobs/${row}/mark?${query}`, await sideFile());
    location.href = "/queue?said=added";
  } catch (error) {
    verdict.className = "bad";
    verdict.textContent = `${word("Not taken")}: ${error.message}`;
    button.disabled = false;
  }
}

/** Have the daemon look for damage, and take what it finds as the first layer of the mask. */
async function startFromFound() {
  const button = document.getElementById("found");
  button.disabled = true;
  verdict.textContent = word("Loading");
  try {
    const isMask = (one) => one.changes.includes("inpaint.mask_only=true");
    const masks = async () => (await call("GET", `/api/jobs/${row}`)).versions.filter(isMask);
    let [mask] = await masks();
    if (!mask) {
      await call("POST", `/api/jobs/${row}/again`, { recipe: "scratches", changes: ["inpaint.mask_only=true"] });
      for (let tries = 0; !mask && tries < 200; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 1500));
        [mask] = await masks();
      }
    }
    if (!mask) throw new Error(word("Waiting"));
    const found = new Image();
    found.src = `/api/jobs/${mask.row}/pictures/result?width=2048&height=2048&lossless=true`;
    await found.decode();
    state.layers.mask.base = onlyWhite(found);
    verdict.textContent = "";
    draw();
  } catch (error) {
    verdict.textContent = error.message;
  }
  button.disabled = false;
}

/** A mask as a layer: white where it is white, transparent elsewhere. */
function onlyWhite(image) {
  const made = document.createElement("canvas");
  made.width = image.naturalWidth;
  made.height = image.naturalHeight;
  const to = made.getContext("2d");
  to.drawImage(image, 0, 0);
  const data = to.getImageData(0, 0, made.width, made.height);
  for (let i = 0; i < data.data.length; i += 4) {
    data.data[i + 3] = data.data[i];
    data.data[i] = data.data[i + 1] = data.data[i + 2] = 255;
  }
  to.putImageData(data, 0, 0);
  return made;
}

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { mode, tool, zoom: how } = button.dataset;
  if (mode) choose(mode);
  if (tool) {
    state.tool = tool;
    for (const one of root.querySelectorAll("[data-tool]")) one.setAttribute("aria-pressed", one === button);
  }
  if (how === "in") zoom(1.4);
  if (how === "out") zoom(1 / 1.4);
  if (how === "fit") fit();
  if (button.id === "undo") undo();
  if (button.id === "redo") redo();
  if (button.id === "clear") {
    Object.assign(layer(), { strokes: [], undone: [], base: null });
    draw();
    preview();
  }
  if (button.id === "found") startFromFound();
  if (button.id === "send") send();
});

photo.src = `/api/jobs/${row}/pictures/original?width=2048&height=2048&v=${version}`;
photo.alt = name;
await photo.decode();
hearPointers();
hearKeys();
new ResizeObserver(fit).observe(canvas);
fit();
choose("mask");
root.dataset.ready = "";
