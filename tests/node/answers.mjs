// Reads cases from standard input and answers each as the playground would: node tests/node/answers.mjs < cases.json
// A score of null stands for minus infinity, which JSON lacks.

import { readFileSync } from "node:fs";

import * as maths from "../../assets/components/sampling_maths.mjs";

function byId(places, values) {
  const ordered = Array(places.length).fill(0);
  places.forEach((id, place) => (ordered[id] = values[place]));
  return ordered;
}

function answer({ logits, rules, seed, draws, skip }) {
  const ranked = maths.rank(Float32Array.from(logits, (score) => score ?? -Infinity));
  const room = maths.makeRoom(logits.length);
  const choice = maths.choose(ranked, rules, room);
  const counts = maths.fall(choice.probability, maths.numbersToDraw(seed, draws, skip), room.counts);
  return {
    probability: byId(ranked.order, choice.probability),
    softmax: byId(ranked.order, choice.softmax),
    counts: byId(ranked.order, counts),
    kept: choice.kept,
    mass: choice.mass,
    entropy: choice.entropy,
    other_order: maths.keptInOtherOrder(ranked, rules, new Float64Array(logits.length)),
  };
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(answer)));
