"""Charts: numbers and frames in, ``go.Figure`` out. They know no page and no model; colours are named by meaning."""
