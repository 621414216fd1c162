"""A divergence made as small as it gets: the shortest prompt, the fewest layers, one stage with its inputs.

shrink.py     a list made shorter as long as something still shows
layers.py     a model file with some of its layers
symptom.py    what has to show again in whatever is smaller
run.py        from a comparison that diverged to the smallest one that does
bundle.py     the folder that is left: model, script, and the stage with its inputs
"""
