"""What a student takes home: a run in one file, and its code in notebooks that need this program no more.

How to read it: ``source`` cuts functions out of gptcore's own files, so that no line is copied by hand, and ``extract``
follows what they need; ``standalone`` and ``checks`` are the little that a notebook needs on top; ``cells`` are
notebooks and scripts as files; ``reproduce`` trains a run again, ``exercise`` leaves gaps to fill; ``archive`` packs
all of it, and ``command`` is the command line's part.

What is left out: charts and their numbers, which are in ``figures``.
"""
