// A text beside its tokens: what is typed goes to the server, what comes back is a row of chips and a row of ids.
// The box belongs to the one who types: an answer never writes into it, unless a text was taken by a click (`taken`).
// Everything a student typed leaves as textContent: nothing of it is ever read as HTML.

const PAUSE_MILLISECONDS = 70; // between two texts that go to the server
const PATIENCE_MILLISECONDS = 3_000; // with an answer, before the next text goes out all the same
const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };
const SPOKEN = { " ": "space ", "\n": "line end ", "\t": "tab ", "\r": "carriage return " };

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function button(className, text) {
  const made = element("button", className, text);
  made.type = "button";
  return made;
}

function letters(text, signs) {
  return Array.from(text, (letter) => signs[letter] ?? letter).join("");
}

class TokenView {
  constructor(root) {
    const find = (name) => root.querySelector(name);
    this.root = root;
    this.box = find("textarea");
    this.length = find(".length");
    this.rows = { chips: find(".chips"), ids: find(".ids") };
    this.pager = { all: find(".pager"), back: find(".back"), where: find(".where"), on: find(".on") };
    this.facts = { all: find(".facts"), title: find("h4"), list: find("dl"), close: find(".close") };
    this.lit = []; // what is lit in both rows
    this.since = 0; // when the last text went out
    this.count = 0; // of the texts that went to the server
    this.listen();
  }

  listen() {
    this.box.addEventListener("input", () => {
      this.countLetters();
      this.schedule();
    });
    this.box.addEventListener("blur", () => this.send(true)); // before whatever was clicked
    for (const row of Object.values(this.rows)) {
      row.addEventListener("pointerover", ({ target }) => this.light(target));
      row.addEventListener("pointerleave", () => this.light(null));
      row.addEventListener("focusin", ({ target }) => this.light(target));
      row.addEventListener("focusout", () => this.light(null));
      row.addEventListener("keydown", (event) => this.walk(event, row));
      row.addEventListener("click", ({ target }) => this.ask(target));
    }
    this.pager.back.addEventListener("click", () => this.tell("page", this.data.page - 1));
    this.pager.on.addEventListener("click", () => this.tell("page", this.data.page + 1));
    this.facts.close.addEventListener("click", () => this.close());
    this.root.addEventListener("keydown", ({ key }) => key === "Escape" && this.data.asked !== null && this.close());
  }

  // ------------------------------------------------------------------------------------------------ to the server

  // A key after a pause goes out at once, those that follow quickly together.
  schedule() {
    clearTimeout(this.timer);
    const rest = PAUSE_MILLISECONDS - (performance.now() - this.since);
    if (rest <= 0 && !this.waiting) this.send();
    else this.timer = setTimeout(() => this.send(), Math.max(rest, 20));
  }

  // One text at a time is on its way: a slow server is asked less often, and the last text always goes out.
  send(atOnce = false) {
    clearTimeout(this.timer);
    if (this.box.value === this.sent || this.tooLong) return;
    if (!atOnce && this.waiting && performance.now() - this.since < PATIENCE_MILLISECONDS) {
      this.schedule();
      return;
    }
    this.sent = this.box.value;
    this.since = performance.now();
    this.wait(true);
    this.tell("typed", { text: this.sent.toWellFormed(), taken: this.data.taken, count: (this.count += 1) });
  }

  wait(waiting) {
    this.waiting = waiting;
    this.root.classList.toggle("waiting", waiting);
    this.root.setAttribute("aria-busy", waiting);
  }

  close() {
    this.tell("asked", null);
    this.rows.chips.querySelector("[tabindex='0']")?.focus();
  }

  ask(target) {
    const [place, part] = this.placeOf(target);
    if (place === null) return;
    const ids = this.data.pieces[place][1];
    this.tell("asked", ids[part ?? 0]);
  }

  // ---------------------------------------------------------------------------------------------- from the server

  show(data, tell) {
    const taken = data.taken !== this.data?.taken;
    this.data = data;
    this.tell = tell;
    this.root.classList.toggle("read", !data.editable);
    if (taken) this.take(data.text);
    if (data.heard >= this.count) this.wait(false);
    if (this.box.value !== this.sent) this.schedule();
    this.rows.chips.setAttribute("aria-label", `${data.label}; arrow keys move, Enter tells more`);
    this.rows.ids.setAttribute("aria-label", `ids of ${data.label}; arrow keys move, Enter tells more`);
    const drawn = JSON.stringify([data.pieces, data.view, data.marks, data.first]);
    if (drawn !== this.drawn) this.draw();
    this.drawn = drawn;
    this.same();
    this.page();
    this.tellFacts();
  }

  // A text that was chosen by a click takes the place of what stands in the box.
  take(text) {
    clearTimeout(this.timer);
    this.box.value = text;
    this.sent = text;
    this.countLetters();
  }

  // A text that is too long stays in the box whole, and it is said: a box that cuts would do so without a word.
  countLetters() {
    const count = Array.from(this.box.value).length;
    this.tooLong = count > this.data.most;
    const both = `${count.toLocaleString("en")} of ${this.data.most.toLocaleString("en")} characters`;
    this.length.textContent = this.tooLong ? `${both}: too long to be cut here. Bring it as a file, below.` : both;
    this.length.classList.toggle("over", this.tooLong);
    this.length.ariaLive = this.tooLong ? "assertive" : "off";
  }

