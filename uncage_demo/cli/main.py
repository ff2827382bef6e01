"""The command line: `python -m uncage_demo ...`, or `uncage ...` once installed. Parses, dispatches, explains errors; works nothing itself.

Nothing heavy is imported here, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uncage_demo.backends.arguments import add_model_arguments
from uncage_demo.backends.options import OUT_OF_MEMORY
from uncage_demo.cli.arguments import add_order, add_orders, add_seeds, add_settings
from uncage_demo.cli.branches import HELP as BRANCH_HELP

# Commands that other parts of the package bring along: name -> (module with add_parsers, line for --help).
DELEGATED = {
    "edit": ("uncage_demo.cli.edit", "erase and draw again, extend, remix, pins and regions, your own picture"),
    "train": ("uncage_demo.train.commands", "make the embedded model: art, image tokenizer, transformer, detector"),
    "model-card": ("uncage_demo.train.commands", "measure the embedded model and write its card"),
    "refresh": ("uncage_demo.train.commands", "after training: renew weights, examples, pictures, golden grids, card and results"),
    "ship": ("uncage_demo.train.commands", "after new weights: example traces, README pictures, golden grids"),
    "bench": ("uncage_demo.bench.commands", "compare orders over many prompts and seeds"),
    "bench-score": ("uncage_demo.bench.commands", "judge pictures drawn before"),
    "bench-report": ("uncage_demo.bench.commands", "tables and plots of benchmark results"),
    "bench-merge": ("uncage_demo.bench.commands", "join result files of several machines"),
    "bench-replay": ("uncage_demo.bench.commands", "make the picture of one result line again"),
    "export-web": ("uncage_demo.browser.commands", "write the embedded model for browsers (ONNX)"),
    "export-live": ("uncage_demo.cli.live", "write a page in one file that draws by itself, offline"),
    "speed": ("uncage_demo.bench.commands", "measure what decoding, recording and comparing cost"),
}
# Programs of their own: name -> (module with main(arguments), line for --help).
PROGRAMS = {"calibrate": ("uncage_demo.bench.diagnose_calibrate", "measure how often the diagnosis agrees with the detector")}

EPILOG = """\
examples
  two orders from one seed, with pictures, animations, figures, traces and an offline player in ./run
      python -m uncage_demo compare "a turtle and a pink apple" --out run
  four orders, three seeds, one folder per seed
      python -m uncage_demo compare "a cat and a dog" --orders meissonic,uncage,halton,random --seeds 0-2 --out pets
  a stronger contrast over all steps
      python -m uncage_demo generate "a red car and a blue clock" --order uncage --contrast-weight 6 --contrast-steps 16
  the settings of a paper or of a model's authors, by name
      python -m uncage_demo generate "a red car and a blue clock" --preset maskgit
  a large model, smaller than usual, compiled, on a small GPU
      python -m uncage_demo generate "a red turtle on a beach" --model meissonic --image-size 512 --dtype float16 --offload --compile
  make a figure, a film or a player from a trace file
      python -m uncage_demo export run/meissonic.npz run/uncage.npz --to svg
      python -m uncage_demo export run/uncage.npz --to html --out uncage.html
  the page
      python -m uncage_demo app

`python -m uncage_demo COMMAND --help` explains every option of a command.
Errors are one line on stderr and exit status 2; --debug shows the whole traceback. An interrupted run ends with 130.
"""


class _Parser(argparse.ArgumentParser):
    """Errors are one line; usage is shown by --help."""

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; None = the process's.

    Returns:
        Exit status: 0 done, 2 an error (told on stderr), 130 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given[: given.index("--")] if "--" in given else "--debug" in given
    try:
        named = _named(given)
        if named in PROGRAMS:
            own = [a for a in given[given.index(named) + 1 :] if a != "--debug"]
            return int(importlib.import_module(PROGRAMS[named][0]).main(own) or 0)
        parser = build_parser(given)
        options = parser.parse_args(given)
        if not hasattr(options, "run"):
            parser.print_help()
            return 2
        return int(options.run(options) or 0)
    except KeyboardInterrupt:
        sys.stderr.write("\nuncage: interrupted\n")
        return 130
    except BrokenPipeError:
        # whoever read our output has had enough; a flush at exit must not complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"uncage: error: {explain(error)}\n")
        return 2


def explain(error: Exception) -> str:
    """One line that says what went wrong; errors that are not about the input also say their kind and how to see more."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if type(error).__name__ == "OutOfMemoryError":
        return OUT_OF_MEMORY
    told = isinstance(error, (ValueError, OSError, FloatingPointError, MemoryError)) and str(error)
    if told or type(error).__name__ == "EncoderMissing":
        return text
    return f"{type(error).__name__}: {text} (--debug shows where)"


