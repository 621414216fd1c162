"""The table of columns of a record: `Record` is the table, a field is a column.

A record is how one cell of a sweep ended in one run of the sweep; its Parquet file holds one row.  A value
that is not known, or that a cell which ended like this does not have, is null.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FORMAT = 1  # of a record; a change of meaning raises it, a new column does not

# The columns that name a cell, and what reports call them.
AXES = {
    "model": "model",
    "weight_format": "format",
    "reference": "reference",
    "candidate": "candidate",
    "build": "build",
    "threads": "threads",
    "chunks": "chunks",
    "prompt": "prompt",
}


def column(meaning: str, *, default: Any = None) -> Any:
    """A column; without another default it is null."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Record:
    """How one cell ended in one run."""

    # Which cell of which run.
    run: str = column(
        "the run: when it began, in UTC, and four hex digits, 20261127T041108Z-5c1e", default=""
    )
    cell: str = column("the cell, the same in every run: 16 hex digits made of the axes", default="")
    model: str = column("axis: the model as the matrix names it", default="")
    weight_format: str = column("axis: the format of its projections; empty: as in the file", default="")
    reference: str = column("axis: the reference as the matrix names it", default="")
    candidate: str = column("axis: the candidate as the matrix names it", default="")
    build: str = column("axis: which build or set-up of the candidate; empty where it has one", default="")
    threads: int | None = column("axis: threads of each engine; null: as many as there are processors")
    chunks: str = column("axis: how tokens are cut into calls: prefill, decode, mixed or a size", default="")
    prompt: str = column("axis: the prompt as the matrix names it", default="")

    # How it ended.
    outcome: str = column("the verdict, or how the cell ended without one (OUTCOMES)", default="")
    exit_code: int = column("exit code of `bitparity compare` for this; 0 is a pass", default=70)
    required: str = column("the least verdict that passes: agree, explained or noise", default="")
    sentence: str = column("how it ended, in a sentence", default="")
    attempts: int = column("how often it was tried: 2 when the first try failed", default=1)
    asked: int | None = column("positions that were to be compared")
    compared: int | None = column("positions that have a verdict")
    agree: int | None = column("positions that agree")
    explained: int | None = column("positions whose difference is explained")
    noise: int | None = column("positions within the noise")
    diverged: int | None = column("positions that diverged")
    first_position: int | None = column("the first divergent position, in its prompt")
    first_layer: int | None = column("layer of the first guilty stage, where stages were judged")
    first_stage: str | None = column("name of the first guilty stage, where stages were judged")
    guilty: str | None = column("the engine that is wrong, where stages were judged: its name")

    # By how much.
    mean_relative_l2: float | None = column("mean over positions of |actual - expected| / |expected|")
    max_relative_l2: float | None = column("its maximum")
    max_one_minus_cosine: float | None = column("maximum over positions of 1 - cosine")
    max_abs: float | None = column("largest |actual - expected| of any logit")
    mean_kl: float | None = column("mean over positions of KL(expected || actual), in nats")
    max_kl: float | None = column("its maximum, in nats")
    same_best: float | None = column("share of positions with the same best token, 0 to 1")
    mean_kl_error: float | None = column("standard error of mean_kl, by blocks; of a corpus only")
    perplexity_expected: float | None = column("perplexity of the reference; of a corpus only")
    perplexity_actual: float | None = column("perplexity of the candidate; of a corpus only")
    perplexity_ratio: float | None = column("the candidate's over the reference's; of a corpus only")
    perplexity_ratio_error: float | None = column("its standard error, by blocks; of a corpus only")

    # What ran.
    model_path: str | None = column("the file that the reference ran")
    model_blake3: str | None = column("BLAKE3 of that file, hex")
    candidate_model_path: str | None = column("the file that the candidate ran")
    candidate_model_blake3: str | None = column("BLAKE3 of that file, hex")
    reference_engine: str | None = column("name of the reference's engine")
    reference_version: str | None = column("its release or commit")
    reference_compiler: str | None = column("what built it")
    reference_isa: str | None = column("instruction sets that it was built for")
    reference_kernels: str | None = column("kernel set that ran")
    reference_arithmetic: str | None = column("its arithmetic, as far as it states one")
    reference_digest: str | None = column("digest of the libraries or files that compute in it")
    reference_fingerprint: str | None = column("its whole fingerprint, JSON")
    candidate_engine: str | None = column("name of the candidate's engine")
    candidate_version: str | None = column("its release or commit")
    candidate_compiler: str | None = column("what built it")
    candidate_isa: str | None = column("instruction sets that it was built for")
    candidate_kernels: str | None = column("kernel set that ran")
    candidate_arithmetic: str | None = column("its arithmetic, as far as it states one")
    candidate_digest: str | None = column("digest of the libraries or files that compute in it")
    candidate_fingerprint: str | None = column("its whole fingerprint, JSON")

    # Where, when and by what.
    date: str = column("when the cell ended, ISO 8601 in UTC", default="")
    seconds: float = column("that the cell took, retries included", default=0.0)
    host: str = column("machine that ran the cell; of a lost worker, that of the sweep", default="")
    system: str = column("its operating system and machine type", default="")
    cpu: str = column("its processor", default="")
    python: str = column("version of Python that ran it", default="")
    bitparity_version: str = column("version of bitparity", default="")
    bitparity_commit: str = column("commit of bitparity's source; empty where it is not known", default="")
    command: str = column("what to type to run this cell alone", default="")
    result: str | None = column("the whole result, the JSON of `bitparity compare --json`")
    format: int = column("of the record", default=FORMAT)

    @property
    def passed(self) -> bool:
        return self.exit_code == 0

    @property
    def axes(self) -> dict[str, str]:
        """What names the cell: axis -> value as text, without those that are empty."""
        named = {name: getattr(self, column) for column, name in AXES.items()}
        if self.threads is not None:
            named["threads"] = f"{self.threads} thread" + ("" if self.threads == 1 else "s")
        return {name: value for name, value in named.items() if value not in (None, "")}

    @property
    def name(self) -> str:
        """The cell in one line."""
        return " · ".join(self.axes.values())


# How a cell ends without a verdict: outcome -> exit code.  The other outcomes are the verdicts of a run.
OUTCOMES = {
    "bad input": 2,  # a file that cannot be read, an option that does not fit
    "tokens differ": 3,  # the engines do not make the same token ids of the prompt
    "not compared": 4,  # a reference that is missing, a model that an engine does not run
    "worker lost": 4,  # every worker that had the cell was lost, so nothing was compared
    "engine failed": 5,  # it crashed, or gave no sign of life
    "hung": 5,  # the cell was not done within its time limit
    "bitparity failed": 70,
}
