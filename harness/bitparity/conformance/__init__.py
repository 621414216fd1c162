"""The session contract as a conformance test, for any engine: what `bitparity check-engine` runs.

check.py     what a check is, its outcome, and the table of all of them
subject.py   the engine under test with one model: sessions, its noise, and a diary of its calls
calls.py     checks of single calls: shapes, repeats, causality, two sessions at once
ways.py      checks of the ways to a position: decode, chunks, threads, rollback
refusals.py  checks of what has to be refused
optional.py  checks of what an engine may have besides: a tokenizer, a tap
run.py       all of them, one after the other
"""
