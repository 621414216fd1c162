"""Text to token ids and back, from a GGUF's own vocabulary or from a tokenizer.json."""

from bitparity.tokenizer.tokenizer import Tokenizer

__all__ = ["Tokenizer"]
