"""transformers: Hugging Face's implementation of the models, in PyTorch.

engine.py         the engine: whether it is there, what it runs; imports neither package
classes.py        which class of transformers an architecture is, and which of its modules have which weights
configuration.py  hyperparameters as a configuration of such a class
arithmetic.py     what such an object computes in
state.py          weights of a GGUF file under the names that the class has for them
build.py          the model object, made of those
attention.py      the attention function that is run, with an onlooker
tokens.py         the tokenizer of a checkpoint
session.py        a sequence in it; runs in a worker process
taps.py           where the values of stages are seen, and the hooks that see them
devices.py        CUDA devices
"""
