// The playground: three sliders over the scores of one choice. The scores come once for a prompt; from then on every move
// draws one frame here and asks nobody. What was chosen is reported when the hand lets go. All text leaves as textContent.
//
// Read sampling_maths.mjs first: it stands before this file in one module.

const ROWS = 12;
const DRAWS = [1, 100, 1000, 10000];
const STAGES = ["logit", "top-k", "÷ T", "softmax", "top-p"];
const TOP_P_FIRST = ["logit", "top-k", "softmax", "top-p", "÷ T"];
const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽" };
const REST_MILLISECONDS = 200; // after the last move, before the page is told; at once where the hand goes elsewhere
const PATIENCE_MILLISECONDS = 3000; // for the next token's scores

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function visible(token) {
  return Array.from(token, (letter) => MARKS[letter] ?? letter).join("");
}

function percent(p) {
  return `${(100 * p).toFixed(p >= 0.001 || p === 0 ? 1 : 3)}%`;
}

// Made once: toLocaleString would look its format up anew each time, forty times a frame.
const GROUPED = [0, 1].map((digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));

function grouped(number, digits = 0) {
  return GROUPED[digits].format(number);
}

// Most texts stay the same from frame to frame, and a text written anew costs a layout.
function say(node, text) {
  if (node.said !== text) node.textContent = node.said = text;
}

function describe(node, name, text) {
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

// A round number above p, so that the bars' scale stands still while they move.
function scaleFor(p) {
  const power = 10 ** Math.floor(Math.log10(p));
  return Math.min(1, power * [1, 2, 5, 10].find((factor) => factor * power >= p));
}

// What Python sends: the length of a JSON head, the head, and the scores in the order of their ids.
function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  return { ...head, logits: new Float32Array(bytes.slice(4 + length).buffer) };
}

// One line of the table. Nothing is made anew while the rules change: texts and widths are.
class Row {
  constructor(take) {
    this.root = element(take ? "button" : "div", take ? "row" : "row rest");
    if (take) {
      this.root.type = "button";
      this.root.addEventListener("click", take);
    }
    this.name = element("span", "name");
    this.stages = STAGES.map((name) => element("span", `stage${name.startsWith("top") ? " cutter" : ""}`));
    this.bar = element("span", "bar");
    this.bars = Object.fromEntries(["theory", "would", "seen"].map((kind) => [kind, element("i", kind)]));
    this.bar.append(...Object.values(this.bars));
    this.share = element("span", "share");
    this.count = element("span", "count");
    this.root.append(this.name, ...this.stages, this.bar, this.share, this.count);
    this.item = element("li");
    this.item.append(this.root);
  }

  // p: the chance of being drawn. would: what it would be without any cut. stages: texts, in the order of the columns.
  show({ name, stages, cut, p, would, count, draws, scale }) {
    say(this.name, name);
    this.stages.forEach((stage, place) => say(stage, stages[place]));
    const widths = { theory: p, would: cut ? would : 0, seen: draws > 1 ? count / draws : 0 };
    for (const [kind, width] of Object.entries(widths)) {
      if (width) this.bars[kind].style.setProperty("--x", Math.min(1, width / scale));
      this.bars[kind].hidden = !width;
    }
    say(this.share, cut ? "cut" : percent(p));
    say(this.count, counted(count, draws, p));
    this.root.classList.toggle("cut", cut);
    this.root.classList.toggle("drawn", draws === 1 && count === 1);
  }
}

// A count over what theory expects, with the standard deviation of a count.
function counted(count, draws, p) {
  if (draws === 1) return count ? "drawn" : "";
  const expected = draws * p;
  if (!count && expected < 0.05) return "";
  const digits = expected < 10 ? 1 : 0;
  return `${grouped(count)} / ${grouped(expected, digits)} ± ${grouped(Math.sqrt(expected * (1 - p)), digits)}`;
}

function scored(score) {
  if (score === -Infinity) return "−∞";
  return (Math.abs(score) < 1000 ? score.toFixed(2) : score.toPrecision(3)).replace("-", "−");
}

class Playground {
  constructor(root) {
    this.root = root;
    this.parts = {};
    for (const part of root.querySelectorAll("[class]")) this.parts[part.className.replaceAll("-", "_")] = part;
    const { temperature, top_k, top_p, top_p_first, seed, take, draws, rows } = this.parts;
    const sliders = [temperature, top_k, top_p];
    for (const input of sliders) input.addEventListener("input", () => this.read());
    for (const input of [...sliders, top_p_first, seed]) input.addEventListener("change", () => this.read(true));
    root.addEventListener("focusout", () => this.tell()); // before whatever was clicked
    take.addEventListener("click", () => this.take(this.drawn));
    this.drawButtons = DRAWS.map((count) => {
      const button = element("button", "", grouped(count));
      button.type = "button";
      button.setAttribute("role", "radio");
      button.addEventListener("click", () => this.set({ draws: count }, true));
      return button;
    });
    draws.append(...this.drawButtons);
    this.rows = Array.from({ length: ROWS }, (_, place) => new Row(() => this.take(place)));
    this.rest = new Row();
    rows.replaceChildren(...[...this.rows, this.rest].map(({ item }) => item));
  }

