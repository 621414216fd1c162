"""Compare two engines on a text of any length, and say by how much they differ, each figure with its error.

text.py        a corpus in a file
windows.py     a corpus -> windows, of which every target is scored once
rows.py        what is kept of a position: a row in a file that an interrupted run goes on with
measure.py     both engines over the windows
estimate.py    means, ratios and percentiles with standard errors, blocks of text as the unit
figures.py     the table of figures
layers.py      the layers in which the engines part
noise.py       how far rounding alone moves the reference along the corpus
verdict.py     each position judged, as `compare` judges it
result.py      what was found, as data
run.py         a run from beginning to end
"""
