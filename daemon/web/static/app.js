// What every page does: show what is new without loading the page again, and fetch more results.

const words = JSON.parse(document.getElementById("words").textContent);

/** A message in the language of the page. */
export function word(text) {
  return words[text] ?? text;
}

/** Call a route of the API; what it refuses becomes an Error with its reason. */
export async function call(method, path, body) {
  const headers = { "x-csrf-token": document.documentElement.dataset.csrf };
  let sent = body;
  if (body !== undefined && method !== "GET" && !(body instanceof Blob)) {
    headers["content-type"] = "application/json";
    sent = JSON.stringify(body);
  }
  const answer = await fetch(path, { method, headers, body: sent });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const error = new Error(said.error ?? `${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return said;
}

/** Show a message at the top of the page. */
export function flash(text) {
  const place = document.getElementById("flash");
  place.textContent = text;
  place.hidden = !text;
}

/** Say the token as a form does. */
export function csrf() {
  return document.documentElement.dataset.csrf;
}

function prepare(root) {
  // The photograph as it was shows while somebody points at a card; it is fetched only then.
  for (const card of root.querySelectorAll(".card a")) {
    const before = card.querySelector("img.before[data-src]");
    if (!before) continue;
    const fetchIt = () => {
      if (before.dataset.src) {
        before.addEventListener("load", () => before.classList.add("there"), { once: true });
        before.src = before.dataset.src;
        delete before.dataset.src;
      }
    };
    card.addEventListener("pointerenter", fetchIt, { once: true });
    card.addEventListener("focus", fetchIt, { once: true });
  }
}

/** What stands in the place of a picture that cannot be drawn, as that of a damaged file. */
function replaceBroken(picture) {
  const instead = document.createElement(picture.matches(".single") ? "p" : "span");
  const small = picture.matches(".rows img");
  instead.className = small ? "blank" : picture.matches(".single") ? "empty" : "gone";
  if (small) instead.ariaHidden = "true";
  else instead.textContent = word("This picture cannot be shown.");
  picture.replaceWith(instead);
}

const SHOWN = ".rows img, .frame img:not(.before), img.single";

function watchPictures() {
  const at = { capture: true };
  document.addEventListener("error", (event) => event.target.matches?.(SHOWN) && replaceBroken(event.target), at);
  // Those that failed before this script ran.
  for (const picture of document.querySelectorAll(SHOWN)) {
    if (picture.complete && picture.getAttribute("src") && !picture.naturalWidth) replaceBroken(picture);
  }
}

/** On a narrow screen the name of this page may lie beyond the edge. */
function showWhere() {
  const here = document.querySelector(".top nav [aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 16;
}

async function fetchPage(address) {
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

let renewing = false;
let again = false;

/** Replace what is live on this page; what somebody is typing in, or scrolled beyond, stays. */
async function renew() {
  if (renewing) {
    again = true;
    return;
  }
  renewing = true;
  try {
    const live = document.querySelector("[data-live]");
    if (!live || document.hidden) return;
    if (live.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) return;
    const page = await fetchPage(location.href);
    const fresh = page.getElementById(live.id);
    if (!fresh) return;
    if (live.matches("ul.grid") && fresh.matches("ul.grid")) addNew(live, fresh);
    else if (fresh.innerHTML !== live.dataset.last) {
      const focused = pathTo(live, document.activeElement);
      live.dataset.last = fresh.innerHTML;
      if (fresh.tagName !== live.tagName) {
        live.replaceWith(fresh);
      } else live.replaceChildren(...fresh.childNodes);
      focused && live.querySelector(focused)?.focus();
      prepare(document);
    }
  } catch {
    // The next event tries again.
  } finally {
    renewing = false;
    if (again) {
      again = false;
      setTimeout(renew, 500);
    }
  }
}

/** Results that are new go to the front of the grid, whatever has been fetched behind them. */
function addNew(grid, fresh) {
  const link = (card) => card.querySelector("a")?.getAttribute("href");
  const known = new Set([...grid.children].map(link));
  const added = [...fresh.children].filter((card) => !known.has(link(card)));
  grid.prepend(...added);
  prepare(grid);
}

/** Selector by which a button or link that has the focus is found in a renewed part. */
function pathTo(root, element) {
  if (!root.contains(element)) return null;
  const form = element.closest("form[action]");
  if (form) return `form[action="${CSS.escape(form.getAttribute("action"))}"] button`;
  const href = element.getAttribute("href");
  return href ? `a[href="${CSS.escape(href)}"]` : null;
}

function listen() {
  if (!document.querySelector("[data-live]")) return;
  const events = new EventSource("/api/events");
  events.addEventListener("changed", renew);
  events.addEventListener("open", () => {
    if (listen.lost) renew();
    listen.lost = false;
  });
  events.addEventListener("error", () => {
    listen.lost = true;
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) renew();
  });
  addEventListener("pagehide", () => events.close());
}

/** Fetch the next page of results shortly before somebody has scrolled to the end of this one. */
function scrollOn() {
  const more = document.getElementById("more");
  const grid = document.getElementById("grid");
  if (!more || !grid) return;
  let busy = false;
  const fetchMore = async () => {
    if (busy) return;
    busy = true;
    try {
      const page = await fetchPage(more.href);
      const cards = page.getElementById("grid")?.children ?? [];
      grid.append(...cards);
      prepare(grid);
      const next = page.getElementById("more");
      if (next) more.href = next.href;
      else {
        observer.disconnect();
        more.parentElement.remove();
      }
    } finally {
      busy = false;
      if (more.isConnected) {
        observer.unobserve(more);
        observer.observe(more);
      }
    }
  };
  const observer = new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) fetchMore();
  }, { rootMargin: "1200px" });
  observer.observe(more);
  more.addEventListener("click", (event) => {
    event.preventDefault();
    fetchMore();
  });
}

/** Arrows move between the cards of the grid, as in a folder of pictures. */
function arrows() {
  document.addEventListener("keydown", (event) => {
    const card = document.activeElement?.closest?.(".grid .card");
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return;
    const cards = [...card.parentElement.children];
    const top = cards[0].offsetTop;
    const columns = cards.findIndex((one) => one.offsetTop !== top);
    const across = columns < 0 ? cards.length : columns;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across };
    const step = steps[event.key];
    if (!step) return;
    const next = cards[cards.indexOf(card) + step];
    if (next) {
      event.preventDefault();
      next.querySelector("a").focus();
    }
  });
}

prepare(document);
watchPictures();
showWhere();
listen();
scrollOn();
arrows();
