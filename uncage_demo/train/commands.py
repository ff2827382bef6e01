"""`train`, `model-card`, `ship` and `refresh`: how the embedded model is made, measured and shipped, from art to model folder."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncage_demo.files import write_atomically

if TYPE_CHECKING:
    from uncage_demo.train.worlds import World

STAGES = ("tokenizer", "decoder", "detector", "transformer", "export", "card")
# Of a world that uses another one's tokenizer and detector.
SHARING_STAGES = ("transformer", "export", "card")
DEFAULT_FOLDER = Path("runs/emoji-scenes")


@dataclass(frozen=True)
class Preset:
    """Device, batch sizes and seconds of training of each stage."""

    device: str
    tokenizer_s: float
    decoder_s: float
    transformer_s: float
    detector_s: float
    tokenizer_batch: int
    transformer_batch: int
    detector_batch: int


PRESETS = {
    "cpu": Preset("cpu", 900, 900, 5400, 900, 16, 48, 32),
    "gpu": Preset("cuda", 60, 60, 350, 45, 64, 1024, 128),
}
# Learning rate of a generator that goes on from trained weights.
GROWN_PEAK = 1.5e-3
TINY = Preset("cpu", 180, 60, 1000, 240, 16, 48, 32)


def add_parsers(subparsers: Any) -> None:
    """Add the commands to the command line."""
    train = subparsers.add_parser(
        "train",
        help="make the embedded model: fetch the art, train tokenizer, transformer and detector, measure, write the model card",
        description=(
            "Makes the embedded model. Stages run in order and each resumes from its checkpoint when the command is run again: "
            "tokenizer (image codes), decoder (their pictures, with the codes fixed), detector (the judge), transformer (the generator), "
            "export (safetensors), card (measure everything). Every few minutes a stage writes its figures to its log, and pictures to "
            "FOLDER/pictures. "
            "The art is fetched once through npm by pinned package version."
        ),
    )
    train.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        default="cpu",
        help="machine: cpu = 2 cores, about 2 h 20 min and half an hour for the card; gpu = about 10 minutes, and the card",
    )
    _add_world(train, "clean = every caption is true; web = captions are as wrong as the web's; blind = a caption's order says nothing")
    train.add_argument(
        "--shared",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="model folder of the clean world whose tokenizer and detector the web world uses; default: the shipped one",
    )
    train.add_argument("--stage", choices=STAGES, action="append", help="run only this stage (repeatable); default: all of the world's")
    _add_folders(train)
    train.add_argument(
        "--budget", type=float, default=1.0, metavar="F", help="multiplies every stage's training time, 0.001..100; default 1"
    )
    train.add_argument(
        "--batch", type=int, default=None, metavar="N", help="scenes per step of the transformer, 1..4096; default: the preset's"
    )
    train.add_argument(
        "--steps", type=int, default=None, metavar="N", help="steps of the transformer, 1..1000000, instead of the preset's training time"
    )
    train.add_argument("--seed", type=int, default=0, help="initial weights and data order; default 0")
    train.add_argument("--tiny", action="store_true", help="a very small architecture (< 1 MB) for tests, with unseen scenes beside it")
    train.add_argument(
        "--init",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="start from this model folder's weights (its vocabulary may be smaller): the image codes stay, the rest is trained on",
    )
    train.set_defaults(run=run_train)
    card = subparsers.add_parser(
        "model-card",
        help="measure the embedded model on held-out seeds and write its model card",
        description=(
            "Prints every figure with its 95 % interval; writes README.md, metrics.json and pictures (failures, binding, a hundred "
            "samples) into the model folder. A killed run continues."
        ),
    )
    _add_world(card, "whose model")
    _add_folders(card)
    card.add_argument("--seeds", type=int, default=2, help="seeds per prompt, 1..64; default 2")
    card.add_argument("--readme", type=Path, default=None, help="also write the summary into this file, between its marks")
    card.add_argument("--pictures", type=Path, default=None, metavar="DIR", help="write card, figures and pictures here; default: --out")
    card.set_defaults(run=run_card)
    ship = subparsers.add_parser(
        "ship",
        help="after new weights: renew example traces, README pictures and golden grids",
        description="Renews everything in the repository that depends on the shipped weights, except result tables (see `bench`).",
    )
    ship.add_argument("--example", action="append", default=[], metavar="NAME", help="renew this example only (repeatable)")
    ship.set_defaults(run=run_ship)
    refresh = subparsers.add_parser(
        "refresh",
        help="after training: write the weights and renew everything that depends on them",
        description=(
            "Exports the weights of a training folder, then renews everything in the repository that depends on them: example traces, "
            "README pictures, golden grids, the model card with its pictures and, on request, the diagnosis' calibration and result "
            "tables. Says what it does and how long each step took. A killed run continues; finished steps are not repeated."
        ),
    )
    _add_world(refresh, "whose weights")
    refresh.add_argument(
        "--folder", type=Path, default=None, help="training folder; without checkpoints the weights stay; default: runs/NAME"
    )
    refresh.add_argument("--seeds", type=int, default=2, help="seeds per prompt of the model card, 1..64; default 2")
    refresh.add_argument("--calibrate", action="store_true", help="also fit and write the thresholds of the diagnosis")
    refresh.add_argument("--bench", action="append", default=[], metavar="EXPERIMENT", help="also run this experiment again (repeatable)")
    refresh.add_argument("--ages", action="store_true", help='also run the experiment "growth" at every age of the model')
    refresh.add_argument("--bench-seeds", default="0-3", metavar="LIST", help='seeds of the experiments, "0-3" or "0,2"; default 0-3')
    refresh.add_argument("--bench-steps", type=int, metavar="N", help="their decoding steps, 1..256; default: the model's own")
    refresh.add_argument("--bench-processes", type=int, default=1, metavar="N", help="processes that share them, 1..64; default 1")
    refresh.add_argument("--again", action="store_true", help="repeat every step, finished ones too")
    refresh.set_defaults(run=run_refresh)


def _add_world(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--world", default="clean", metavar="NAME", help=f"clean, web or blind; {what}; default clean")


def _add_folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=None, help="checkpoints, logs and the art; default runs/MODEL FOLDER")
    parser.add_argument("--out", type=Path, default=None, help="model folder to write; default: the world's shipped one in assets/")


def run_train(args: argparse.Namespace) -> int:
    """Run the wanted stages; returns the exit status.

    Raises:
        ValueError: a budget out of range, an unknown world, or a stage that the world has not.
    """
    if not 0.001 <= args.budget <= 100:
        raise ValueError(f"--budget {args.budget}: give a number from 0.001 to 100")
    for option, given, most in (("--batch", args.batch, 4096), ("--steps", args.steps, 1_000_000)):
        if given is not None and not 1 <= given <= most:
            raise ValueError(f"{option} {given}: give a whole number from 1 to {most}")
    world = settle_world(args)
    stages = stages_of(args, world)
    import torch

    from uncage_demo.train import detector as detector_stage
    from uncage_demo.train import image_tokenizer
    from uncage_demo.train import transformer as transformer_stage
    from uncage_demo.train.parts import export_model, export_scenes, new_parts, restore, restore_decoder, shared_parts, start_from
    from uncage_demo.train.pictures import GeneratedPictures, trained_detector
    from uncage_demo.train.place_codes import assign
    from uncage_demo.train.scenes import SpriteAtlas
    from uncage_demo.train.token_scenes import TokenScenes
    from uncage_demo.train.worlds import WORLDS

    preset, folder = TINY if args.tiny else PRESETS[args.preset], args.folder
    shared = (args.shared or WORLDS[world.shared].folder) if world.shared else None
    if args.init is None and world.begins_with:
        args.init = WORLDS[world.begins_with].folder
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device(preset.device)
    atlas = SpriteAtlas(folder / "art")
    torch.manual_seed(args.seed)
    parts = new_parts(args.tiny)
    if shared is not None:
        parts |= shared_parts(shared)
    if args.init is not None:
        start_from(args.init, folder, {name: part for name, part in parts.items() if shared is None or name == "transformer"})
        note_start(folder, args.init)

    def restored(stage: str) -> None:
        """The weights of a stage's checkpoint; those it starts from will do where it has not been trained on."""
        if args.init is None or (folder / f"{stage}.ckpt").exists():
            restore(folder, stage, parts)

    def common(stage: str) -> dict[str, Any]:
        """What every stage's trainer is told in the same words."""
        return {
            "budget_s": getattr(preset, f"{stage}_s") * args.budget * world.budget_frac,
            "seed": args.seed,
            "batch": getattr(preset, f"{stage}_batch"),
            "device": device,
            "model": parts[stage],
        }

    if shared is not None or args.init is not None:
        stages = [stage for stage in stages if stage != "tokenizer"]
    elif "tokenizer" in stages:
        image_tokenizer.train(atlas, folder, **common("tokenizer"))
        note_time(folder, "tokenizer", device)
    else:
        restore(folder, "tokenizer", parts)
    if shared is None:
        assign(parts["tokenizer"].cpu(), atlas, folder)
    if "decoder" in stages:
        settings = common("tokenizer") | {"budget_s": preset.decoder_s * args.budget}
        image_tokenizer.train(atlas, folder, **settings, codes_stay=True)
        note_time(folder, "decoder", device)
    elif (folder / "decoder.ckpt").exists():
        restore_decoder(folder, parts)
    tokenizer = parts["tokenizer"].cpu().eval()
    # The detector comes first: with it the transformer's reports tell success rates.
    if "detector" in stages:
        detector_stage.train(atlas, tokenizer, folder, **common("detector"))
        note_time(folder, "detector", device)
    elif "export" in stages and shared is None:
        restored("detector")
    tokenizer = tokenizer.cpu()
    if "transformer" in stages:
        trained = shared is not None or args.init is not None
        judge = trained_detector(folder, parts["detector"].cpu()) or (parts["detector"] if trained else None)
        show = GeneratedPictures(folder, parts["transformer"], tokenizer, judge)
        settings = common("transformer") | {"max_steps": args.steps}
        if args.batch is not None:
            settings["batch"] = args.batch
        if args.init is not None:
            settings |= {"curriculum": False, "peak": GROWN_PEAK}
        transformer_stage.train(TokenScenes(atlas, tokenizer), folder, show=show, world=world, **settings)
        note_time(folder, "transformer", device)
    elif "export" in stages:
        restored("transformer")
    if "export" in stages:
        heads = export_model(parts, atlas, args.out, world, shared=shared, kept=folder)
        if args.tiny:
            export_scenes(TokenScenes(atlas, parts["tokenizer"]), args.out / "scenes.npz")
        print(f"wrote {args.out}; guidance reads layer/head {', '.join(f'{layer}/{head}' for layer, head in heads)}")
    if "card" in stages:
        return run_card(argparse.Namespace(folder=folder, out=args.out, seeds=2, readme=None, world=args.world))
    return 0


