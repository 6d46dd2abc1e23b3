// A window's inputs above its targets. A column is one exercise: pointing at it, or moving to it by the arrow keys,
// lights what is given up to there and what has to be guessed, and writes both out. All text leaves as textContent.

const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };
const SHOWN = 160; // characters of what is given, written out

function visible(text) {
  return Array.from(text, (letter) => MARKS[letter] ?? letter).join("");
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function chip({ text, note, title, colour }, row) {
  const made = element("span", `chip ${row}`);
  made.style.setProperty("--chip", colour);
  made.title = title;
  made.append(element("span", "text", visible(text)));
  if (note) made.append(element("span", "note", note));
  return made;
}

class Pairs {
  constructor(root) {
    this.grid = root.querySelector(".pairs");
    this.exercise = root.querySelector(".exercise");
    this.grid.addEventListener("pointerover", (event) => this.light(this.columnOf(event.target)));
    this.grid.addEventListener("pointerleave", () => this.light(this.data.position));
    this.grid.addEventListener("keydown", (event) => this.onKey(event));
  }

  show(data) {
    this.data = data;
    const labels = ["input", "target"].map((name) => element("span", "chip label", name));
    this.columns = data.columns.map(([input, target]) => [chip(input, "input"), chip(target, "target")]);
    this.grid.setAttribute("aria-label", data.label);
    this.grid.replaceChildren(...labels, ...this.columns.flat());
    this.light(data.position);
  }

  columnOf(target) {
    const found = this.columns.findIndex((column) => column.some((each) => each.contains(target)));
    return found < 0 ? this.data.position : found;
  }

  onKey(event) {
    const last = this.columns.length - 1;
    const to = { ArrowLeft: this.at - 1, ArrowRight: this.at + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.light(Math.min(Math.max(to, 0), last));
    this.columns[this.at][0].scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  light(at) {
    this.at = at;
    this.columns.forEach(([input, target], place) => {
      input.classList.toggle("given", place <= at);
      target.classList.toggle("asked", place === at);
    });
    const { columns, before, first } = this.data;
    const given = before + columns.slice(0, at + 1).map(([input]) => input.word).join("");
    const shown = given.length > SHOWN ? `… ${given.slice(-SHOWN)}` : given;
    const count = first + at + 1;
    const head = `Position ${first + at}: given ${count} token${count === 1 ? "" : "s"}, guess one. `;
    this.exercise.replaceChildren(
      element("span", "", head),
      element("span", "prefix", shown),
      element("span", "", " → "),
      element("span", "next", visible(columns[at][1].word)),
    );
  }
}

const shown = new WeakMap();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".window");
  if (!shown.has(root)) shown.set(root, new Pairs(root));
  shown.get(root).show(data);
}
