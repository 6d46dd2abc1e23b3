"""Training runs as folders.

``store`` says what a run is on disk, ``worker`` is the child that trains, ``queue`` decides who runs when.

The folder of a run is the only truth. Whoever watches reads it; nobody has to be there for a run to go on.
"""
