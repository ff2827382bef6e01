"""`uncage edit`: erase and draw again, extend, remix without a mask, pins and regions, pictures of one's own."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncage_demo.backends.arguments import add_model_arguments
from uncage_demo.cli.arguments import MAX_ORDERS, add_settings, parse_orders
from uncage_demo.prompt.judging import counted
from uncage_demo.trace.frames import frames_said

if TYPE_CHECKING:
    import numpy as np

    from uncage_demo.backends.base import Backend
    from uncage_demo.editing.picture import OwnPicture
    from uncage_demo.editing.request import EditRequest
    from uncage_demo.trace.record import Trace
    from uncage_demo.types import Prompt

OWN_FILES = ("own-picture.png", "own-tokens.png", "own-error.png")

EPILOG = """\
examples
  draw the apple again, in blue
      python -m uncage_demo edit run/uncage.npz --erase-object apple --prompt "a turtle and a blue apple" --out blue
  erase a box (top, left, bottom, right in cells) and compare three orders
      python -m uncage_demo edit run/uncage.npz --erase-box 6,0,12,6 --orders meissonic,uncage,mend --out again
  move the picture four cells to the left and draw what is freed
      python -m uncage_demo edit run/uncage.npz --shift 0,-4 --out wider
  no mask: three rounds open the cells that the new prompt finds least likely
      python -m uncage_demo edit run/uncage.npz --strength 0.5 --prompt "a turtle and a blue apple" --out remix
  another picture with the structure of this one
      python -m uncage_demo edit run/uncage.npz --structure 0.5 --prompt "a rabbit and a red crown" --out alike
  an empty canvas with a place for each object
      python -m uncage_demo edit --prompt "a turtle and a pink apple" --region turtle=0,0,6,6 --region apple=6,6,12,12 --out placed
  your own picture: what the model's tokens keep of it, then a part redrawn
      python -m uncage_demo edit photo.jpg --prompt "a turtle" --out seen
      python -m uncage_demo edit photo.jpg --erase-box 3,3,9,9 --prompt "a turtle" --out mine