def settle_world(args: argparse.Namespace) -> World:
    """The world that a command line names; where it is silent about folders, they become the world's.

    Raises:
        ValueError: there is no world of that name.
    """
    from uncage_demo.train.worlds import world_named

    world = world_named(args.world)
    args.out = world.folder if args.out is None else args.out
    args.folder = Path("runs") / world.folder.name if args.folder is None else args.folder
    return world


def stages_of(args: argparse.Namespace, world: World) -> Sequence[str]:
    """The stages to run, in order.

    Raises:
        ValueError: a stage that the world has not, or parts to share that it has itself.
    """
    if args.shared is not None and not world.shared:
        raise ValueError(f"--shared {args.shared}: the world {world.name!r} has its own tokenizer and detector; leave it out")
    has = SHARING_STAGES if world.shared else STAGES
    wrong = [stage for stage in args.stage or () if stage not in has]
    if wrong:
        raise ValueError(f"--stage {wrong[0]}: the world {world.name!r} shares them with {world.shared!r}; choose from {', '.join(has)}")
    return args.stage or has


def note_start(folder: Path, init: Path) -> None:
    """Record, once, what the weights that training starts from were trained for."""
    path, before = folder / "training.json", init / "training.json"
    if path.exists() or not before.exists():
        return
    notes = {f"{stage}, first": note for stage, note in json.loads(before.read_text()).items()}
    write_atomically(path, json.dumps(notes, indent=2) + "\n")


