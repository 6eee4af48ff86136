// Before and after on top of each other, at any zoom: what is looked at closely comes in tiles.

import { word } from "./app.js";

const TILE = 512;
const MOST_ZOOM = 16;

class Layer {
  constructor(root, side, row, version) {
    this.side = side;
    this.row = row;
    this.version = version;
    this.element = document.createElement("div");
    this.element.className = "layer";
    this.board = document.createElement("div");
    this.board.className = "board";
    this.element.append(this.board);
    this.tiles = new Map();
    this.base = root.querySelector(`img.${side === "result" ? "after" : "before"}`).cloneNode();
    this.board.append(this.base);
    this.size = [0, 0];
  }

  /** Learn the size of the whole picture, which may be more than is drawn of it at first. */
  async load() {
    const answer = await fetch(this.base.src, { method: "GET" });
    const [width, height] = (answer.headers.get("x-picture-size") ?? "0x0").split("x").map(Number);
    await answer.blob();
    if (!this.base.complete) await this.base.decode().catch(() => {});
    this.size = width ? [width, height] : [this.base.naturalWidth, this.base.naturalHeight];
  }

  /** Place the layer: `space` is the size that both layers have together. */
  place(space, view, box) {
    const [width, height] = space;
    this.base.style.width = `${width}px`;
    this.base.style.height = `${height}px`;
    this.board.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    this.fetchTiles(space, view, box);
  }

  fetchTiles(space, view, box) {
    const pixels = devicePixelRatio * view.scale * (space[0] / this.size[0]);
    const needed = this.size[0] * Math.min(1, pixels);
    if (needed <= this.base.naturalWidth * 1.05) {
      this.show(-1);
      return;
    }
    const level = Math.max(0, Math.floor(Math.log2(1 / Math.min(1, pixels))));
    const span = TILE * 2 ** level;
    const unit = space[0] / this.size[0];
    const from = (offset, length) => Math.max(0, Math.floor(-offset / view.scale / unit / length));
    const to = (offset, shown, length, whole) =>
      Math.min(Math.ceil(whole / length), Math.ceil((shown - offset) / view.scale / unit / length));
    for (let row = from(view.y, span); row < to(view.y, box.height, span, this.size[1]); row++) {
      for (let column = from(view.x, span); column < to(view.x, box.width, span, this.size[0]); column++) {
        this.tile(level, column, row, span, unit);
      }
    }
    this.show(level);
  }

  tile(level, column, row, span, unit) {
    const key = `${level}/${column}/${row}`;
    if (this.tiles.has(key)) return;
    const [width, height] = this.size;
    const left = column * span, top = row * span;
    const right = Math.min(width, left + span), bottom = Math.min(height, top + span);
    const query = new URLSearchParams({
      left: left / width, top: top / height, right: right / width, bottom: bottom / height,
      width: TILE, height: TILE, lossless: level === 0, v: this.version,
    });
    const image = new Image();
    image.alt = "";
    image.decoding = "async";
    image.dataset.level = level;
    Object.assign(image.style, {
      left: `${left * unit}px`, top: `${top * unit}px`,
      width: `${(right - left) * unit}px`, height: `${(bottom - top) * unit}px`,
    });
    image.src = `/api/jobs/${this.row}/pictures/${this.side}?${query}`;
    this.tiles.set(key, image);
    this.board.append(image);
    if (this.tiles.size > 400) {
      const [oldest, gone] = this.tiles.entries().next().value;
      gone.remove();
      this.tiles.delete(oldest);
    }
  }

  show(level) {
    for (const image of this.tiles.values()) {
      image.hidden = Number(image.dataset.level) < level || level < 0;
    }
  }
}

class Compare {
  constructor(root) {
    this.root = root;
    const { row, before, after } = root.dataset;
    this.after = new Layer(root, "result", row, after);
    this.before = new Layer(root, "original", row, before);
    this.view = { x: 0, y: 0, scale: 1 };
    this.split = 0.5;
    this.range = root.querySelector(".divide");
    this.tools = document.getElementById("tools");
    this.line = document.createElement("div");
    this.line.className = "line";
  }

  async begin() {
    await Promise.all([this.after.load(), this.before.load()]);
    // Both are shown as large as the larger one is: a result may be some times the original.
    const larger = this.after.size[0] >= this.before.size[0] ? this.after : this.before;
    this.space = larger.size;
    this.root.append(this.after.element, this.before.element, this.line);
    this.root.append(...this.root.querySelectorAll(".tag"));
    this.root.classList.add("ready");
    this.tools.hidden = false;
    this.fit();
    this.hear();
  }

  get box() {
    return this.root.getBoundingClientRect();
  }

  get fitting() {
    const { width, height } = this.box;
    return Math.min(width / this.space[0], height / this.space[1]);
  }

