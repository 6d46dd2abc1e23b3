// One head's attention as a map, and all heads small. Pointing at a cell, or moving to it by the arrow keys, works it out
// from the head's queries and keys as the model had them: product, scale, mask, softmax. All text leaves as textContent.

const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };
const BLUE = [0, 114, 178];
const VERMILION = [213, 94, 0];
const TERMS = 3; // of a product, written out
const LABELLED = 24; // tokens; of more the labels would lie upon each other

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function visible(text) {
  return Array.from(text, (letter) => MARKS[letter] ?? letter).join("");
}

function bytes(packed) {
  return Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
}

function floats(packed) {
  return new Float32Array(bytes(packed).buffer);
}

function share(weight) {
  return weight >= 0.001 || weight === 0 ? `${(100 * weight).toFixed(1)} %` : `${(100 * weight).toPrecision(2)} %`;
}

function number(value, digits = 3) {
  return value.toFixed(digits).replace("-", "−");
}

// A canvas with one pixel a cell: colour by cell, as [r, g, b, opacity].
function paint(canvas, columns, rows, colour) {
  canvas.width = columns;
  canvas.height = rows;
  const image = new ImageData(columns, rows);
  for (let cell = 0; cell < columns * rows; cell++) {
    const [r, g, b, opacity] = colour(cell);
    image.data.set([r, g, b, Math.round(255 * opacity)], 4 * cell);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// The theme's own blue: the one of the light theme would be too dark on the dark one.
function themeBlue(root) {
  const hex = getComputedStyle(root).getPropertyValue("--st-primary-color").trim();
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})/i.exec(hex);
  return found ? found.slice(1).map((part) => parseInt(part, 16)) : BLUE;
}

// A weight as blue on the page; what lies in a token's future is grey, for it is never read.
function weightColour(count, weights, blue) {
  return (cell) => {
    const future = cell % count > Math.floor(cell / count);
    return future ? [136, 136, 136, 0.13] : [...blue, 0.04 + 0.96 * Math.sqrt(weights(cell))];
  };
}

class Attention {
  constructor(root) {
    const find = (name) => root.querySelector(`.${name}`);
    this.parts = Object.fromEntries(
      ["map", "rows", "columns", "grid", "square", "title", "steps", "strips", "maps"].map((name) => [name, find(name)]),
    );
    this.canvas = this.parts.grid.querySelector("canvas");
    this.strips = ["q", "k", "q × k"].map((name) => {
      const canvas = element("canvas");
      this.parts.strips.append(element("span", "", name), canvas);
      return canvas;
    });
    this.parts.grid.addEventListener("pointermove", (event) => this.point(event));
    this.parts.grid.addEventListener("pointerdown", (event) => this.point(event));
    this.parts.grid.addEventListener("keydown", (event) => this.onKey(event));
  }

  show(data, pick) {
    this.pick = pick;
    this.blue = themeBlue(this.parts.map);
    if (this.data?.pass !== data.pass || this.data.cell[0] !== data.cell[0]) [this.query, this.key] = data.cell;
    this.data = data;
    this.count = data.tokens.length;
    for (const name of ["q", "k", "weights"]) this[name] = floats(data[name]);
    const { map, grid, rows, columns } = this.parts;
    map.classList.toggle("small", this.count > LABELLED);
    const names = data.tokens.map((token) => visible(token));
    rows.replaceChildren(...names.map((name) => element("span", "", name)));
    columns.replaceChildren(...names.map((name) => element("span", "", name)));
    grid.style.setProperty("--count", this.count);
    grid.setAttribute("aria-label", data.label);
    paint(this.canvas, this.count, this.count, weightColour(this.count, (cell) => this.weights[cell], this.blue));
    this.showMaps();
    this.light(this.query, this.key);
  }

  showMaps() {
    const { maps, heads } = this.data;
    const all = bytes(maps.weights);
    const size = this.count ** 2;
    this.parts.maps.style.setProperty("--heads", heads);
    this.parts.maps.setAttribute("aria-label", "all heads; a click takes one");
    const rows = maps.layers.map((layer, row) => [
      element("span", "name", `layer ${layer + 1}`),
      ...Array.from({ length: heads }, (_, head) => {
        const first = (row * heads + head) * size;
        return this.small(layer, head, (cell) => all[first + cell] / 255);
      }),
    ]);
    this.parts.maps.replaceChildren(...rows.flat());
  }

