"""A GPT in the open: from raw text to a trained model that talks, in plain PyTorch.

How to read it: ``config`` -> ``tokenizer`` -> ``windows`` -> ``model`` -> ``loss`` -> ``training`` -> ``sampling``.
Each module says in its head what it does, how to read it and what it leaves out. Nothing here knows
that a web page exists: everything works from Python and from ``python -m gptcore``.
"""
