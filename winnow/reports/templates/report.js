// Search, filter and page through the galleries; take a person's decisions, and save them as corrections.csv.
// Everything is read from the page, and nothing is written into it as markup.
"use strict";
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const one = (id) => document.getElementById(id);
const phone = matchMedia("(max-width: 40rem)");
const size = () => phone.matches ? 8 : 24; // cards on a page of a gallery
const store = "winnow:" + document.body.dataset.release;
const read = () => { try { return JSON.parse(localStorage.getItem(store)) || {}; } catch { return {}; } };
let decisions = read();

// A gallery is a list of items; those that have no picture in the page get their card when it is first shown.
const item = (card) => ({ card, ...card.dataset });
const galleries = all(".gallery").map((list) => ({ list, items: all(".card", list).map(item), page: 0, nav: list.parentElement.querySelector(":scope > .pages") }));
const suspects = galleries.find((gallery) => gallery.list.dataset.key === "suspects");
for (const [id, given, likely, note] of JSON.parse(one("unseen").textContent)) suspects.items.push({ id, given, likely, note, reason: "suspected label" });
const total = galleries.reduce((sum, gallery) => sum + gallery.items.length, 0);

function make(gallery, { id, given, likely, note }) {
  const card = one("plain").content.firstElementChild.cloneNode(true);
  Object.assign(card.dataset, { id, given, likely });
  for (const [place, text] of [[".given", given], [".likely", likely], [".soft", note], [".name", id]]) card.querySelector(place).textContent = text;
  card.querySelector(".decide").setAttribute("aria-label", "Decide on " + id);
  card.querySelector("input").setAttribute("aria-label", "Right class of " + id);
  gallery.list.append(card);
  wire(card);
  return card;
}

function turn(gallery) {
  const { list, items, nav } = gallery;
  const most = nav ? size() : items.length, pages = Math.max(1, Math.ceil(gallery.found.length / most));
  gallery.page = Math.min(gallery.page, pages - 1);
  for (const card of all(".card", list)) card.hidden = true;
  const first = gallery.page * most, shown = gallery.found.slice(first, first + most);
  for (const each of shown) (each.card ||= make(gallery, each)).hidden = false;
  if (!nav) return;
  nav.hidden = pages < 2;
  nav.querySelector("span").textContent = (first + 1) + " to " + (first + shown.length) + " of " + gallery.found.length.toLocaleString("en");
  for (const button of all("button", nav)) button.disabled = button.dataset.step < 0 ? !gallery.page : gallery.page === pages - 1;
}

function filter() {
  const words = one("words").value.trim().toLowerCase();
  const cls = one("class").value, reason = one("reason").value;
  let found = 0;
  for (const gallery of galleries) {
    gallery.found = gallery.items.filter(({ id, given, likely, reason: why }) =>
      (!words || [id, given, likely].some((text) => text.toLowerCase().includes(words)))
      && (!cls || given === cls || likely === cls) && (!reason || why === reason));
    gallery.page = 0;
    turn(gallery);
    found += gallery.found.length;
  }
  for (const group of all(".group")) {
    group.hidden = !all(".card", group).some((card) => !card.hidden);
    if ((words || cls) && group.tagName === "DETAILS") group.open = true;
  }
  one("shown").textContent = found.toLocaleString("en") + " of " + total.toLocaleString("en") + " images";
  draw();
}

function draw() {
  for (const card of all(".card")) {
    const made = decisions[card.dataset.id];
    for (const button of all("[data-decision]", card))
      button.setAttribute("aria-pressed", String(!!made && made.decision === button.dataset.decision));
    const entry = card.querySelector("input");
    entry.hidden = !made || made.decision !== "relabel";
    if (made && made.decision === "relabel" && document.activeElement !== entry) entry.value = made.label;
    card.classList.toggle("decided", !!made);
  }
  const count = Object.keys(decisions).length;
  one("count").textContent = count + (count === 1 ? " decision" : " decisions");
  one("save").disabled = one("clear").disabled = !count;
  try { localStorage.setItem(store, JSON.stringify(decisions)); } catch { /* not kept for the next visit */ }
}

function decide(card, decision) {
  const { id, given, likely } = card.dataset;
  if (decisions[id] && decisions[id].decision === decision) delete decisions[id];
  else decisions[id] = { decision, given, label: decision === "relabel" ? likely : "" };
  draw();
  if (decisions[id] && decision === "relabel") card.querySelector("input").select();
}

function wire(card) {
  for (const button of all("[data-decision]", card)) button.addEventListener("click", () => decide(card, button.dataset.decision));
  card.querySelector("input").addEventListener("input", (event) => { decisions[card.dataset.id].label = event.target.value; draw(); });
  card.querySelector(".decide").hidden = false;
}

function csv() {
  const known = new Set(all("#classes option").map((option) => option.value));
  const by = one("by").value.trim(), on = new Date().toISOString().slice(0, 10);
  const quoted = (value) => '"' + value.replaceAll('"', '""') + '"';
  const rows = [["id", "decision", "label", "given", "by", "on", "release"]];
  for (const [id, { decision, label, given }] of Object.entries(decisions).sort()) {
    if (decision === "relabel" && !known.has(label)) { one("status").textContent = label + " is no class; " + id + " needs one"; return null; }
    rows.push([id, decision, label, given, by, on, document.body.dataset.release]);
  }
  return rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");
}

function save() {
  const text = csv();
  if (text === null) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "corrections.csv";
  link.click();
  URL.revokeObjectURL(link.href);
  one("status").textContent = "Saved. Add its rows to the project's corrections.csv.";
}

for (const id of ["words", "class", "reason"]) one(id).addEventListener("input", filter);
for (const gallery of galleries) for (const button of gallery.nav ? all("button", gallery.nav) : []) button.addEventListener("click", () => {
  gallery.page += Number(button.dataset.step);
  turn(gallery);
  draw();
  gallery.list.scrollIntoView();
});
phone.addEventListener("change", () => { galleries.forEach(turn); draw(); });
for (const card of all(".card")) wire(card);
one("save").addEventListener("click", save);
one("clear").addEventListener("click", () => { if (confirm("Forget all decisions?")) { decisions = {}; draw(); } });
one("tools").hidden = false;
filter();