"""


def add_parsers(subparsers: Any) -> None:
    """Add `edit` to argparse subparsers."""
    command = subparsers.add_parser(
        "edit",
        help="erase and draw again, extend, remix, pins and regions, your own picture",
        description="Edit a picture by its tokens: what is not erased stays token for token.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("given", nargs="?", type=Path, metavar="TRACE.npz|PICTURE", help="a run or a picture; none for an empty canvas")
    command.add_argument("--prompt", help="what to draw (default: the run's prompt)")
    erase = command.add_argument_group("what is erased and drawn again")
    erase.add_argument("--erase", metavar="CELLS", help="cells row by row from 0, such as 0-5,14")
    erase.add_argument("--erase-box", action="append", default=[], metavar="T,L,B,R", help="a box in cells, half-open (repeatable)")
    erase.add_argument("--erase-object", action="append", default=[], metavar="NOUN", help="an object of the run's prompt (repeatable)")
    erase.add_argument("--mask", type=Path, metavar="PICTURE", help="a picture: what is brighter than half is erased")
    erase.add_argument("--margin", type=int, default=0, metavar="N", help="cells around all of it that are erased, too (default: 0)")
    erase.add_argument("--keep", action="store_true", help="the other way round: erase everything else")
    erase.add_argument(
        "--after-step", type=int, metavar="K", help="start from what the run had after step K, from 1; open cells are drawn, too"
    )
    other = command.add_argument_group("other ways")
    other.add_argument("--shift", metavar="DOWN,RIGHT", help="extend: move the picture by cells, negative = up, left; the border is drawn")
    other.add_argument("--strength", type=float, metavar="S", help="edit without a mask: share of the cells that are opened, 0 to 1")
    other.add_argument("--rounds", type=int, default=3, metavar="N", help="with --strength: in so many rounds, 1 to 16 (default: 3)")
    other.add_argument(
        "--structure", type=float, metavar="W", help="redraw everything after this picture's structure: weight of the likeness, 0 to 1"
    )
    other.add_argument("--region", action="append", default=[], metavar="NOUN=T,L,B,R", help="where to draw an object (repeatable)")
    other.add_argument("--pin", action="append", default=[], metavar="CELL=TOKEN", help="a token that is there from the start (repeatable)")
    other.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="TRACE.npz:T,L,B,R@Y,X",
        help="a box of another run's picture, pinned at Y,X (repeatable)",
    )
    how = command.add_argument_group("how")
    how.add_argument("--orders", metavar="A,B", help=f"1 to {MAX_ORDERS} orders side by side (default: the run's)")
    how.add_argument("--seed", type=int, metavar="N", help="0 to 2^63-1 (default: the one after the run's; 0 without a run)")
    add_model_arguments(command, model=None)
    add_settings(command)
    from uncage_demo.cli.main import add_files

    add_files(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """`uncage edit`: draw, write the files, print the verdicts."""
    from uncage_demo.cli.commands import _diagnose, _files_bar, _look, verdict_line
    from uncage_demo.editing.request import stream_request
    from uncage_demo.export import check_formats, check_free, planned_files, write_run
    from uncage_demo.runner import finish

    frames, look = frames_said(options.frames), _look(options)
    formats = tuple(dict.fromkeys(part.strip() for part in options.formats.split(",") if part.strip()))
    check_formats(formats)
    trace = _trace(options.given)
    _check_one_way(options, trace)
    planned = planned_files(options.out, _stems(options, trace), formats)
    check_free([*planned, *own_files(options.out, options.given)], options.force)
    backend = _backend(options, trace)
    prompt = _prompt(options, backend, trace)
    own = None
    if options.given is not None and trace is None:
        own = _own_picture(options, backend)
    given = trace if own is None else own.tokens
    request = _request(options, backend, given, prompt)
    from tqdm import tqdm

    with tqdm(desc=request.kind, unit="step", disable=options.quiet, leave=False) as bar:

        def advance(*_: Any) -> None:
            bar.update(1)

        made = finish(stream_request(backend, given, request, frames=frames), advance)
    verdicts = [backend.judge(one, one.prompt) for one in made]
    for one, verdict in zip(made, verdicts, strict=True):
        drawn = int(one.steps[0].masked_before.sum())
        print(
            f"{drawn} of {one.tokens.size} cells drawn; "
            + verdict_line(f"{one.config['order']}, seed {one.config['seed']}", one.prompt, verdict)
        )
    findings = _diagnose(made, verdicts) if "html" in formats else None
    with _files_bar(options.quiet, len(planned)) as told:
        files = write_run(options.out, made, verdicts, formats, look=look, findings=findings, on_file=told.name)
    if own is not None:
        files += _write_own(options.out, own)
    if not options.quiet:
        print(f"wrote {counted(len(files), 'file')} to {options.out}: {', '.join(f.name for f in files)}")
    return 0


def _stems(options: argparse.Namespace, trace: Trace | None) -> list[str]:
    """What the runs' files will be called."""
    from uncage_demo.cli.arguments import chosen_order
    from uncage_demo.trace.record import stem_of

    options.order = None
    usual = (str(trace.config["order"]) if trace is not None and options.preset is None else chosen_order(options),)
    orders = usual if options.orders is None else parse_orders(options.orders)
    if options.strength is None:
        return [stem_of(order) for order in orders]
    return [stem_of(orders[0], number=number) for number in range(1, options.rounds + 1)]


def _check_one_way(options: argparse.Namespace, trace: Trace | None) -> None:
    """One way of editing at a time, and one that fits what is given."""
    erased = bool(options.erase or options.erase_box or options.erase_object or options.mask)
    ways = {
        "--erase, --erase-box, --erase-object or --mask": erased,
        "--shift": options.shift is not None,
        "--strength": options.strength is not None,
        "--structure": options.structure is not None,
        "--pin or --patch": bool(options.pin or options.patch),
    }
    chosen = [name for name, on in ways.items() if on]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)}: give one way of editing at a time")
    if options.given is None:
        if not (options.region or options.pin or options.patch):
            raise ValueError("no run and no picture: give one, or start an empty canvas with --region, --pin or --patch")
        if chosen and chosen != ["--pin or --patch"]:
            raise ValueError(f"{chosen[0]}: give the run or picture to edit")
    elif chosen == ["--pin or --patch"]:
        raise ValueError(f"--pin and --patch start from an empty canvas: leave {options.given} out")
    elif options.region and not erased:
        raise ValueError("--region needs an empty canvas, or erased cells to draw the object in")
    elif trace is not None and not chosen:
        raise ValueError("nothing to do: give --erase, --erase-box, --erase-object, --mask, --shift, --strength or --structure")
    if (options.keep or options.margin or options.after_step is not None) and not erased:
        raise ValueError("--keep, --margin and --after-step go with --erase, --erase-box, --erase-object or --mask")


