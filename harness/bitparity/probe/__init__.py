"""An engine read from outside: models that we write, and nothing of the engine's but its logits.

A GGUF file is ours to write, so parts of a model can be silenced until what is left decides one question.

parts.py    models of which one branch of one block is left
chart.py    small models on which every alternative shows, like the letters of an eye chart
reading.py  what an engine computes in one part, by its logits
sheet.py    all parts put together: the engine's arithmetic and its mistakes, with what proves them
run.py      an engine run on all of it
"""
