// A piece of text from bytes to tokens: a level for each merge, and below the last one what every pair would cost.
// All levels are here at once, so that stepping asks nobody. All text leaves as textContent.

const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function visible(text) {
  return Array.from(text, (letter) => MARKS[letter] ?? letter).join("");
}

class MergeSteps {
  constructor(root) {
    const find = (name) => root.querySelector(`.${name}`);
    [this.back, this.scrubber, this.on, this.said, this.tower] = ["back", "scrubber", "on", "said", "tower"].map(find);
    this.back.addEventListener("click", () => this.go(this.at - 1));
    this.on.addEventListener("click", () => this.go(this.at + 1));
    this.scrubber.addEventListener("input", () => this.go(Number(this.scrubber.value)));
  }

  show(data) {
    if (JSON.stringify(data) === this.shown) return; // the reader's place stays
    this.shown = JSON.stringify(data);
    this.data = data;
    this.scrubber.max = data.levels.length - 1;
    this.tower.style.setProperty("--bytes", data.bytes);
    this.go(data.levels.length - 1);
  }

  go(at) {
    const { levels, said } = this.data;
    this.at = Math.min(Math.max(at, 0), levels.length - 1);
    this.scrubber.value = this.at;
    this.scrubber.setAttribute("aria-valuetext", said[this.at]);
    this.back.disabled = this.at === 0;
    this.on.disabled = this.at === levels.length - 1;
    this.said.textContent = said[this.at];
    this.tower.replaceChildren(...levels.slice(0, this.at + 1).map((level, place) => this.level(level, place)));
    this.tower.setAttribute("aria-label", said[this.at]);
    this.tower.scrollTop = this.tower.scrollHeight;
  }

  level({ parts, ranks, chosen }, place) {
    const row = element("div", "level", "");
    const current = place === this.at;
    let column = 1;
    parts.forEach(([text, bytes, id, whole], part) => {
      const made = element("span", "part", visible(text));
      made.style.gridColumn = `${column} / span ${bytes}`;
      made.classList.toggle("half", !whole);
      made.classList.toggle("merged", chosen !== null && (part === chosen || part === chosen + 1));
      made.classList.toggle("done", current && chosen === null);
      if (current && chosen === null) made.append(element("span", "id", String(id)));
      column += bytes;
      if (current && part < ranks.length && ranks[part] !== null) row.append(this.rank(ranks[part], column, part === chosen));
      row.append(made);
    });
    return row;
  }

  // The rank of a pair stands below the line between its two parts.
  rank(rank, column, lowest) {
    const made = element("span", lowest ? "rank lowest" : "rank", rank.toLocaleString("en"));
    made.style.gridColumn = `${column - 1} / ${column + 1}`;
    return made;
  }
}

const all = new WeakMap();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".merge-steps");
  if (!all.has(root)) all.set(root, new MergeSteps(root));
  all.get(root).show(data);
}