def _trace(path: Path | None) -> Trace | None:
    """The run of a file; None where there is no file, or where it is a picture."""
    from uncage_demo.trace.record import Trace

    return Trace.load(path) if path is not None and path.suffix.lower() == ".npz" else None


def _backend(options: argparse.Namespace, trace: Trace | None) -> Backend:
    from uncage_demo.backends.arguments import load_model
    from uncage_demo.backends.options import TRACE_KEY, ModelOptions

    if trace is None:
        return load_model(options)
    return load_model(options, name=trace.model.id, told=ModelOptions.from_json(trace.versions.get(TRACE_KEY)))


def _prompt(options: argparse.Namespace, backend: Backend, trace: Trace | None) -> Prompt:
    from uncage_demo.editing.plans import prompt_of

    if options.prompt is None and trace is None:
        raise ValueError("--prompt is missing: only a run has a prompt of its own")
    return prompt_of(backend, trace, options.prompt)


def _own_picture(options: argparse.Namespace, backend: Backend) -> OwnPicture:
    from uncage_demo.editing.picture import encode_picture

    own = encode_picture(backend, options.given)
    for note in own.notes:
        print(note)
    worst = divmod(int(own.error.argmax()), own.error.shape[1])
    print(f"as tokens: off by {own.error.mean():.1f} of 255, at most {own.error.max():.0f} (row {worst[0] + 1}, column {worst[1] + 1})")
    return own


def _request(options: argparse.Namespace, backend: Backend, given: Trace | np.ndarray | None, prompt: Prompt) -> EditRequest:
    from uncage_demo.editing.request import EditRequest
    from uncage_demo.trace.record import Trace

    shared: dict[str, Any] = {
        "prompt": prompt,
        "orders": () if options.orders is None else parse_orders(options.orders),
        "seed": options.seed,
        "config": _config(options, given if isinstance(given, Trace) else None),
    }
    regions = tuple(_region(text, prompt) for text in options.region)
    if options.shift is not None:
        down, right = _numbers(options.shift, 2, "--shift", "DOWN,RIGHT")
        return EditRequest("extend", shift=(down, right), **shared)
    if options.strength is not None:
        return EditRequest("remix", strength=options.strength, rounds=options.rounds, **shared)
    if options.structure is not None:
        return EditRequest("sketch", strength=options.structure, **shared)
    if given is None:
        return EditRequest("compose", pins=tuple(_pins(options, backend).items()), regions=regions, **shared)
    if not (options.erase or options.erase_box or options.erase_object or options.mask):
        return EditRequest("picture", **shared)
    after = None if options.after_step is None else options.after_step - 1
    cells = _erased(options, backend, given)
    return EditRequest("edit", cells=cells, after_step=after, regions=regions, **shared)


def _config(options: argparse.Namespace, trace: Trace | None) -> Any:
    """The settings that the command line changes; None where it changes none of a run's."""
    from uncage_demo.cli.arguments import chosen_order, config_fields
    from uncage_demo.config import MAX_SEED, DecodingConfig

    fields = config_fields(options)
    if trace is None:
        return DecodingConfig(order=chosen_order(options), **fields)
    if not fields:
        return None
    own = DecodingConfig.from_dict(trace.config)
    if options.preset is not None:
        fields["order"] = chosen_order(options)
    return own.with_(**{"seed": (own.seed + 1) % (MAX_SEED + 1), **fields})


