"""Named pre-tokenizers of byte-level BPE vocabularies: how a text is cut into words before merging.

`tokenizer.ggml.pre` of a GGUF file names one.  Each pattern is applied in turn to the pieces that the ones
before it left; a match is a piece, and so is the text between matches.  A name that is not here is an error:
another pattern gives other ids, and a model that is fed other ids gives plausible nonsense.  A file without a
name is cut as the references cut it, since they are what is compared (model/checks says so).

Source of the names and patterns: llama.cpp src/llama-vocab.cpp, upstream of 2026 and the fork that bitnet.cpp
pins.  The two agree except on `falcon3`, which upstream cuts as `llama-bpe`; here it is cut as by bitnet.cpp,
which is what runs the ternary Falcon3 models.  Which of the two the model was trained on is not known here
(reference/UPSTREAM.md, "Text").
"""

from __future__ import annotations

from dataclasses import dataclass

from bitparity.errors import BadInput

_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_LINES_AND_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LETTERS_AND_MARKS = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_LINES_AND_SPACES}"
)
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_PUNCTUATION = r"[\p{P}\$\+<=>\^~\|`]+"


def _modern(digits: str) -> str:
    words = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+"
    return rf"{words}|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_LINES_AND_SPACES}"


@dataclass(frozen=True)
class PreTokenizer:
    """Patterns in the order of their use, and what the name implies when the metadata do not say it.

    ignore_merges  a word that is a token as a whole is not built from merges
    add_bos        BOS is prepended unless tokenizer.ggml.add_bos_token says otherwise
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False


_LLAMA3 = PreTokenizer((_modern(r"\p{N}{1,3}"),), ignore_merges=True, add_bos=True)
_SMAUG = PreTokenizer((_modern(r"\p{N}{1,3}"),))
_QWEN2 = PreTokenizer((_modern(r"\p{N}"),))
_QWEN35 = PreTokenizer((_LETTERS_AND_MARKS,))
_WORDS = PreTokenizer((_GPT2,))
_SINGLE_DIGITS = PreTokenizer((r"\p{N}", _GPT2))
_FALCON = PreTokenizer((_PUNCTUATION, _GPT2, r"[0-9][0-9][0-9]"))
_FALCON3 = PreTokenizer((_PUNCTUATION, _GPT2, r"[0-9]"))
_DEFAULT = PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"))

ONLY_IN_THE_FORK = frozenset(
    {"falcon_e"}
)  # names that bitnet.cpp's llama.cpp of 2025 has and upstream has not
MISSING = "default"  # what both references warn of and take where tokenizer.ggml.pre is missing

PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon-h1"), _LLAMA3),
    **dict.fromkeys(("smaug-bpe", "dbrx"), _SMAUG),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2"), _QWEN2),
    "qwen35": _QWEN35,
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais"), _WORDS),
    **dict.fromkeys(("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone"), _SINGLE_DIGITS),
    "falcon": _FALCON,
    **dict.fromkeys(("falcon3", "falcon_e"), _FALCON3),
    "default": _DEFAULT,
}


def get_pre_tokenizer(name: str | None) -> PreTokenizer:
    """The one of that name, or what the references take for a file that names none.

    Raises BadInput that names what is unknown.
    """
    if (name or MISSING) not in PRE_TOKENIZERS:
        known = ", ".join(sorted(PRE_TOKENIZERS))
        raise BadInput(
            f"tokenizer.ggml.pre names the pre-tokenizer {name!r}, which is not known; known are {known}"
        )
    return PRE_TOKENIZERS[name or MISSING]
