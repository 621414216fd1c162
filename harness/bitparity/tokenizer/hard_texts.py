"""Texts that are hard to tokenize: every known way of cutting a text into words differs on some of them.

They hold contractions, digits, punctuation, white space, scripts without spaces, marks and emoji, and no
special token.  What the references themselves read in another way than a tokenizer.json (characters of
Unicode 16, a long s after an apostrophe) is left out.
"""

from __future__ import annotations

HARD_TEXTS = (
    "Hello world",
    " leading and  double   spaces ",
    "tabs\tand\t\ttabs \t x",
    "lines\nlines\n\n\n  lines\r\n\r\nend \n",
    "I'm you're HE'LL we'Ve they'd it's 'S don't 'tis",
    "1 12 123 1234 12345 1234567 3.14e-10 0x1F ½ ² ٣١٤ १२३४",
    "a1b22c333 x86_64 v1.58-2B-4T, $5+3=8; 50% <tag> ~|^`",
    '!!! ... ?!?! ---- ==== ```code``` "quoted" (nested [brackets]) {x: y}',
    "def main(arguments: list[str]) -> int:\n    return sum(len(a) for a in arguments)  # 3.14\n",
    "Zażółć gęślą jaźń. Größe, café naïve; русский текст, Ελληνικά",
    "日本語のテキスト、中文字符。 한국어 문장 ภาษาไทย",
    "नमस्ते दुनिया مرحبا بالعالم שלום",
    "e\u0301 a\u0300\u0323 \u00e9 n\u0303 Å Å",
    "😀👩\u200d👩\u200d👧 🇩🇪 ✅ → ≠ ∑ £5 €10",
    "\u00a0non-breaking\u2003em\u3000wide\u2028separator",
    "CamelCaseWords snake_case kebab-case ALLCAPS mIxEd",
    "https://example.org/a?b=c&d=%20#e user@example.org",
    "a" * 70 + " " * 40 + "\n" * 9 + "ab" * 20,
)
