"""What `import bitparity` promises: these names, lazily, and nothing else."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import bitparity
from bitparity import errors

PACKAGE = Path(bitparity.__file__).parent


def names_for_type_checkers() -> dict[str, str]:
    """Name -> module, as the block under TYPE_CHECKING says."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    found: dict[str, str] = {}
    for node in ast.walk(blocks[0]):
        if isinstance(node, ast.ImportFrom):
            assert [alias.asname for alias in node.names] == [alias.name for alias in node.names]
            found |= {alias.name: str(node.module) for alias in node.names}
    return found


@pytest.mark.parametrize("name", bitparity.__all__)
def test_promised_name_is_that_of_its_module(name: str) -> None:
    module = importlib.import_module(names_for_type_checkers()[name])
    assert getattr(bitparity, name) is getattr(module, name)


def test_type_checkers_are_promised_the_same_names() -> None:
    assert sorted(names_for_type_checkers()) == bitparity.__all__ == dir(bitparity)
    assert (PACKAGE / "py.typed").is_file()


def test_other_names_are_not_promised() -> None:
    with pytest.raises(AttributeError, match="bitparity has no 'compare_logits'"):
        _ = bitparity.compare_logits


def test_every_error_is_promised() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined <= set(bitparity.__all__)


def test_no_module_of_the_harness_is_hidden_by_a_promised_name() -> None:
    """`bitparity.compare` is a package, so no function of that name can be reached there."""
    assert not [name for name in bitparity.__all__ if (PACKAGE / name).exists()]
    assert not [name for name in bitparity.__all__ if (PACKAGE / f"{name}.py").exists()]


def test_import_alone_loads_nothing() -> None:
    script = (
        "import sys; before = set(sys.modules); import bitparity; print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(done.stdout)
    assert "bitparity" in loaded
    assert not [name for name in loaded if name.startswith(("bitparity.", "numpy", "gguf", "click"))]


def test_comparison_of_the_docstring_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As it is written, but for the model and the reference."""
    from bitparity.model.synthetic import ModelSpec, make_model

    path = tmp_path / "model.gguf"
    make_model(path, ModelSpec(n_layer=1))
    lines = [line[4:] for line in (bitparity.__doc__ or "").splitlines() if line.startswith("    ")]
    script = "\n".join(lines).replace("model.gguf", str(path)).replace("llama.cpp", "oracle")
    exec(script.replace('text="The capital of France is"', "tokens=(1, 2, 3)"), {})
    assert "Verdict." in capsys.readouterr().out
