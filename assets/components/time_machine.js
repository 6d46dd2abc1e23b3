// A run to drag through: one scrubber moves the cursor on its curves, the text it wrote, and what it made of two passages.
// Everything is here at once, so that dragging asks nobody: each move draws one frame. All text leaves as textContent.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 40, right: 12, top: 10, bottom: 26 };
const PLAY_MILLISECONDS = 140; // from one moment to the next
const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function drawn(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function visible(token) {
  return Array.from(token, (letter) => MARKS[letter] ?? letter).join("");
}

function percent(p) {
  return p >= 0.001 || p === 0 ? `${(100 * p).toFixed(1)}%` : `${(100 * p).toPrecision(2)}%`;
}

// Round numbers between 0 and a highest one, about so many.
function ticks(highest, about) {
  const rough = highest / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  return Array.from({ length: Math.floor(highest / step + 1e-9) + 1 }, (_, place) => place * step);
}

// The chart: everything but the cursor is drawn once for a width.
class Curves {
  constructor(figure) {
    this.figure = figure;
    this.svg = drawn("svg", { role: "img" });
    figure.replaceChildren(this.svg);
  }

  show(data) {
    this.data = data;
    this.at = undefined; // a moment of the run before, which this one may not have
    const losses = data.moments.flatMap(({ train, validation }) => [train, validation]);
    this.last = Math.max(1, ...data.moments.map(({ step }) => step));
    this.highest = 1.05 * Math.max(...losses, ...data.lines.map(([, level]) => level));
    this.svg.setAttribute("aria-label", data.alt);
    this.draw();
  }

  x(step) {
    return MARGIN.left + (Math.max(0, step) / this.last) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(loss) {
    return MARGIN.top + (1 - loss / this.highest) * (this.height - MARGIN.top - MARGIN.bottom);
  }

  path(points) {
    return points.map(([step, loss], place) => `${place ? "L" : "M"}${this.x(step).toFixed(1)},${this.y(loss).toFixed(1)}`).join("");
  }

  draw() {
    this.width = this.figure.clientWidth;
    this.height = this.figure.clientHeight;
    if (!this.data || !this.width) return;
    const { moments, batches } = this.data;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    const known = (name) => moments.filter((each) => each[name] !== null).map((each) => [each.step, each[name]]);
    const train = known("train");
    const validation = known("validation");
    this.cursor = drawn("line", { class: "cursor", y1: MARGIN.top, y2: this.height - MARGIN.bottom });
    this.dots = ["train", "validation"].map((name) => drawn("circle", { class: `dot ${name}`, r: 5 }));
    this.svg.replaceChildren(
      ...this.axes(),
      ...this.levels(),
      drawn("path", { class: "gap", d: this.path([...train, ...validation.toReversed()]) }),
      drawn("path", { class: "batches", d: this.path(batches) }),
      drawn("path", { class: "train", d: this.path(train) }),
      drawn("path", { class: "validation", d: this.path(validation) }),
      ...this.names(),
      ...this.star(),
      this.cursor,
      ...this.dots,
    );
    if (this.at !== undefined) this.move(this.at);
  }

  axes() {
    const bottom = this.height - MARGIN.bottom;
    const upright = ticks(this.highest, 5).map((loss) => [
      drawn("line", { class: "grid", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: this.y(loss), y2: this.y(loss) }),
      drawn("text", { x: MARGIN.left - 6, y: this.y(loss) + 4, "text-anchor": "end" }, String(loss)),
    ]);
    const clear = this.width - MARGIN.right - 45; // of the title
    const places = ticks(this.last, this.width / 60).filter((step) => this.x(step) < clear);
    const across = places.map((step) =>
      drawn("text", { x: this.x(step), y: bottom + 17, "text-anchor": "middle" }, step.toLocaleString("en")),
    );
    const title = { x: -(MARGIN.top + bottom) / 2, y: 11, transform: "rotate(-90)", "text-anchor": "middle" };
    const step = drawn("text", { x: this.width - MARGIN.right, y: bottom + 17, "text-anchor": "end" }, "step");
    return [...upright.flat(), ...across, drawn("text", title, "loss (nats a token)"), step];
  }

  levels() {
    const across = { class: "level", x1: MARGIN.left, x2: this.width - MARGIN.right };
    return this.data.lines.map(([, level]) => drawn("line", { ...across, y1: this.y(level), y2: this.y(level) }));
  }

  // The names of the levels, above the curves; one that would lie on another gives way downwards.
  names() {
    let above = -Infinity;
    return this.data.lines.map(([name, level]) => {
      const y = this.y(level);
      above = y - 4 < above + 13 ? y + 12 : y - 4;
      const place = { class: "level", x: this.width - MARGIN.right, y: above, "text-anchor": "end" };
      return drawn("text", place, `${name} ${level.toFixed(2)}`);
    });
  }

  star() {
    if (this.data.best === null) return [];
    const best = this.data.moments[this.data.best];
    const place = { class: "best", x: this.x(best.step), y: this.y(best.validation) + 6, "text-anchor": "middle" };
    return [drawn("text", place, "★")];
  }

  move(at) {
    this.at = at;
    if (!this.cursor) return;
    const moment = this.data.moments[at];
    const x = this.x(moment.step);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    for (const [dot, loss] of [[this.dots[0], moment.train], [this.dots[1], moment.validation]]) {
      dot.style.display = loss === null ? "none" : "";
      if (loss === null) continue;
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", this.y(loss));
    }
  }

  // The moment whose step lies nearest to a place on the screen.
  nearest(clientX) {
    const { left, width } = this.svg.getBoundingClientRect();
    const inside = this.width - MARGIN.left - MARGIN.right;
    const step = (((clientX - left) * (this.width / width) - MARGIN.left) / inside) * this.last;
    const away = this.data.moments.map((moment) => Math.abs(moment.step - step));
    return away.indexOf(Math.min(...away));
  }
}

// A passage: its tokens coloured by what each cost, and bars for what was expected at its end.
class Passage {
  constructor({ label, tokens }, bars) {
    this.root = element("section", "passage");
    this.title = element("h4", "", label);
    this.mean = element("span", "mean");
    this.title.append(this.mean);
    const text = element("p", "tokens");
    this.chips = tokens.map((token) => element("span", "token", token));
    this.chips.at(-1).classList.add("asked");
    text.append(...this.chips);
    this.expected = element("p", "expected");
    this.bars = element("ol", "bars");
    this.rows = Array.from({ length: bars }, () => {
      const row = element("li");
      const parts = ["name", "bar", "share"].map((part) => element("span", part));
      row.append(...parts);
      this.bars.append(row);
      return [row, ...parts];
    });
    this.next = tokens.at(-1);
    this.root.append(this.title, text, this.expected, this.bars);
  }

  show(losses, following, dearest) {
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    this.mean.textContent = ` ${mean.toFixed(2)} nats a token`;
    losses.forEach((loss, place) => {
      const chip = this.chips[place + 1];
      chip.style.setProperty("--cost", `${Math.round(75 * Math.min(1, loss / dearest))}%`);
      chip.title = `${loss.toFixed(2)} nats: probability ${percent(Math.exp(-loss))}`;
    });
    const chance = percent(Math.exp(-losses.at(-1)));
    this.expected.textContent = `What it expects at the end; the text has ${visible(this.next)}, which gets ${chance}:`;
    this.rows.forEach(([row, name, bar, share], place) => {
      const [token, p] = following[place] ?? [null, 0];
      row.hidden = token === null;
      if (token === null) return;
      row.className = token === this.next ? "came" : "";
      name.textContent = visible(token);
      bar.style.setProperty("--p", p);
      share.textContent = percent(p);
    });
  }
}

class TimeMachine {
  constructor(root) {
    const find = (name) => root.querySelector(`.${name}`);
    this.root = root;
    this.curves = new Curves(find("curves"));
    this.scrubber = find("scrubber");
    this.play = find("play");
    this.parts = Object.fromEntries(["now", "phase", "asked", "said", "copied", "stop", "passages"].map((name) => [name, find(name)]));
    this.scrubber.addEventListener("input", () => this.go(Number(this.scrubber.value)));
    this.play.addEventListener("click", () => (this.timer ? this.pause() : this.start()));
    this.toBest = find("to-best");
    this.toBest.addEventListener("click", () => this.go(this.data.best));
    const drag = (event) => event.buttons && this.go(this.curves.nearest(event.clientX));
    for (const kind of ["pointerdown", "pointermove"]) this.curves.figure.addEventListener(kind, drag);
    this.watcher = new ResizeObserver(() => this.curves.draw());
    this.watcher.observe(this.curves.figure);
  }

  show(data) {
    if (this.data?.run === data.run) return; // drawn again for another reason: the reader's place stays
    this.pause();
    this.data = data;
    this.root.setAttribute("aria-label", data.alt);
    this.scrubber.max = data.moments.length - 1;
    this.passages = data.passages.map((passage) => new Passage(passage, data.bars));
    this.parts.passages.replaceChildren(...this.passages.map(({ root }) => root));
    this.toBest.hidden = data.best === null;
    this.curves.show(data);
    this.go(data.start);
  }

  // Stands at a moment from now on; it is drawn with the next frame, however often the hand moves until then.
  go(at) {
    this.at = at;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  draw() {
    const moment = this.data.moments[this.at];
    this.scrubber.value = this.at;
    this.scrubber.setAttribute("aria-valuetext", `${moment.when}: ${moment.losses_said}; ${moment.phase}`);
    this.curves.move(this.at);
    const { now, phase, asked, said, copied, stop, passages } = this.parts;
    now.textContent = `${moment.when} · ${moment.losses_said}`;
    phase.textContent = moment.phase;
    asked.textContent = moment.asked;
    said.replaceChildren(...moment.pieces.map(piece));
    copied.textContent = moment.copied;
    copied.classList.toggle("some", moment.has_copied);
    stop.textContent = moment.stop;
    passages.classList.toggle("unknown", !moment.costs.length); // keeps its room: nothing below jumps
    this.passages.forEach((passage, place) => {
      if (moment.costs.length) passage.show(moment.costs[place], moment.following[place], this.data.dearest);
    });
  }

  start() {
    if (this.at === this.data.moments.length - 1) this.go(0);
    this.play.textContent = "❚❚";
    this.play.setAttribute("aria-label", "Pause");
    this.timer = setInterval(() => {
      if (this.at + 1 >= this.data.moments.length) this.pause();
      else this.go(this.at + 1);
    }, PLAY_MILLISECONDS);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = undefined;
    this.play.textContent = "▶";
    this.play.setAttribute("aria-label", "Play");
  }

  end() {
    this.pause();
    this.watcher.disconnect();
  }
}

function piece([text, kind, title]) {
  const made = element("span", kind, text);
  if (title) made.title = title;
  return made;
}

const machines = new WeakMap();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".time-machine");
  if (!machines.has(root)) machines.set(root, new TimeMachine(root));
  machines.get(root).show(JSON.parse(new TextDecoder().decode(data)));
  return () => {
    machines.get(root)?.end();
    machines.delete(root);
  };
}