def _erased(options: argparse.Namespace, backend: Backend, given: Trace | np.ndarray) -> tuple[int, ...]:
    import numpy as np

    from uncage_demo.editing import cells as cells_of
    from uncage_demo.editing.picture import read_picture
    from uncage_demo.trace.record import Trace

    grid = backend.info.grid
    chosen = np.zeros(grid[0] * grid[1], bool)
    if options.erase:
        chosen |= cells_of.mask_of(cells_of.cells_named(options.erase, grid, "--erase"), grid)
    for text in options.erase_box:
        top, left, bottom, right = cells_of.check_box(_numbers(text, 4, "--erase-box", "T,L,B,R"), grid, "--erase-box")
        chosen |= cells_of.rectangle(top, left, bottom, right, grid)
    for noun in options.erase_object:
        if not isinstance(given, Trace):
            raise ValueError(f"--erase-object {noun}: only a run tells where its objects are; use --erase-box or --mask")
        index = cells_of.object_named(noun, given.prompt, "--erase-object")
        verdict = backend.judge(given, given.prompt)
        seen = () if verdict is None else [one for one in verdict.detections if one.noun == given.prompt.subjects[index].noun]
        chosen |= cells_of.seen_cells(seen, grid) if seen else cells_of.object_cells(given, index)
    if options.mask:
        picture, _ = read_picture(options.mask, backend.info.image_size_px)
        height, width = picture.shape[0] // grid[0], picture.shape[1] // grid[1]
        chosen |= picture.reshape(grid[0], height, grid[1], width, 3).mean(axis=(1, 3, 4)).reshape(-1) > 127.5
    if options.margin < 0:
        raise ValueError(f"--margin {options.margin}: give a whole number from 0")
    chosen = cells_of.grown(chosen, grid, min(options.margin, max(grid)))
    return tuple(np.flatnonzero(~chosen if options.keep else chosen).tolist())


def _pins(options: argparse.Namespace, backend: Backend) -> dict[int, int]:
    from uncage_demo.branching import check_weights
    from uncage_demo.editing.cells import patch_of
    from uncage_demo.trace.record import Trace

    pins: dict[int, int] = {}
    for text in options.patch:
        found = re.fullmatch(r"(.+):([-\d,\s]+)@([-\d,\s]+)", text)
        if not found:
            raise ValueError(f"--patch {text!r}: write TRACE.npz:TOP,LEFT,BOTTOM,RIGHT@ROW,COLUMN")
        other = Trace.load(found[1])
        check_weights(backend, other)
        row, column = _numbers(found[3], 2, "--patch", "ROW,COLUMN")
        box = _numbers(found[2], 4, "--patch", "T,L,B,R")
        pins |= patch_of(other.tokens.reshape(-1), box, (row, column), backend.info.grid)
    for text in options.pin:
        cell, token = _numbers(text.replace("=", ",", 1), 2, "--pin", "CELL=TOKEN")
        pins[cell] = token
    return pins


def _region(text: str, prompt: Prompt) -> tuple[int, tuple[int, int, int, int]]:
    from uncage_demo.editing.cells import object_named

    noun, equals, box = text.rpartition("=")
    if not equals:
        raise ValueError(f"--region {text!r}: write NOUN=TOP,LEFT,BOTTOM,RIGHT")
    top, left, bottom, right = _numbers(box, 4, "--region", "NOUN=T,L,B,R")
    return object_named(noun, prompt, "--region"), (top, left, bottom, right)


def _numbers(text: str, count: int, flag: str, form: str) -> list[int]:
    parts = text.split(",")
    if len(parts) != count or not all(re.fullmatch(r"\s*-?\d{1,9}\s*", part, re.ASCII) for part in parts):
        raise ValueError(f"{flag} {text!r}: write {form} in whole numbers")
    return [int(part) for part in parts]


def _write_own(folder: Path, own: OwnPicture) -> list[Path]:
    """The picture as it was fitted, what its tokens give, and where they differ."""
    import numpy as np
    from PIL import Image

    from uncage_demo.files import replacing

    scale = max(1.0, float(own.error.max()))
    cell = [whole // cells for whole, cells in zip(own.given.shape[:2], own.error.shape, strict=True)]
    far = np.kron((own.error / scale * 255).astype(np.uint8), np.ones(cell, np.uint8))
    paths = [folder / name for name in OWN_FILES]
    for path, picture in zip(paths, (own.given, own.decoded, far), strict=True):
        with replacing(path) as place:
            Image.fromarray(picture).save(place)
    return paths


def own_files(folder: Path, given: Path | None) -> list[Path]:
    """The files beside a run's that an own picture brings."""
    own = given is not None and given.suffix.lower() != ".npz"
    return [folder / name for name in OWN_FILES] if own else []
