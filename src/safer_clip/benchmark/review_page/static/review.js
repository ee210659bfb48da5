// The review page: shows one pair at a time and sends verdicts. What counts is on the server's disk; here is only the view.

const HOLD_MS = 400; // a key that is down for longer was held, not tapped
const SMALL_PIXELS = 160; // pictures below this are drawn with hard pixels, lest they look blurred
const STOPPED =
  "The review does not answer, so the last step may not be saved. Start it again with the same command and open its new " +
  "address: it goes on after the last saved verdict.";
const WORDS = { accept: "Accepted", edit: "Edited", reject: "Rejected" };

const { token, tokenHeader, total, start } = document.body.dataset;
const last = Number(total);
const find = (id) => document.getElementById(id);

let pair = null; // what is shown, or null for the summary
let nextUndecided = null;
let busy = false;
let undoable = false;
let blurAfterHold = null; // when the key that showed the picture went down
let focusBeforeEdit = null;

// --- talking to the server

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { [tokenHeader]: token }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error(STOPPED);
  }
  if (response.ok) return response.json();
  const answer = await response.text();
  let told = answer;
  try {
    told = JSON.parse(answer).error;
  } catch {
    // a plain sentence
  }
  throw new Error(told);
}

// One step at a time: keys pressed meanwhile would be meant for a pair that nobody has seen yet.
async function step(action) {
  if (busy) return;
  busy = true;
  try {
    await action();
    find("alert").hidden = true;
  } catch (error) {
    find("alert").textContent = error.message;
    find("alert").hidden = false;
  } finally {
    busy = false;
  }
}

// --- showing

function element(tag, text, attributes = {}) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.textContent = text;
  return made;
}

function showProgress(progress) {
  nextUndecided = progress.next;
  const left = progress.total - progress.decided;
  find("bar").value = progress.decided;
  find("bar").textContent = `${progress.decided} of ${progress.total}`;
  find("count").textContent = left ? `${left} of ${progress.total} left` : `All ${progress.total} decided`;
  undoable = progress.undoable;
  showButtons();
  find("undecided").firstChild.textContent = progress.next === null ? "Summary " : "Next undecided ";
}

// While a caption is edited nothing else can be decided, lest the edit be lost.
function showButtons() {
  const editing = isEditing();
  for (const id of ["accept", "reject", "edit"]) find(id).hidden = editing || !pair;
  for (const id of ["save", "cancel"]) find(id).hidden = !editing;
  for (const id of ["previous", "next", "undecided"]) find(id).disabled = editing;
  find("undo").hidden = editing;
  find("undo").disabled = !undoable;
}

function showCaption(place, parts) {
  place.replaceChildren(...parts.map((part) => (part.edited ? element("mark", part.text) : part.text)));
}

function addPicture(frame, name, alt) {
  const image = new Image();
  image.alt = alt;
  image.className = name === "unsafe-blurred" ? "blurred" : "";
  image.addEventListener("load", () => {
    if (name !== "unsafe-blurred" && Math.max(image.naturalWidth, image.naturalHeight) < SMALL_PIXELS) image.classList.add("small");
  });
  image.addEventListener("error", () => {
    if (image.isConnected) image.replaceWith(element("p", "The picture cannot be read", { className: "note" }));
  });
  image.src = `pictures/${pair.number}/${name}`;
  frame.append(image);
  return image;
}

function showPictures() {
  const { safe, unsafe } = pair.pictures;
  find("safe-frame").replaceChildren();
  find("unsafe-frame").replaceChildren();
  if (safe) addPicture(find("safe-frame"), "safe", "Safe picture");
  else find("safe-frame").append(element("p", "No safe picture", { className: "note" }));
  if (unsafe) {
    addPicture(find("unsafe-frame"), "unsafe-blurred", "Unsafe picture, blurred");
    find("unsafe-frame").append(element("p", "Blurred", { className: "veil" }));
  } else find("unsafe-frame").append(element("p", "No unsafe picture", { className: "note" }));
  find("look").hidden = !unsafe;
}

