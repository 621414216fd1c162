"""The folder that a reduction leaves, for a bug report.

model.gguf       the smallest model; reference.gguf, candidate.gguf where an engine ran another file
reproduce.sh     runs the comparison again, and exits as it does
stage.npz        the wrong stage at one position: input.NAME as the engine recorded them, actual (its output),
                 expected (what the definition gives on those inputs), allowed (how far rounding may go)
stage.py         compares actual with expected; needs NumPy only
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitparity.output import make_folder, write_text, writing
from bitparity.reduce.run import Reduction
from bitparity.reduce.symptom import Found, WrongStage, tokens_of

SCRIPT, STAGE, STAGE_SCRIPT = "reproduce.sh", "stage.npz", "stage.py"
_LAST_LINES = 2  # of what a script printed

_STAGE_PY = '''"""{title}

{sentence}

{contents}
"""

import sys
from pathlib import Path

import numpy as np

case = np.load(Path(__file__).with_name("stage.npz"))
error = np.abs(case["actual"] - case["expected"])
wrong = ~(error <= case["allowed"])
print(f"{{wrong.sum()}} of {{wrong.size}} values are wrong; the largest error is {{np.max(error):.3g}}")
sys.exit(bool(wrong.any()))
'''


def write_bundle(reduction: Reduction, folder: Path, options: Sequence[str]) -> dict[str, int]:
    """Write the folder, which must not exist.

    options  of `bitparity compare` besides the model, the tokens and the chunks, as they were typed
    returns  file name -> bytes

    Raises BadInput when the folder exists or cannot be written.
    """
    make_folder(folder)
    models = _copy_models(reduction, folder)
    _write_script(reduction, folder / SCRIPT, models, options)
    symptom = reduction.symptom
    if isinstance(symptom, WrongStage):
        found = symptom.find(reduction.comparison)
        assert found is not None, "the symptom shows in its reduction"
        _write_stage(symptom, found, folder)
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def run_script(script: Path) -> tuple[int, str]:
    """Run a script of the folder; its exit code and the last lines that it printed."""
    program = "sh" if script.suffix == ".sh" else sys.executable
    first = 'PATH="$1:$PATH" exec "$2" "$3"'  # where this Python's own programs are
    command = ["sh", "-c", first, "sh", str(Path(sys.executable).parent), program, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return done.returncode, "\n".join(said[-_LAST_LINES:])


def _copy_models(reduction: Reduction, folder: Path) -> dict[str, str]:
    """Copy every file that is run; option of `compare` ("" is MODEL) -> file name."""
    comparison = reduction.comparison
    sides = {
        "": comparison.meant.path,
        "--reference-model": comparison.reference.model.path,
        "--candidate-model": comparison.candidate.model.path,
    }
    names: dict[Path, str] = {}
    for option, path in sides.items():
        if path not in names:
            names[path] = (option.strip("-").split("-")[0] or "model") + path.suffix
            with writing(folder / names[path]):
                (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / names[path])
            beside = path.parent / "kernel_config.ini"
            if beside.is_file():
                shutil.copy(beside, folder)
    return {option: names[path] for option, path in sides.items() if not option or path != sides[""]}


def _write_script(
    reduction: Reduction, path: Path, models: Mapping[str, str], options: Sequence[str]
) -> None:
    comparison, symptom = reduction.comparison, reduction.symptom
    words = ["bitparity", "compare", models[""]]
    words += [word for option, name in models.items() if option for word in (option, name)]
    words += ["--tokens", ",".join(map(str, tokens_of(comparison)))]
    words += ["--chunks", comparison.chunking.name, *symptom.options, *options]
    lines = ["#!/bin/sh", *_wrapped(symptom.sentence, "# "), 'cd "$(dirname "$0")" || exit 70']
    write_text(path, "\n".join([*lines, f"exec {shlex.join(words)}"]) + "\n")
    path.chmod(0o755)


def _write_stage(symptom: WrongStage, found: Found, folder: Path) -> None:
    stage = found.evaluation()
    arrays: dict[str, Any] = {
        f"input.{name}": np.asarray(value) for name, value in stage.inputs.values.items()
    }
    allowed = found.judge.allowed(found.judge.definition, symptom.stage, stage)
    arrays |= {"expected": stage.expected, "actual": stage.actual}
    arrays["allowed"] = np.broadcast_to(allowed, stage.actual.shape)
    with writing(folder / STAGE):
        np.savez(folder / STAGE, allow_pickle=False, **arrays)
    where = f"layer {symptom.layer} {symptom.stage}" if symptom.layer >= 0 else symptom.stage
    inputs = ", ".join(name for name in arrays if name.startswith("input."))
    contents = (
        f"{STAGE} has {inputs} as {symptom.engine} recorded it, its output (actual), what the "
        "definition gives on that (expected), and how far rounding may take it from there (allowed)."
    )
    text = _STAGE_PY.format(
        title=f"{where} of {symptom.engine} at position {found.error.position}.",
        sentence="\n".join(_wrapped(f"{symptom.sentence}.")),
        contents="\n".join(_wrapped(contents)),
    )
    write_text(folder / STAGE_SCRIPT, text)


def _wrapped(text: str, first: str = "") -> list[str]:
    return textwrap.wrap(text, 100, initial_indent=first, subsequent_indent=first, break_on_hyphens=False)