  // New data mean other scores; the rules stay as the hand left them.
  show(bytes, setStateValue, setTriggerValue) {
    this.report = setStateValue;
    this.trigger = setTriggerValue;
    if (bytes === this.bytes) return;
    this.bytes = bytes;
    const data = unpack(bytes);
    if (data.run === this.data?.run) return;
    this.data = data;
    this.ranked = rank(data.logits);
    this.room = makeRoom(data.logits.length);
    this.other = new Float64Array(data.logits.length);
    this.wait(false);
    this.root.setAttribute("aria-label", data.alt);
    this.drawPath();
    this.set(this.rules ?? data.start);
  }

  // The rules as the controls stand.
  read(report = false) {
    const { temperature, top_k, top_p, top_p_first, seed } = this.parts;
    const fits = seed.value !== "" && seed.checkValidity();
    const changed = {
      temperature: Number(temperature.value),
      top_k: Number(top_k.value) || null,
      top_p: Number(top_p.value) < 1 ? Number(top_p.value) : null,
      top_p_first: top_p_first.checked,
      seed: fits ? Number(seed.value) : this.rules.seed,
    };
    this.set(changed, report);
  }

  // Rules hold from now on; they are drawn with the next frame, however often the hand moves until then.
  set(changed, report = false) {
    this.rules = { ...this.rules, ...changed };
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
    if (!report) return;
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tell(), REST_MILLISECONDS);
  }

  // Tells the page what it has not been told yet.
  tell() {
    if (!this.telling) return;
    clearTimeout(this.telling);
    this.telling = undefined;
    this.report("rules", this.rules);
  }

  draw() {
    const { temperature, top_k: topK, top_p: topP, top_p_first: topPFirst } = this.rules;
    const rules = { temperature, topK, topP, topPFirst };
    const choice = choose(this.ranked, rules, this.room);
    const counts = fall(choice.probability, this.numbers(), this.room.counts);
    this.stages = topPFirst && topP !== null && temperature > 0 ? TOP_P_FIRST : STAGES;
    this.drawControls();
    this.root.classList.toggle("many", this.rules.draws > 1);
    this.drawOrder();
    this.drawRows(choice, counts);
    this.drawSum(choice, topP === null ? choice.kept : keptInOtherOrder(this.ranked, rules, this.other));
    this.drawn = this.rules.draws === 1 ? counts.indexOf(1) : undefined;
    const { take } = this.parts;
    take.hidden = this.drawn === undefined || !this.data.can_take;
    say(take, `Take what is drawn: ${this.token(this.drawn)}`);
  }

  // The random numbers that fall, kept until seed, count or place in the text change.
  numbers() {
    const { seed, draws } = this.rules;
    const wanted = `${seed} ${draws} ${this.data.step}`;
    if (this.wanted !== wanted) this.drawnNumbers = numbersToDraw(seed, draws, this.data.step);
    this.wanted = wanted;
    return this.drawnNumbers;
  }

  // A token by its place among the likeliest; of those far down only the id is here.
  token(place) {
    if (place === undefined) return "";
    return place < this.data.names.length ? visible(this.data.names[place]) : `id ${grouped(this.ranked.order[place])}`;
  }

  drawControls() {
    const { temperature, top_k, top_p, top_p_first, seed, temperature_said, top_k_said, top_p_said } = this.parts;
    const { rules } = this;
    const says = [
      [temperature, temperature_said, rules.temperature, rules.temperature ? rules.temperature.toFixed(2) : "0, greedy"],
      [top_k, top_k_said, rules.top_k ?? 0, rules.top_k === null ? "no cut" : grouped(rules.top_k)],
      [top_p, top_p_said, rules.top_p ?? 1, rules.top_p === null ? "no cut" : rules.top_p.toFixed(2)],
    ];
    for (const [input, output, value, said] of says) {
      input.value = value;
      describe(input, "aria-valuetext", said);
      say(output, said);
    }
    top_p_first.checked = rules.top_p_first;
    if (this.root.getRootNode().activeElement !== seed) seed.value = rules.seed;
    this.drawButtons.forEach((button, place) => describe(button, "aria-checked", String(DRAWS[place] === rules.draws)));
  }

  drawRows(choice, counts) {
    const { probability, mass } = choice;
    const { temperature, draws } = this.rules;
    const { sorted, order } = this.ranked;
    const shown = Math.min(ROWS, sorted.length);
    const [among, hits] = [total(probability, shown), total(counts, shown)];
    const rest = sorted.length > shown ? Math.max(0, 1 - among) : 0;
    const scale = scaleFor(Math.max(rest, probability[0], draws > 1 ? counts[0] / draws : 0));
    this.drawHead(scale);
    this.rows.forEach((row, place) => {
      row.item.hidden = place >= shown;
      if (row.item.hidden) return;
      const p = probability[place];
      const cut = place >= choice.kept;
      // The likeliest token is never cut: what it has of the whole tells what the others would have of it.
      const would = temperature ? probability[0] * mass * Math.exp((sorted[place] - sorted[0]) / temperature) : 0;
      const said = this.said(choice, place, cut);
      const stages = this.stages.map((stage) => said[stage]);
      row.show({ name: this.token(place), stages, cut, p, would, count: counts[place], draws, scale });
      row.root.disabled = !this.data.can_take;
      describe(row.root, "title", `token id ${order[place]}`);
      describe(row.root, "aria-label", `${this.token(place)}: ${row.share.said} ${row.count.said}`);
    });
    const others = sorted.length - shown;
    this.rest.item.hidden = !others;
    const name = `${grouped(others)} others`;
    const stages = STAGES.map(() => "");
    this.rest.show({ name, stages, cut: choice.kept <= shown, p: rest, would: 0, count: draws - hits, draws, scale });
  }

  // What every stage makes of a token.
  said({ count, softmax }, place, cut) {
    const { temperature } = this.rules;
    const logit = this.ranked.sorted[place];
    const said = { logit: scored(logit), "top-k": "", "÷ T": "", softmax: "", "top-p": "" };
    if (temperature === 0) return { ...said, "÷ T": place ? "" : "largest" };
    const within = place < count;
    said["top-k"] = within ? "✓" : "cut";
    if (!within) return said;
    said.softmax = percent(softmax[place]);
    said["top-p"] = cut ? "cut" : "✓";
    if (this.stages === STAGES || !cut) said["÷ T"] = scored(logit / temperature);
    return said;
  }

  drawHead(scale) {
    const columns = ["token", ...this.stages, `0 to ${percent(scale)}`, "chance"];
    const drawn = this.rules.draws === 1 ? "drawn" : "drawn / expected ± sd";
    const text = [...columns, drawn].join("|");
    if (this.headSaid === text) return;
    this.headSaid = text;
    const kinds = ["name", ...this.stages.map((stage) => `stage${stage.startsWith("top") ? " cutter" : ""}`), "bar", "share", "count"];
    this.parts.head.replaceChildren(...text.split("|").map((column, place) => element("span", kinds[place], column)));
  }

  drawOrder() {
    const inOrder =
      this.rules.temperature === 0
        ? "Temperature 0: the largest logit is taken, nothing is divided"
        : `In this order: ${this.stages.join(" → ")} → draw`;
    say(this.parts.order_said, inOrder);
    this.parts.switch.hidden = this.rules.top_p === null || this.rules.temperature === 0;
  }

  drawSum({ probability, kept, mass, entropy }, other) {
    const { top_p: topP, temperature } = this.rules;
    const turned =
      topP === null || temperature === 0 ? "" : ` With temperature and top-p in the other order: ${grouped(other)} tokens.`;
    this.parts.sum.textContent =
      `${grouped(kept)} of ${grouped(probability.length)} tokens may be drawn; before the cuts they hold ` +
      `${percent(mass)} of the probability. Entropy ${entropy.toFixed(3)} nats: as wide as among ` +
      `${grouped(Math.exp(entropy), 1)} equally likely tokens. The chances sum to ${total(probability, kept).toFixed(6)}.${turned}`;
  }

  // The text so far: the prompt's end, and each token that was taken, the greener the likelier it was.
  drawPath() {
    const { given, path } = this.data;
    const chips = path.map(({ text, p }, place) => {
      const chip = element("button", "", visible(text));
      chip.type = "button";
      chip.style.setProperty("--p", p);
      chip.title = `taken with a chance of ${percent(p)}; go back to before it`;
      chip.setAttribute("aria-label", `Go back to before ${visible(text)}, taken with a chance of ${percent(p)}`);
      chip.addEventListener("click", () => this.ask("rewind", place));
      return chip;
    });
    this.parts.path.replaceChildren(element("span", "given", given), ...chips);
    this.parts.path.hidden = !path.length;
  }

  take(place) {
    this.ask("take", { token: this.ranked.order[place], rules: this.rules });
  }

  // Asks for the next scores, once: a second click before they are here would mean a token that is not on screen.
  ask(what, value) {
    if (this.waiting) return;
    this.wait(true);
    this.trigger(what, value);
  }

  wait(waiting) {
    clearTimeout(this.patience);
    this.waiting = waiting;
    this.root.classList.toggle("waiting", waiting);
    if (waiting) this.patience = setTimeout(() => this.wait(false), PATIENCE_MILLISECONDS);
  }

  end() {
    clearTimeout(this.telling);
    clearTimeout(this.patience);
    cancelAnimationFrame(this.frame);
  }
}

const playgrounds = new WeakMap();

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".playground");
  if (!playgrounds.has(root)) playgrounds.set(root, new Playground(root));
  playgrounds.get(root).show(data, setStateValue, setTriggerValue);
  return () => {
    playgrounds.get(root)?.end();
    playgrounds.delete(root);
  };
}
