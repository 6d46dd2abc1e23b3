"""Training runs as folders.

``store`` says what a run is on disk, ``requests`` is the way in, ``queue`` says whose turn it is,
``dispatcher`` acts on it, ``worker`` is the process that trains, and ``journal`` what that process writes down.

The folder of a run is the only truth. Whoever watches reads it; nobody has to be there for a run to go on.
"""