  draw() {
    const { pieces, view, marks, colours, first, special } = this.data;
    let position = first;
    this.lit = [];
    const chips = [];
    this.ids = []; // those of each chip
    pieces.forEach(([text, tokens, bytes], place) => {
      const colour = colours[position % colours.length];
      const name = `${letters(text, SPOKEN)}: token ${tokens.join(", ")}`;
      const chip = button("chip", "");
      if (view === "bytes") chip.append(...bytes.map((each) => element("span", "part", each)));
      else chip.textContent = marks ? letters(text, MARKS) : text;
      if (tokens[0] === special) chip.classList.add("special");
      this.ids.push(tokens.map((token, part) => this.id(token, part, place, name, colour)));
      chip.dataset.place = place;
      chip.title = `token ${tokens.join(", ")}`;
      chip.setAttribute("aria-label", name);
      chip.style.setProperty("--chip", colour);
      chips.push(chip);
      position += tokens.length;
    });
    this.chips = chips;
    this.order = { chips, ids: this.ids.flat() };
    for (const made of Object.values(this.order)) made.forEach((each, place) => (each.tabIndex = place ? -1 : 0));
    const ends = (chip, place) => (pieces[place][0].endsWith("\n") && view === "text" ? [chip, element("br")] : [chip]);
    this.rows.chips.replaceChildren(...chips.flatMap(ends));
    this.rows.ids.replaceChildren(...this.order.ids);
  }

  id(token, part, place, name, colour) {
    const made = button("id", String(token));
    Object.assign(made.dataset, { part, place });
    made.setAttribute("aria-label", name);
    made.style.setProperty("--chip", colour);
    return made;
  }

  // The chips that hold the token which is asked for.
  same() {
    this.chips.forEach((chip, place) => chip.classList.toggle("same", this.data.pieces[place][1].includes(this.data.asked)));
  }

  page() {
    const { page, pages, first, tokens, count } = this.data;
    this.pager.all.hidden = pages < 2;
    this.pager.back.disabled = page === 0;
    this.pager.on.disabled = page === pages - 1;
    const [from, to, all] = [first + 1, first + tokens, count].map((number) => number.toLocaleString("en"));
    this.pager.where.textContent = `tokens ${from} to ${to} of ${all}`;
  }

  tellFacts() {
    const { token, rows } = this.data.facts ?? { token: "", rows: [] };
    const told = JSON.stringify(this.data.facts);
    if (told === this.told) return;
    this.told = told;
    this.facts.all.hidden = !this.data.facts;
    this.facts.title.textContent = `Token ${this.data.asked}: ${letters(token, MARKS)}`;
    this.facts.list.replaceChildren(...rows.flatMap(([name, text, tokens]) => this.fact(name, text, tokens)));
  }

  fact(name, text, tokens) {
    const said = element("dd", "", text);
    for (const [shown, id] of tokens) {
      const token = button("token", `${letters(shown, MARKS)} ${id}`);
      token.addEventListener("click", () => this.tell("asked", id));
      said.append(token);
    }
    return [element("dt", "", name), said];
  }

  // ---------------------------------------------------------------------------------------------------- both rows

  // A piece and the token within it that an element stands for; a chip of text stands for all of its tokens.
  placeOf(target) {
    const owner = target?.closest?.("[data-place]");
    if (!owner) return [null, null];
    if (owner.dataset.part !== undefined) return [Number(owner.dataset.place), Number(owner.dataset.part)];
    const part = target.classList.contains("part") ? Array.from(owner.children).indexOf(target) : null;
    return [Number(owner.dataset.place), part];
  }

  light(target) {
    for (const each of this.lit) each.classList.remove("lit", "faint");
    const [place, part] = this.placeOf(target);
    this.lit = [];
    if (place === null) return;
    const ids = this.ids[place].filter((_, each) => part === null || each === part);
    const others = part === null ? [] : Array.from(this.chips[place].children).filter((_, each) => each !== part);
    for (const each of [this.chips[place], ...ids]) each.classList.add("lit");
    for (const each of others) each.classList.add("faint");
    this.lit = [this.chips[place], ...ids, ...others];
    const other = target.closest(".row") === this.rows.chips ? ids[0] : this.chips[place];
    const row = other.parentElement; // scrolls by itself, without moving the page
    if (other.offsetTop < row.scrollTop + row.offsetTop) row.scrollTop = other.offsetTop - row.offsetTop;
    const below = other.offsetTop + other.offsetHeight - row.offsetTop - row.clientHeight;
    if (below > row.scrollTop) row.scrollTop = below;
  }

  walk(event, row) {
    const here = row.getRootNode().activeElement;
    const all = row === this.rows.chips ? this.order.chips : this.order.ids;
    const place = all.indexOf(here);
    const [piece, part] = this.placeOf(here);
    if (piece === null) return;
    const across = row === this.rows.chips ? this.ids[piece][part ?? 0] : this.chips[piece];
    const ends = { ArrowRight: all[place + 1], ArrowLeft: all[place - 1], Home: all[0], End: all.at(-1) };
    const next = { ...ends, ArrowDown: across, ArrowUp: across }[event.key];
    if (!next) return;
    event.preventDefault();
    next.parentElement.querySelector("[tabindex='0']").tabIndex = -1; // one stop of the Tab key a row
    next.tabIndex = 0;
    next.focus();
  }
}

const views = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".token-view");
  if (!views.has(root)) views.set(root, new TokenView(root));
  views.get(root).show(data, setStateValue);
  return () => {
    if (data.editable) views.get(root)?.send(true);
    views.delete(root);
  };
}