def note_time(folder: Path, stage: str, device: Any) -> None:
    """Record on what machine and for how long a stage was trained, for the model card."""
    import torch

    path = folder / "training.json"
    notes = json.loads(path.read_text()) if path.exists() else {}
    progress = torch.load(folder / f"{stage}.ckpt", map_location="cpu", weights_only=True)["progress"]
    machine = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} CPU cores ({platform.machine()})"
    notes[stage] = {
        "machine": machine,
        "seconds_s": round(progress["seconds_s"]),
        "images": progress["images"],
        "steps": progress["step"],
        "torch": torch.__version__,
        "finished": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    write_atomically(path, json.dumps(notes, indent=2) + "\n")


def run_card(args: argparse.Namespace) -> int:
    """Measure the model folder and write its card; returns the exit status."""
    if not 1 <= args.seeds <= 64:
        raise ValueError(f"--seeds {args.seeds}: give a whole number from 1 to 64")
    settle_world(args)
    from uncage_demo.train.card import measure, write_card, write_summary
    from uncage_demo.train.scenes import SpriteAtlas

    out = getattr(args, "pictures", None) or args.out
    seeds = tuple(range(args.seeds))
    metrics = measure(args.out, SpriteAtlas(args.folder / "art"), seeds, out=out, work=args.folder / "card-steps.json")
    print(write_card(args.out, metrics, args.folder / "training.json", out))
    if args.readme:
        write_summary(args.readme, metrics)
    return 0


def run_ship(args: argparse.Namespace) -> int:
    """Make what belongs to the shipped weights anew; returns the exit status."""
    from uncage_demo.train.ship import ship

    ship(only=args.example)
    return 0


def run_refresh(args: argparse.Namespace) -> int:
    """Make everything that depends on the weights anew; returns the exit status."""
    from uncage_demo.train.refresh import Wishes, refresh

    args.out = None
    world = settle_world(args)
    wishes = Wishes(
        world=world.name,
        seeds=args.seeds,
        calibrate=args.calibrate,
        bench=tuple(args.bench),
        bench_seeds=args.bench_seeds,
        bench_steps=args.bench_steps,
        bench_processes=args.bench_processes,
        ages=args.ages,
        again=args.again,
    )
    refresh(args.folder, wishes)
    return 0
