"""Sentences from lectures, posts and notebooks on small GPTs that do not hold; each is answered by a live number.

How to read it: ``SLIPS`` is what was said, by a short name, in our words where the source rambles. What is true stands
nowhere here: a lesson's question works it out (``pages/_ui/quiz.py``), and a test holds that none is left unanswered.

What is left out: who said it. Everybody slips.
"""

from __future__ import annotations

SLIPS: dict[str, str] = {
    "projection": "The attention output projection has 59 M parameters.",
    "tokens seen": "After 10 epochs the model has seen 10,000 tokens. (Elsewhere: 50,000.)",
    "whole loader": "The evaluation goes through the whole loader.",
    "perplexity": "A perplexity of 48,725 means choosing among 47,678 tokens.",
    "softmax": "The softmax layer has 38.4 M parameters.",
    "million": "The model has 1,622,208 million parameters.",
    "clipping": "Weight clipping helps.",
    "parting": "The curves part at epoch 2, so training further is useless.",
    "temperature": "Temperature and top-k stop over-fitting.",
    "zero": "The loss goes to zero when a model is trained well.",
    "iterations": "We train for 10,000 iterations at most: here is the curve at 20,000.",
}