async function showPair(number) {
  const found = await ask(`pairs/${number}`);
  blurPicture();
  closeEditor();
  pair = found;
  find("pair-title").textContent = `Pair ${pair.number} of ${pair.progress.total}`;
  find("category").textContent = [pair.category, pair.tag].filter(Boolean).join(" · ");
  find("verdict").textContent = WORDS[pair.verdict] ?? "Undecided";
  find("verdict").dataset.verdict = pair.verdict ?? "";
  showCaption(find("safe-caption"), pair.safe);
  showCaption(find("unsafe-caption"), pair.unsafe);
  find("original").hidden = pair.original === null;
  find("original").textContent = `Before your edit: ${pair.original}`;
  showPictures();
  showProgress(pair.progress);
  showSection("pair");
  window.scrollTo(0, 0);
  history.replaceState(null, "", `${location.pathname}#${pair.number}`);
}

async function showSummary() {
  const found = await ask("summary");
  blurPicture();
  closeEditor();
  pair = null;
  showProgress(found.progress);
  find("summary-title").textContent = found.progress.next === null ? "All pairs are decided" : "Not all pairs are decided yet";
  const { accept, edit, reject } = found.counts;
  find("outcome").textContent = `${accept} accepted as they are, ${edit} accepted with an edited caption, ${reject} rejected.`;
  fillRows("categories", Object.entries(found.categories).map(([name, by]) => [name, by.accept, by.edit, by.reject]));
  showPartners(found.partners ?? []);
  showSection("summary");
  history.replaceState(null, "", `${location.pathname}#summary`);
  find("summary-title").focus();
}

function showPartners(partners) {
  find("partners").hidden = find("kappa-note").hidden = partners.length === 0;
  find("alone").hidden = partners.length > 0;
  fillRows(
    "partners",
    partners.map((each) => [
      each.reviewer,
      each.pairs,
      `${(100 * each.agreement).toFixed(1)} %`,
      each.kappa === null ? "not defined" : each.kappa.toFixed(2),
    ]),
  );
}

function fillRows(table, rows) {
  const lines = rows.map(([name, ...cells]) => {
    const line = document.createElement("tr");
    line.append(element("th", name, { scope: "row" }), ...cells.map((cell) => element("td", cell)));
    return line;
  });
  find(table).tBodies[0].replaceChildren(...lines);
}

function showSection(name) {
  find("pair").hidden = name !== "pair";
  find("summary").hidden = name !== "summary";
}

const goTo = (number) => (number === null ? showSummary() : showPair(number));

// --- the unsafe picture

function showClear() {
  const image = addPicture(find("unsafe-frame"), "unsafe", "Unsafe picture");
  image.classList.add("clear");
  image.addEventListener("load", () => image.isConnected && find("unsafe-frame").classList.add("open"));
  setLook(true);
}

function blurPicture() {
  find("unsafe-frame").classList.remove("open");
  find("unsafe-frame").querySelector("img.clear")?.remove();
  blurAfterHold = null;
  setLook(false);
}

function setLook(shown) {
  find("look").setAttribute("aria-pressed", String(shown));
  find("look").firstElementChild.textContent = shown ? "Blur picture" : "Show picture";
}

const isShown = () => find("look").getAttribute("aria-pressed") === "true";

function toggleLook() {
  if (!pair?.pictures.unsafe) return;
  if (isShown()) blurPicture();
  else showClear();
}

// --- what the reviewer does

function decide(verdict, text) {
  if (!pair) return;
  step(async () => {
    const { id, number } = pair;
    const answer = await ask("verdicts", { id, verdict, ...(text === undefined ? {} : { unsafe_caption: text }) });
    find("status").textContent = `${WORDS[verdict]} pair ${number}`;
    await goTo(answer.progress.next);
  });
}

function undo() {
  step(async () => {
    const { number } = await ask("undo", {});
    await goTo(number ?? nextUndecided);
    find("status").textContent = number ? `Took back the verdict on pair ${number}` : "Took back a verdict on a pair that is gone";
  });
}

