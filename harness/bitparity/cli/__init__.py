"""The command line: one file per command, imported when it is called."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import Any

import click

from bitparity.cli.overwriting import keeping_its_inputs
from bitparity.errors import INTERNAL_FAILURE, BitparityError

_CLOSED_PIPE = 141  # 128 + SIGPIPE, as for a program that the signal ends
_INTERRUPTED = 130  # 128 + SIGINT

# command -> one line of help; the command itself is `command` in cli/<name>.py
COMMANDS = {
    "doctor": "Say which engines were found, what is missing and what to type.",
    "compare": "Run two engines on the same tokens and compare every position.",
    "blame": "Find the first stage that is wrong and name the engine that is.",
    "reduce": "Make what diverges as small as it gets, for a bug report.",
    "trace": "Record an engine's stages.",
    "trace-diff": "Compare two recorded traces.",
    "run": "Generate text with one engine.",
    "inspect": "Print a model's metadata, tensors and weight mapping.",
    "quantize": "Convert a model to another weight format.",
    "convert": "Convert a checkpoint of transformers to a GGUF file.",
    "make-model": "Write a synthetic model of any shape.",
    "verify-weights": "Prove that two files hold the same weights, whatever their formats.",
    "check-engine": "Check that an engine keeps the contract of a session.",
    "sweep": "Compare everything in a matrix, on many workers, and keep a record of each.",
    "report": "Say what changed in a sweep's records, since when, and which build did it.",
    "probe": "Read an engine's arithmetic and mistakes from its logits.",
    "fuzz": "Search formats, kernels and sessions for inputs that break them.",
    "selftest": "Plant deliberate faults and see the harness find them.",
    "bench": "Time engines side by side.",
    "include": "Print where a C compiler finds <bitparity/engine.h>.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"bitparity.cli.{cmd_name.replace('-', '_')}")
        return keeping_its_inputs(module.command)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; if the reader of its output is gone, click would exit with 1, a verdict."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # so that Python's flush at exit does not fail
            sys.exit(_CLOSED_PIPE)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bitparity")
def group() -> None:
    """Cross-validate BitNet b1.58 inference engines."""


def main() -> None:
    """Entry point: a BitparityError becomes one sentence and its exit code.

    Whatever else is raised is a failure of bitparity itself: it ends with a traceback and INTERNAL_FAILURE.
    """
    try:
        group(standalone_mode=False)
    except BitparityError as error:
        click.echo(f"bitparity: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("bitparity: interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except Exception as error:
        traceback.print_exc()
        what = f"bitparity itself failed ({type(error).__name__}: {error}); this is no verdict on an engine"
        click.echo(f"bitparity: {what}", err=True)
        sys.exit(INTERNAL_FAILURE)