  small(layer, head, weights) {
    const button = element("button");
    button.type = "button";
    const name = `layer ${layer + 1}, head ${head + 1}`;
    button.title = name;
    button.setAttribute("aria-label", name);
    button.setAttribute("aria-pressed", layer === this.data.layer && head === this.data.head);
    button.addEventListener("click", () => this.pick([layer, head]));
    const canvas = element("canvas");
    paint(canvas, this.count, this.count, weightColour(this.count, weights, this.blue));
    button.append(canvas);
    return button;
  }

  point(event) {
    const { left, top, width, height } = this.parts.grid.getBoundingClientRect();
    const place = (share) => Math.min(Math.max(Math.floor(share * this.count), 0), this.count - 1);
    this.light(place((event.clientY - top) / height), place((event.clientX - left) / width));
  }

  onKey(event) {
    const last = this.count - 1;
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -last], End: [0, last] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const within = (place) => Math.min(Math.max(place, 0), last);
    this.light(within(this.query + move[0]), within(this.key + move[1]));
  }

  light(query, key) {
    [this.query, this.key] = [query, key];
    const { grid, rows, columns, title, steps } = this.parts;
    grid.style.setProperty("--query", query);
    grid.style.setProperty("--key", key);
    Array.from(rows.children, (name, place) => name.classList.toggle("lit", place === query));
    Array.from(columns.children, (name, place) => name.classList.toggle("lit", place === key));
    const tokens = this.data.tokens.map((token) => visible(token));
    title.textContent = `Token ${query + 1}, “${tokens[query]}”, reads token ${key + 1}, “${tokens[key]}”`;
    steps.replaceChildren(...this.arithmetic(query, key).map((line) => element("li", "", line)));
    this.showStrips(query, key);
  }

  vectors(query, key) {
    const width = this.data.width;
    return [this.q.subarray(query * width, (query + 1) * width), this.k.subarray(key * width, (key + 1) * width)];
  }

  score(query, key) {
    const [q, k] = this.vectors(query, key);
    return q.reduce((sum, value, place) => sum + value * k[place], 0);
  }

  arithmetic(query, key) {
    const { width } = this.data;
    const [q, k] = this.vectors(query, key);
    const shown = Math.min(TERMS, width);
    const terms = Array.from({ length: shown }, (_, place) => `${number(q[place], 2)} × ${number(k[place], 2)}`);
    const rest = width > shown ? ` + … (${width} products)` : "";
    const score = this.score(query, key);
    const scaled = score / Math.sqrt(width);
    const lines = [
      `Score: q · k = ${terms.join(" + ")}${rest} = ${number(score)}`,
      `Scale: ${number(score)} / √${width} = ${number(scaled)}`,
    ];
    if (key > query) return [...lines, "Mask: this token comes later, so its score is made −∞", "Softmax: e to −∞ is 0: weight 0"];
    const past = Array.from({ length: query + 1 }, (_, place) => this.score(query, place) / Math.sqrt(width));
    const largest = Math.max(...past);
    const sum = past.reduce((total, value) => total + Math.exp(value - largest), 0);
    const weight = this.weights[query * this.count + key];
    return [
      ...lines,
      `Mask: it ${key === query ? "is the token itself" : "comes before"}, so its score stays`,
      `Softmax over ${query + 1} token${query ? "s" : ""}, the largest score, ${number(largest)}, taken off: ` +
        `e^${number(scaled - largest)} / ${number(sum)} = ${number(weight, 4)}, a weight of ${share(weight)}`,
    ];
  }

  showStrips(query, key) {
    const [q, k] = this.vectors(query, key);
    const rows = [q, k, q.map((value, place) => value * k[place])];
    rows.forEach((row, place) => {
      const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
      paint(this.strips[place], row.length, 1, (cell) => [
        ...(row[cell] < 0 ? BLUE : VERMILION),
        Math.abs(row[cell]) / largest,
      ]);
    });
  }
}

const shown = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".attention");
  if (!shown.has(root)) shown.set(root, new Attention(root));
  shown.get(root).show(data, (place) => setTriggerValue("picked", place));
}
