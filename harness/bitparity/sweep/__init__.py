"""Many comparisons as one job: a matrix of cells, run on the workers of a Dask cluster, a record of each.

matrix.py    a TOML file -> the cells
cell.py      one cell: its axes, and what is run in it
task.py      a cell is run in a process of its own, within its time, and tried again when it fails
cluster.py   a Dask cluster, of this machine or of many
run.py       a run of the matrix, which goes on where it was interrupted
"""
