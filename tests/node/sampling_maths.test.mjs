// The playground's sums by hand. Run by tests/parity/test_playground.py, or alone: node --test tests/node
// That they are Python's sums is held by the same test, on random cases.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  choose,
  fall,
  keptInOtherOrder,
  likeliestFirst,
  makeRoom,
  numbersToDraw,
  randomNumbers,
  rank,
} from "../../assets/components/sampling_maths.mjs";

const NINE = [4.51, 0.89, -1.9, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79]; // Raschka, section 5.3
const PLAIN = { temperature: 1, topK: null, topP: null, topPFirst: false };

function chosen(logits, rules) {
  const ranked = rank(Float32Array.from(logits));
  return { ...choose(ranked, { ...PLAIN, ...rules }, makeRoom(logits.length)), order: [...ranked.order] };
}

function near(actual, expected, tolerance = 5e-4) {
  assert.ok(Math.abs(actual - expected) < tolerance, `${actual} is not ${expected}`);
}

test("the largest come first, and of equals the lowest ids", () => {
  assert.deepEqual([...likeliestFirst(Float32Array.of(1, 3, -2, 3, -0, 0, -Infinity, -2))], [1, 3, 0, 4, 5, 2, 7, 6]);
});

test("the probabilities of the nine words", () => {
  const { probability, order } = chosen(NINE, {});
  assert.deepEqual(order.slice(0, 3), [3, 7, 0]);
  for (const [place, p] of [0.572, 0.358, 0.061].entries()) near(probability[place], p);
  near(probability.reduce((sum, p) => sum + p), 1, 1e-12);
});

test("pizza at temperature 5 has 4.3 percent", () => {
  const { probability, order } = chosen(NINE, { temperature: 5 });
  near(probability[order.indexOf(6)], 0.043);
});

test("top-k keeps exactly k when all logits tie", () => {
  const { kept, probability, order } = chosen(Array(20).fill(0), { topK: 7 });
  assert.equal(kept, 7);
  assert.deepEqual(order.slice(0, 7), [0, 1, 2, 3, 4, 5, 6]);
  near(probability[6], 1 / 7, 1e-12);
  assert.equal(probability[7], 0);
});

test("temperature 0 takes the first of equals, a tiny one shares", () => {
  assert.deepEqual([...chosen([1, 3, 3, 2], { temperature: 0, topK: 3, topP: 0.9 }).probability], [1, 0, 0, 0]);
  assert.deepEqual([...chosen([1, 3, 3, 2], { temperature: 1e-320 }).probability], [0.5, 0.5, 0, 0]);
});

test("top-p looks at what top-k left, and at the temperature or not", () => {
  assert.equal(chosen([0.3, 0.3, 0.2, 0.2].map(Math.log), { topK: 2, topP: 0.45 }).kept, 1);
  const hot = { ...PLAIN, temperature: 5, topP: 0.9 };
  assert.equal(chosen(NINE, hot).kept, 7);
  assert.equal(chosen(NINE, { ...hot, topPFirst: true }).kept, 2);
  const ranked = rank(Float32Array.from(NINE));
  assert.equal(keptInOtherOrder(ranked, hot, new Float64Array(9)), 2);
  assert.equal(keptInOtherOrder(ranked, { ...hot, topPFirst: true }, new Float64Array(9)), 7);
});

test("what can never be drawn is not, and nothing to draw from is an error", () => {
  const { kept, probability } = chosen([-Infinity, 1, -Infinity, 0], { topK: 3 });
  assert.equal(kept, 2);
  assert.deepEqual([...probability].slice(2), [0, 0]);
  for (const logits of [[-Infinity], [NaN, 1], [Infinity, 1]]) assert.throws(() => rank(Float32Array.from(logits)), RangeError);
});

test("the mass is measured before the cuts, the entropy after them", () => {
  const { mass, entropy } = chosen([0, 0, 0, 0], { topK: 2 });
  near(mass, 0.5, 1e-12);
  near(entropy, Math.LN2, 1e-12);
});

test("numbers fall on tokens as long as they are probable, the last one included", () => {
  const probability = Float64Array.of(0.5, 0.3, 0.2, 0);
  assert.deepEqual([...fall(probability, [0, 0.49, 0.5, 0.79, 0.81, 1 - 2 ** -53], new Int32Array(4))], [2, 2, 2, 0]);
});

test("the random numbers are those of torch.rand with seed 123", () => {
  const numbers = randomNumbers(123);
  const torch = [0.368895870664273, 0.013365949855291825, 0.5917800383018739, 0.09263931233897627, 0.472451921042887];
  for (const number of torch) assert.equal(numbers.next().value, number);
  assert.deepEqual([...numbersToDraw(123, 2, 3)], torch.slice(3));
});
