"""Results that are kept: one Parquet file a cell of a sweep, and what they say together.

columns.py     the table of columns
store.py       a folder of records: written whole or not at all, and read with DuckDB
of_result.py   the record of a comparison
history.py     what changed between runs, since when, and which build did it
"""
