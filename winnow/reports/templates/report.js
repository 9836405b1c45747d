// Search and filter the galleries, take a person's decisions, and hand them over as corrections.csv.
// Holds no data: everything is read from the page, and nothing is written into it as markup.
"use strict";
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const one = (id) => document.getElementById(id);
const cards = all(".card");
const store = "winnow:" + document.body.dataset.release;
const read = () => { try { return JSON.parse(localStorage.getItem(store)) || {}; } catch { return {}; } };
let decisions = read();

function filter() {
  const words = one("words").value.trim().toLowerCase();
  const cls = one("class").value, reason = one("reason").value;
  let shown = 0;
  for (const card of cards) {
    const { id, given, likely } = card.dataset;
    card.hidden = !((!words || [id, given, likely].some((text) => text.toLowerCase().includes(words)))
      && (!cls || given === cls || likely === cls) && (!reason || card.dataset.reason === reason));
    shown += !card.hidden;
  }
  for (const group of all(".group")) {
    group.hidden = !all(".card", group).some((card) => !card.hidden);
    if ((words || cls) && group.tagName === "DETAILS") group.open = true;
  }
  one("shown").textContent = shown + " of " + cards.length + " images shown";
}

function draw() {
  for (const card of cards) {
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
for (const card of cards) {
  for (const button of all("[data-decision]", card)) button.addEventListener("click", () => decide(card, button.dataset.decision));
  card.querySelector("input").addEventListener("input", (event) => { decisions[card.dataset.id].label = event.target.value; draw(); });
}
one("save").addEventListener("click", save);
one("clear").addEventListener("click", () => { if (confirm("Forget all decisions?")) { decisions = {}; draw(); } });
one("tools").hidden = false;
for (const panel of all(".decide")) panel.hidden = false;
filter();
draw();