const isEditing = () => !find("editor").hidden;

function openEditor() {
  if (!pair) return;
  focusBeforeEdit = document.activeElement;
  find("text").value = pair.unsafe.map((part) => part.text).join("");
  find("editor").hidden = false;
  find("unsafe-caption").hidden = true;
  showButtons();
  find("text").focus();
  find("editor").scrollIntoView({ block: "nearest" });
  find("text").setSelectionRange(find("text").value.length, find("text").value.length);
}

function closeEditor() {
  if (!isEditing()) return;
  find("editor").hidden = true;
  find("unsafe-caption").hidden = false;
  showButtons();
  find("text").blur();
  focusBeforeEdit.focus({ preventScroll: true });
}

function saveEdit() {
  const text = find("text").value.trim();
  if (pair && text === pair.unsafe.map((part) => part.text).join("")) {
    closeEditor();
    find("status").textContent = "Nothing was changed, and nothing saved";
  } else decide("edit", text);
}

function move(by) {
  const number = pair ? pair.number + by : by < 0 ? last : null;
  if (number === null || number < 1) return;
  if (number <= last) step(() => showPair(number));
  else if (nextUndecided === null) step(showSummary);
}

function toggleHelp() {
  if (find("help").open) find("help").close();
  else find("help").showModal();
}

// --- keys and buttons

const KEYS = {
  a: () => decide("accept"),
  r: () => decide("reject"),
  e: openEditor,
  u: undo,
  n: () => step(() => goTo(nextUndecided)),
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
  "?": toggleHelp,
};

function onEditorKey(event) {
  if (event.isComposing) return;
  if (event.key === "Enter") {
    event.preventDefault();
    if (!event.repeat) saveEdit();
  } else if (event.key === "Escape") {
    closeEditor();
  }
}

function onKeyDown(event) {
  if (event.target === find("text")) onEditorKey(event);
  else if (!event.ctrlKey && !event.altKey && !event.metaKey) onPageKey(event);
}

function onPageKey(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const held = event.repeat && !key.startsWith("Arrow");
  if (held && (key === "Enter" || key === " ")) event.preventDefault(); // a held button must not decide pair after pair
  if (held || (find("help").open && key !== "?")) return;
  if (isEditing() && !["b", "?"].includes(key)) {
    if (key === "Escape") closeEditor();
  } else if (key === "b") {
    toggleLook();
    blurAfterHold = isShown() ? performance.now() : null;
  } else if (key in KEYS) {
    event.preventDefault();
    KEYS[key]();
  }
}

function onKeyUp(event) {
  if (event.key.toLowerCase() !== "b") return;
  if (blurAfterHold !== null && performance.now() - blurAfterHold > HOLD_MS) blurPicture();
  blurAfterHold = null;
}

function open() {
  const asked = Number(location.hash.slice(1));
  if (Number.isInteger(asked) && asked >= 1 && asked <= last) step(() => showPair(asked));
  else step(() => goTo(Number(start) || null));
}

const BUTTONS = {
  accept: KEYS.a,
  reject: KEYS.r,
  edit: KEYS.e,
  undo: KEYS.u,
  undecided: KEYS.n,
  previous: KEYS.ArrowLeft,
  back: KEYS.ArrowLeft,
  next: KEYS.ArrowRight,
  "open-help": toggleHelp,
  look: toggleLook,
  cancel: closeEditor,
};
for (const [id, action] of Object.entries(BUTTONS)) find(id).addEventListener("click", action);
find("editor").addEventListener("submit", (event) => {
  event.preventDefault();
  saveEdit();
});
document.addEventListener("keydown", onKeyDown);
document.addEventListener("keyup", onKeyUp);
document.addEventListener("visibilitychange", () => document.hidden && blurPicture());
window.addEventListener("blur", blurPicture);
window.addEventListener("pagehide", blurPicture);
window.addEventListener("hashchange", open);
open();