def build_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser. Commands of other parts are imported only when the arguments name one; otherwise --help lists them by name.

    Args:
        arguments: the command line, to know which command is meant.
    """
    parser = _Parser(
        prog="uncage",
        description="Watch a masked generative transformer decide, token by token, with and without UNCAGE guidance.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser, title="commands")
    _add_compare(commands)
    _add_generate(commands)
    _add_export(commands)
    _add_reproduce(commands)
    _add_app(commands)
    _add_models(commands)
    named = _named(arguments)
    if named in DELEGATED:
        importlib.import_module(DELEGATED[named][0]).add_parsers(commands)
    else:
        for name, (_, line) in {**DELEGATED, **PROGRAMS}.items():
            commands.add_parser(name, help=line)
    for command in {id(p): p for p in commands.choices.values()}.values():
        if "--debug" not in command._option_string_actions:
            command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the whole traceback of an error")
    return parser


def _named(arguments: Sequence[str]) -> str | None:
    """The command that the arguments name."""
    return next((a for a in arguments if not a.startswith("-")), None)


def _add_compare(commands: Any) -> None:
    command = _command(commands, "compare", "decode one prompt in several orders from one seed, side by side", "compare")
    command.add_argument("prompt", help='what to draw, e.g. "a turtle and a pink apple"; after "--" it may begin with a dash')
    add_orders(command)
    command.add_argument(
        "--ages",
        action="store_true",
        help="one order (default: the baseline) at every age of the model (points of its training), such as of embedded-web",
    )
    _add_run_options(command)


def _add_generate(commands: Any) -> None:
    command = _command(commands, "generate", "decode one prompt in one order", "generate")
    command.add_argument("prompt", help='what to draw, e.g. "a cat with a red crown"; after "--" it may begin with a dash')
    add_order(command)
    command.add_argument("--branch", action="append", default=[], dest="branches", metavar="JSON", help=BRANCH_HELP.replace("%", "%%"))
    _add_run_options(command)


def _add_run_options(command: argparse.ArgumentParser) -> None:
    add_seeds(command)
    add_model_arguments(command)
    command.add_argument(
        "--subjects",
        default="",
        metavar="JSON",
        help='correct what belongs together, by word numbers from 0: [{"object": [1], "attributes": [[0]]}]',
    )
    add_settings(command)
    add_files(command)


def add_files(command: argparse.ArgumentParser) -> None:
    """Add the options that say which files a command writes and where."""
    from uncage_demo.export import DEFAULT_FORMATS, FORMATS

    files = command.add_argument_group("files")
    files.add_argument("--out", type=Path, default=Path("run"), metavar="FOLDER", help="folder to write, made when missing (default: run)")
    files.add_argument("--force", action="store_true", help="replace files of an earlier run; without it an occupied folder is an error")
    files.add_argument(
        "--formats",
        default=",".join(DEFAULT_FORMATS),
        metavar="LIST",
        help="; ".join(f"{name}: {what}" for name, what in FORMATS.items()) + " (default: %(default)s)",
    )
    _add_look(files)
    files.add_argument(
        "--frames",
        default="all",
        metavar="WHICH",
        help='pictures of the steps: all, final (or none: the finished one only), or "every K"; at 1024 px one costs more than a step '
        "(default: %(default)s)",
    )
    command.add_argument(
        "--watch",
        action="store_true",
        help="draw the grid in colour in the terminal as it fills (only at the end where the output is no terminal; NO_COLOR is heeded)",
    )
    files.add_argument("--quiet", action="store_true", help="no progress bar and no list of files")


def _add_export(commands: Any) -> None:
    command = _command(commands, "export", "make a picture, figure, film or player from trace files", "export")
    command.add_argument("traces", nargs="+", type=Path, metavar="TRACE.npz", help="1 to 6 trace files of one prompt")
    command.add_argument("--to", required=True, choices=("html", "webp", "gif", "mp4", "png", "svg"), help="format")
    command.add_argument(
        "--view",
        choices=("heatmaps", "order", "curves", "side-by-side", "picture", "reveal", "player"),
        help="what to show; png: heatmaps, order, curves, side-by-side or picture; svg: heatmaps, order or curves (default: heatmaps)",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: beside the first trace)")
    command.add_argument("--force", action="store_true", help="replace the file when it exists")
    command.add_argument("--step", type=int, metavar="K", help="step of side-by-side and picture, 0 (start) to T (default: T)")
    command.add_argument("--steps", metavar="LIST", help="columns of heatmaps, e.g. 1,4,8,16; at most 12 (default: six that span the run)")
    _add_look(command)


def _add_reproduce(commands: Any) -> None:
    command = _command(commands, "reproduce", "print the command and the Python that make a trace again", "reproduce")
    command.add_argument("traces", nargs="+", type=Path, metavar="TRACE.npz", help="trace files of one prompt")
    command.add_argument("--python", action="store_true", help="Python instead of the command line")


def _add_app(commands: Any) -> None:
    command = _command(commands, "app", "open the page", "app")
    command.add_argument("--host", default="127.0.0.1", help="address; 0.0.0.0 = reachable from other machines (default: %(default)s)")
    command.add_argument("--port", type=int, default=7860, help="1 to 65535 (default: %(default)s)")
    command.add_argument("--open", action="store_true", help="also open it in the browser")


def _add_models(commands: Any) -> None:
    _command(commands, "models", "list the models and whether they are on this machine", "models")


def _add_look(group: Any) -> None:
    group.add_argument("--theme", choices=("dark", "light"), default="dark", help="of animations and stills (default: %(default)s)")
    group.add_argument("--stage-px", type=int, default=320, metavar="PX", help="side of one picture, 96 to 1024 (default: %(default)s)")
    group.add_argument("--step-s", type=float, default=0.14, metavar="S", help="seconds per step, 0.02 to 10 (default: %(default)s)")
    group.add_argument(
        "--hold-s", type=float, default=2.5, metavar="S", help="seconds of the last frame, 0.02 to 60 (default: %(default)s)"
    )


def _command(commands: Any, name: str, line: str, function: str) -> argparse.ArgumentParser:
    """A subcommand whose work is uncage_demo.cli.commands.<function>, imported when it runs."""

    def run(options: argparse.Namespace) -> int:
        return getattr(importlib.import_module("uncage_demo.cli.commands"), function)(options)

    command = commands.add_parser(name, help=line, description=line[0].upper() + line[1:] + ".")
    command.set_defaults(run=run)
    return command
