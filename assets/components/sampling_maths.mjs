// From scores to a token, as gptcore.sampling does it, in double precision: what the playground draws and node tests.
//
// The tokens are put in their order once, the likeliest first and of equals the lowest id. Temperature never changes that
// order, so top-k is a prefix of it and top-p another, and each frame runs through one array once or twice.

// The random numbers of torch.Generator().manual_seed(seed), as torch.rand makes them in double precision: a Mersenne
// Twister (Matsumoto and Nishimura 1998), 53 bits of each pair of its words.
export function* randomNumbers(seed) {
  const state = new Uint32Array(624);
  state[0] = seed % 2 ** 32;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let next = 624;
  const word = () => {
    if (next === 624) {
      for (let i = 0; i < 624; i++) {
        const bits = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
      }
      next = 0;
    }
    let bits = state[next++];
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  };
  for (;;) {
    const high = word() & 0x1fffff;
    yield (high * 2 ** 32 + word()) / 2 ** 53;
  }
}

// The ids of logits (Float32Array), the largest first; of equals the lowest id.
//
// One number holds both, so that a typed array can sort them: the bits of a float, turned so that they count downwards,
// and below them the id.
export function likeliestFirst(logits) {
  const bits = new Uint32Array(new Float32Array(logits).buffer);
  const keys = new Float64Array(logits.length);
  const places = 2 ** 20; // more than any vocabulary holds
  for (let id = 0; id < logits.length; id++) {
    const zero = logits[id] === 0; // +0 and -0 are equals
    const downwards = zero ? 0x7fffffff : bits[id] & 0x80000000 ? bits[id] : ~bits[id] & 0x7fffffff;
    keys[id] = (downwards >>> 0) * places + id;
  }
  keys.sort();
  const order = new Int32Array(logits.length);
  for (let place = 0; place < order.length; place++) order[place] = keys[place] % places;
  return order;
}

// What stays the same while the rules change: the order, the sorted scores, and how many can be drawn at all.
export function rank(logits) {
  const order = likeliestFirst(logits);
  const sorted = new Float64Array(order.length);
  for (let place = 0; place < order.length; place++) sorted[place] = logits[order[place]];
  let usable = sorted.length;
  while (usable && sorted[usable - 1] === -Infinity) usable--;
  if (!usable || sorted[0] === Infinity || Number.isNaN(total(sorted, usable))) throw new RangeError("nothing to choose");
  return { order, sorted, usable };
}

// Arrays that every frame writes anew: two stages of a choice, and how often each token was drawn.
export function makeRoom(size) {
  return { softmax: new Float64Array(size), probability: new Float64Array(size), counts: new Int32Array(size) };
}

// e^((score - largest) / T) of the first `count` tokens, and their sum. The largest is taken off first, so that a tiny T
// can't overflow.
function weigh({ sorted }, count, temperature, weights) {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += weights[i] = Math.exp((sorted[i] - sorted[0]) / temperature);
  return sum;
}

export function total(weights, count) {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += weights[i];
  return sum;
}

function divide(weights, count, sum) {
  for (let i = 0; i < count; i++) weights[i] /= sum;
  weights.fill(0, count);
}

// How many of the first `count` tokens top-p keeps: the fewest that together reach p.
function nucleus(probability, count, p) {
  if (p === null || p >= 1) return count;
  let reached = 0;
  for (let i = 0; i < count; i++) {
    reached += probability[i];
    if (i && reached - probability[i] >= p) return i;
  }
  return count;
}

// Scores that differ can give equal probabilities, where the last digit ends. A nucleus that ends among them keeps their
// lowest ids, as in Python; else it is simply the first `kept` tokens, and there is nothing to take out.
function cutAmongEquals({ order, sorted }, probability, kept, count) {
  if (kept === count || probability[kept] !== probability[kept - 1]) return null;
  let [from, to] = [kept - 1, kept];
  while (from && probability[from - 1] === probability[kept]) from--;
  while (to < count && probability[to] === probability[kept]) to++;
  if (sorted[from] === sorted[to - 1]) return null; // they stand in the order of their ids already
  const equals = Array.from({ length: to - from }, (_, i) => from + i).sort((a, b) => order[a] - order[b]);
  return { from, to, stay: new Set(equals.slice(0, kept - from)) };
}

// Every stage of one choice. Arrays are in the order of `ranked`, the likeliest first, and lie in `room`.
//
// rules: { temperature, topK, topP, topPFirst }, null for no cut.
//
// Returns: count (what top-k leaves), kept (how many may be drawn), softmax (what top-p looks at), probability (0 where
// cut), mass (the share of probability, before any cut, that is kept), entropy (nats).
export function choose(ranked, rules, room) {
  const { softmax, probability } = room;
  const { temperature, topK, topP, topPFirst } = rules;
  if (temperature === 0) {
    for (const stage of [softmax, probability]) stage.fill(0)[0] = 1;
    return { count: 1, kept: 1, softmax, probability, mass: 1, entropy: 0 };
  }
  const count = Math.min(topK ?? ranked.usable, ranked.usable);
  const everything = weigh(ranked, ranked.usable, temperature, probability);
  const looked = topP === null ? probability : softmax; // without top-p nobody cuts between the two
  let [kept, end] = [count, count];
  if (topP !== null) {
    if (topPFirst) weigh(ranked, count, 1, softmax);
    else softmax.set(probability);
    divide(softmax, count, total(softmax, count));
    kept = end = nucleus(softmax, count, topP);
    const cut = cutAmongEquals(ranked, softmax, kept, count);
    if (cut) end = cut.to;
    for (let i = cut?.from; i < cut?.to; i++) if (!cut.stay.has(i)) probability[i] = 0;
  }
  const sum = total(probability, end);
  const entropy = Math.log(sum) - heat(ranked, end, temperature, probability) / sum;
  divide(probability, end, sum);
  return { count, kept, softmax: looked, probability, mass: sum / everything, entropy };
}

// The sum of weight x (score - largest) / T: what the entropy needs beside the sum of the weights.
function heat({ sorted }, count, temperature, weights) {
  let sum = 0;
  for (let i = 0; i < count; i++) if (weights[i]) sum += weights[i] * (sorted[i] - sorted[0]);
  return sum / temperature;
}

// How many tokens may be drawn when top-p and temperature change places. `weights` is room for V numbers.
export function keptInOtherOrder(ranked, rules, weights) {
  if (rules.temperature === 0) return 1;
  const count = Math.min(rules.topK ?? ranked.usable, ranked.usable);
  if (rules.topP === null) return count;
  const sum = weigh(ranked, count, rules.topPFirst ? rules.temperature : 1, weights);
  divide(weights, count, sum);
  return nucleus(weights, count, rules.topP);
}

// Where random numbers fall: the tokens lie end to end, the likeliest first, each as long as it is probable.
//
// numbers: in [0, 1), ascending. Returns how often each place was hit, in `counts`.
export function fall(probability, numbers, counts) {
  counts.fill(0);
  let last = probability.length - 1;
  while (probability[last] === 0) last--;
  let place = 0;
  let reached = probability[0];
  for (const number of numbers) {
    while (reached <= number && place < last) reached += probability[++place];
    counts[place]++;
  }
  return counts;
}

// The random numbers of so many draws of one token, after `skip` others were used up by the tokens before it; ascending,
// because it does not matter in which order they fall.
export function numbersToDraw(seed, count, skip) {
  const numbers = randomNumbers(seed);
  for (let i = 0; i < skip; i++) numbers.next();
  return Float64Array.from({ length: count }, () => numbers.next().value).sort();
}