  fit() {
    // No higher than the picture needs to fill the width.
    this.root.style.height = `min(76vh, ${(this.box.width * this.space[1]) / this.space[0]}px)`;
    const { width, height } = this.box;
    const scale = this.fitting;
    this.view = {
      scale,
      x: (width - this.space[0] * scale) / 2,
      y: (height - this.space[1] * scale) / 2,
    };
    this.whole = true;
    this.draw();
  }

  zoom(factor, x = this.box.width / 2, y = this.box.height / 2) {
    const { view } = this;
    const least = Math.min(this.fitting, 1);
    const scale = Math.min(MOST_ZOOM, Math.max(least, view.scale * factor));
    const real = scale / view.scale;
    view.x = x - (x - view.x) * real;
    view.y = y - (y - view.y) * real;
    view.scale = scale;
    this.whole = scale <= this.fitting * 1.001;
    if (this.whole) this.fit();
    else this.draw();
  }

  move(x, y) {
    this.view.x += x;
    this.view.y += y;
    this.draw();
  }

  draw() {
    const box = this.box;
    const { view } = this;
    const [width, height] = this.space.map((side) => side * view.scale);
    view.x = width <= box.width ? (box.width - width) / 2 : Math.min(0, Math.max(box.width - width, view.x));
    view.y = height <= box.height ? (box.height - height) / 2 : Math.min(0, Math.max(box.height - height, view.y));
    this.after.place(this.space, view, box);
    this.before.place(this.space, view, box);
    const at = this.split * box.width;
    this.before.element.style.clipPath = `inset(0 ${box.width - at}px 0 0)`;
    this.line.style.left = `${at}px`;
    this.root.classList.toggle("sharp", view.scale >= 3);
    document.getElementById("scale").textContent = `${Math.round(view.scale * 100)} %`;
    this.range.value = this.split * 100;
  }

  divide(share) {
    this.split = Math.min(1, Math.max(0, share));
    this.draw();
  }

  hear() {
    const { root } = this;
    this.range.addEventListener("input", () => this.divide(this.range.value / 100));
    this.tools.addEventListener("click", (event) => {
      const how = event.target.closest("button")?.dataset.zoom;
      if (how === "in") this.zoom(1.5);
      if (how === "out") this.zoom(1 / 1.5);
      if (how === "fit") this.fit();
      if (how === "one") this.zoom(1 / this.view.scale);
    });
    root.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { left, top } = this.box;
      this.zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - left, event.clientY - top);
    }, { passive: false });
    root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => (this.whole ? this.fit() : this.draw())).observe(root);
    this.hearPointers();
  }

  key(event) {
    if (event.target === this.range) return;
    const step = 60;
    const keys = {
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5),
      0: () => this.fit(), 1: () => this.zoom(1 / this.view.scale),
      ArrowLeft: () => this.move(step, 0), ArrowRight: () => this.move(-step, 0),
      ArrowUp: () => this.move(0, step), ArrowDown: () => this.move(0, -step),
      "[": () => this.divide(this.split - 0.05), "]": () => this.divide(this.split + 0.05),
    };
    const act = keys[event.key];
    if (act && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      act();
    }
  }

  hearPointers() {
    const { root } = this;
    const held = new Map();
    let dividing = null;
    root.addEventListener("pointerdown", (event) => {
      if (event.target === this.range) return;
      root.setPointerCapture(event.pointerId);
      held.set(event.pointerId, [event.clientX, event.clientY]);
      const onLine = event.target === this.line;
      if (held.size === 1 && (onLine || this.whole)) dividing = event.pointerId;
      if (held.size === 2) dividing = null;
      if (dividing !== null) this.divide((event.clientX - this.box.left) / this.box.width);
      root.classList.add("held");
    });
    root.addEventListener("pointermove", (event) => {
      const last = held.get(event.pointerId);
      if (!last) return;
      if (dividing === event.pointerId) {
        this.divide((event.clientX - this.box.left) / this.box.width);
      } else if (held.size === 1) {
        this.move(event.clientX - last[0], event.clientY - last[1]);
      } else {
        const other = [...held].find(([id]) => id !== event.pointerId)[1];
        const was = Math.hypot(last[0] - other[0], last[1] - other[1]);
        const is = Math.hypot(event.clientX - other[0], event.clientY - other[1]);
        const { left, top } = this.box;
        this.zoom(is / Math.max(1, was), (event.clientX + other[0]) / 2 - left, (event.clientY + other[1]) / 2 - top);
      }
      held.set(event.pointerId, [event.clientX, event.clientY]);
    });
    const release = (event) => {
      held.delete(event.pointerId);
      if (dividing === event.pointerId) dividing = null;
      if (!held.size) root.classList.remove("held");
    };
    for (const name of ["pointerup", "pointercancel"]) root.addEventListener(name, release);
    root.addEventListener("dblclick", (event) => {
      const { left, top } = this.box;
      if (this.whole) this.zoom(Math.max(2, 1 / this.view.scale), event.clientX - left, event.clientY - top);
      else this.fit();
    });
  }
}

const root = document.getElementById("compare");
if (root) new Compare(root).begin().catch(() => root.setAttribute("title", word("Loading")));
