"use strict";
const one = (id) => document.getElementById(id);
const images = JSON.parse(one("images").textContent);
const classes = new Set([...document.querySelectorAll("#classes option")].map((option) => option.value));
let said = images.map(() => ""), at = 0, busy = false, seen = [];

function open(from) {
  for (let step = 0; step < images.length; step += 1) {
    const number = (from + step) % images.length;
    if (!said[number]) return number;
  }
  return -1;
}

function draw(state) {
  if (state) {
    said = state.said;
    one("lines").replaceChildren(...state.lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
    one("done").hidden = state.left > 0;
  }
  const { id, given, likely } = images[at], done = said.filter(Boolean).length;
  one("given").textContent = given;
  one("likely").textContent = given === likely ? "that, too" : likely;
  one("id").textContent = id;
  const source = "image/" + at;
  if (one("photo").getAttribute("src") !== source) one("photo").src = source;
  one("photo").alt = id + ", labelled " + given;
  one("progress").textContent = done + " of " + images.length + " answered; image " + (at + 1);
  one("bar").style.width = 100 * done / images.length + "%";
  for (const button of document.querySelectorAll("[data-answer]")) button.setAttribute("aria-pressed", String(said[at] === button.dataset.answer));
  one("back").disabled = !seen.length;
  one("next").disabled = open(at + 1) < 0;
  const following = open(at + 1);
  if (following >= 0) new Image().src = "image/" + following;
}

function show(number) {
  if (number < 0 || number === at) return draw();
  seen.push(at);
  at = number;
  one("label").value = "";
  draw();
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function answer(decision) {
  if (busy) return;
  const label = decision === "wrong" ? one("label").value.trim() : "";
  if (label && !classes.has(label)) { one("status").textContent = label + " is no class"; return; }
  busy = true;
  try {
    const body = JSON.stringify({ number: at, decision, label, by: one("by").value });
    const state = await ask("answer", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    one("status").textContent = "";
    said = state.said;
    const next = open(at + 1);
    draw(state);
    document.activeElement.blur();
    show(next);
  } catch (error) {
    one("status").textContent = "Not saved: " + error.message;
  } finally { busy = false; }
}

function back() {
  if (!seen.length) return;
  at = seen.pop();
  one("label").value = "";
  draw();
}

const keys = { r: () => answer("right"), w: () => answer("wrong"), u: () => answer("unsure"), b: back, n: () => show(open(at + 1)), c: () => one("label").focus() };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.tagName === "INPUT") {
    if (event.key === "Enter" && event.target.id === "label" && event.target.value.trim()) answer("wrong");
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = keys[event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
});
for (const button of document.querySelectorAll("[data-answer]")) button.addEventListener("click", () => answer(button.dataset.answer));
one("back").addEventListener("click", back);
one("next").addEventListener("click", () => show(open(at + 1)));
one("photo").addEventListener("error", () => { one("status").textContent = "The image cannot be shown; see the terminal, or run dvc repro."; });
ask("state").then((state) => { said = state.said; at = Math.max(open(0), 0); draw(state); }, (error) => { one("status").textContent = error.message; draw(); });
