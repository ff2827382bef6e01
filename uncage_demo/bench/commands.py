"""The command line of the benchmark: bench and what goes on with its results, and speed. Parses, calls, prints; nothing else."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uncage_demo.backends.arguments import add_model_arguments, load_model
from uncage_demo.backends.options import ModelOptions
from uncage_demo.bench.experiments import EXPERIMENTS, Experiment, Setting, from_json, grid, only
from uncage_demo.bench.export import LAYOUTS
from uncage_demo.bench.records import JUDGE, SUFFIXES, UNJUDGED, Record, read_many, write_records
from uncage_demo.bench.suites import SUITES, BenchPrompt, gather_prompts
from uncage_demo.decoding.presets import PRESETS, preset_with
from uncage_demo.files import replacing, write_atomically
from uncage_demo.prompt.judging import counted
from uncage_demo.shipped import RESULTS

JUDGES = ("clip", "clip-paper")  # that need nothing of the model
SCORERS = (JUDGE, *JUDGES, UNJUDGED)


def add_parsers(subparsers: Any) -> None:
    """Add the benchmark's commands to argparse subparsers; each sets `run`: a function of the parsed arguments giving the exit code."""
    bench = subparsers.add_parser("bench", help="run an experiment: prompts x seeds x methods, judged, written as JSON lines")
    add_model_arguments(bench, device="cpu")
    bench.add_argument("--experiment", default="table1", choices=tuple(EXPERIMENTS), help="which methods to compare (default: table1)")
    bench.add_argument("--experiment-file", type=Path, metavar="JSON", help='methods of your own: {"methods": {label: {setting: value}}}')
    bench.add_argument("--grid", action="append", default=[], metavar="SETTING=A,B", help="compare all combinations (repeatable)")
    bench.add_argument("--suite", action="append", default=[], choices=tuple(SUITES), help="prompts (repeatable; default: attend-excite)")
    bench.add_argument("--prompts", action="append", default=[], type=Path, metavar="FILE", help="prompts, one per line, or JSON lists")
    bench.add_argument("--published", action="store_true", help='write "a elephant" as the published Attend-and-Excite list does')
    bench.add_argument(
        "--split", default="all", choices=("all", "choose", "confirm"), help="one half of the prompts, to choose on or to confirm on"
    )
    bench.add_argument(
        "--suite-seed",
        type=int,
        default=0,
        metavar="N",
        help="other colours and samples of the suites, 0 or more, to confirm on prompts that nothing was chosen on (default: 0)",
    )
    bench.add_argument(
        "--pictures", type=int, default=200, metavar="N", help="with --experiment editing: how many correct pictures to edit (default: 200)"
    )
    bench.add_argument("--only", metavar="A,B", help="only these methods of the experiment; with semicolons where names hold commas")
    bench.add_argument("--limit", type=int, metavar="N", help="only the first N prompts")
    bench.add_argument("--seeds", default="0-3", help='"0-3" or "0,2,5" (default: 0-3)')
    bench.add_argument(
        "--own-seeds",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="give every prompt its own seeds, made from its text and --seeds; with --no-own-seeds all prompts share the seeds",
    )
    bench.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        help="settings by name for all methods, except the order, such as paper or authors; --steps, --set and a method's own settings "
        "take precedence",
    )
    bench.add_argument("--steps", type=int, help="number of steps (default: the preset's, else the model's)")
    bench.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE", help="a setting shared by all methods (repeatable)")
    bench.add_argument(
        "--scorer",
        default=JUDGE,
        choices=SCORERS,
        help="what judges the pictures; large models have no detector; none = draw only, save with --images and judge with bench-score "
        "(default: the model's detector)",
    )
    bench.add_argument("--batch", type=int, default=64, help="most pictures decoded together; a large model takes fewer (default: 64)")
    bench.add_argument(
        "--shard",
        metavar="I/N",
        help="make only every N-th pair of prompt and seed, starting with the I-th, counted from 0; bench-merge joins the files (default: "
        "all, or as accelerate launch says)",
    )
    bench.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="results; an interrupted run continues")
    bench.add_argument("--images", type=Path, metavar="DIR", help="also save the pictures")
    bench.add_argument("--layout", default="plain", choices=LAYOUTS, help="how they are laid out (for other projects' evaluators)")
    bench.set_defaults(run=run_bench)

    score = subparsers.add_parser("bench-score", help="judge pictures drawn before, by their result lines; draws nothing")
    score.add_argument("results", nargs="+", type=Path, help="result files or folders of them")
    score.add_argument("--images", type=Path, required=True, metavar="DIR", help="the pictures, as bench --images wrote them")
    score.add_argument("--scorer", default=JUDGES[0], choices=JUDGES, help="what judges (default: clip)")
    score.add_argument("--device", default="cpu", help="where the judge runs: cpu, cuda, cuda:1, auto (default: cpu)")
    score.add_argument("--batch", type=int, default=16, help="pictures judged together (default: 16)")
    score.add_argument("--out", type=Path, required=True, metavar="FILE", help=" or ".join(SUFFIXES))
    score.set_defaults(run=run_score)

    report = subparsers.add_parser("bench-report", help="tables (Markdown, CSV, LaTeX) and plots from results; renew documents")
    report.add_argument("results", nargs="+", type=Path, help="result files or folders of them; a folder's speed.json is read too")
    report.add_argument("--out", type=Path, metavar="DIR", help="where tables and plots go")
    report.add_argument("--readme", type=Path, nargs="+", default=[], metavar="FILE", help="renew the generated sections of these files")
    report.add_argument("--check", action="store_true", help="with --readme: change nothing, and fail where text and data disagree")
    report.set_defaults(run=run_report)

    merge = subparsers.add_parser("bench-merge", help="join result files of several machines; each line counts once")
    merge.add_argument("results", nargs="+", type=Path, help="result files or folders of them")
    merge.add_argument("--out", type=Path, required=True, metavar="FILE", help=" or ".join(SUFFIXES))
    merge.add_argument("--keep-first", action="store_true", help="where two lines contradict each other, keep the first, do not refuse")
    merge.add_argument("--experiment", metavar="NAME", help="make the lines part of this experiment, such as choose or confirm")
    merge.add_argument("--title", help="with --experiment: what it compares, for the heading of its table")
    merge.set_defaults(run=run_merge)

    replay = subparsers.add_parser("bench-replay", help="make the picture of one result line again, bit for bit")
    replay.add_argument("line", help="a line's key (or its beginning), its number in the file counted from 1, or the JSON line itself")
    replay.add_argument("--results", type=Path, help="the file that holds the line (not needed for a JSON line)")
    replay.add_argument("--out", type=Path, metavar="FILE.png", help="save the picture")
    replay.add_argument("--trace", type=Path, metavar="FILE.npz", help="save the full trace")
    add_model_arguments(replay, model=None, device="cpu")
    replay.set_defaults(run=run_replay)

    speed = subparsers.add_parser("speed", help="what each feature costs: paired rounds in one process, wall and processor time")
    add_model_arguments(speed, device="cpu")
    speed.add_argument("--rounds", type=int, default=5, help="paired rounds (default: 5)")
    speed.add_argument("--steps", type=int, help="number of steps (default: the model's)")
    speed.add_argument("--batches", default="1,4,16", help="batch sizes (default: 1,4,16)")
    speed.add_argument("--step-counts", default="8,16,32", help="numbers of steps to measure images per second at")
    speed.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers (docs/RESULTS.md shows assets/results/speed.json)")
    speed.set_defaults(run=run_speed)


def run_bench(args: argparse.Namespace) -> int:
    """`uncage bench`."""
    from uncage_demo.backends.devices import parse_device
    from uncage_demo.bench.export import ImageFolder
    from uncage_demo.bench.run import run_experiment
    from uncage_demo.config import parse_seeds
    from uncage_demo.prompt.parse import parse_prompt

    seeds = list(parse_seeds(args.seeds))
    prompts = gather_prompts(args.suite, args.prompts, args.published, args.split, args.limit, args.suite_seed)
    shard = parse_shard(args.shard, os.environ)
    backend = load_model(args)
    experiment = choose_experiment(args, backend)
    if experiment.name == "editing":
        return _run_editing(args, backend, experiment, prompts, seeds)
    scorer = _scorer(args.scorer, backend, str(parse_device(args.device)))
    folder = ImageFolder(args.images, args.layout, [p.text for p in prompts], seeds) if args.images else None

    def save(jobs: Sequence[Any], images: Any) -> None:
        assert folder is not None
        for job, image in zip(jobs, images, strict=True):
            folder.save(job.method, parse_prompt(job.item.text, backend), job.number, image)

    def tell(made: int, total: int, images_per_s: float) -> None:
        left_min = (total - made) / images_per_s / 60
        print(f"\r{made} of {total} images, {images_per_s:.2f} images/s, {left_min:.0f} min left  ", end="", file=sys.stderr, flush=True)

    out = shard_path(args.out, shard)
    summary = run_experiment(
        backend,
        experiment,
        prompts,
        seeds,
        out,
        scorer,
        batch=args.batch,
        shard=shard,
        own_seeds=args.own_seeds,
        on_batch=tell,
        on_images=save if folder else None,
    )
    print(file=sys.stderr)
    print(
        f"{out}: {counted(summary.made, 'image')} made in {summary.seconds:.1f} s ({summary.images_per_s:.2f} images/s), "
        f"{summary.reused} taken over from equal ones, {summary.kept} there before"
    )
    return 0


def run_score(args: argparse.Namespace) -> int:
    """`uncage bench-score`."""
    from uncage_demo.backends.devices import parse_device
    from uncage_demo.bench.scoring import score_records

    def tell(done: int, total: int) -> None:
        print(f"\r{done} of {total} pictures judged  ", end="", file=sys.stderr, flush=True)

    records = read_many(args.results)
    judged = score_records(records, args.images, _clip_scorer(args.scorer, str(parse_device(args.device))), batch=args.batch, on_batch=tell)
    print(file=sys.stderr)
    write_records(args.out, judged)
    print(f"{args.out}: {len(judged)} lines, judged by {judged[0]['scorer']}")
    return 0


def _run_editing(args: argparse.Namespace, backend: Any, experiment: Experiment, prompts: Sequence[BenchPrompt], seeds: list[int]) -> int:
    """`uncage bench --experiment editing`."""
    from uncage_demo.bench.editing import run_editing

    def tell(found: int, wanted: int) -> None:
        print(f"\r{found} of {wanted} right pictures edited  ", end="", file=sys.stderr, flush=True)

    done = run_editing(backend, experiment, prompts, seeds, args.out, pictures=args.pictures, batch=args.batch, on_batch=tell)
    print(file=sys.stderr)
    print(f"{args.out}: {done.pictures} right pictures of {done.tried} drawn; {done.made} edits made, {done.kept} lines there before")
    if done.pictures < args.pictures:
        print(f"only {done.pictures} of {args.pictures} pictures were right: give more --seeds or prompts")
    return 0


def run_report(args: argparse.Namespace) -> int:
    """`uncage bench-report`."""
    from uncage_demo.bench.report import disagreement, load_speed, plots_folder, renewed, write_report
    from uncage_demo.bench.results import build_tables, judge_note
    from uncage_demo.bench.tables import to_markdown

    records, speed = read_many(args.results), load_speed(args.results)
    if args.out and not args.check:
        for path in write_report(records, args.out, speed):
            print(path)
    problems = 0
    for path in args.readme:
        text = path.read_text(encoding="utf-8")
        plots = plots_folder(path, args.out or RESULTS)
        if args.check:
            problem = disagreement(text, records, plots, speed)
            problems += bool(problem)
            print(f"{path}: {problem or 'agrees with the data'}")
        else:
            write_atomically(path, renewed(text, records, plots, speed))
    if problems:
        return 1
    if not args.out and not args.readme:
        for table in build_tables(records):
            print(f"## {table.heading}\n\n{to_markdown(table, judge_note(table))}")
    return 0


def run_merge(args: argparse.Namespace) -> int:
    """`uncage bench-merge`."""
    from uncage_demo.bench.records import merge, record_key

    if args.title and not args.experiment:
        raise ValueError("--title names the table of --experiment; give that too")
    records = merge((read_many([path]) for path in args.results), keep_first=args.keep_first)
    if args.experiment:
        role = {"experiment": args.experiment} | ({"title": args.title} if args.title else {})
        keys = (record_key(args.experiment, r["method"], r["suite"], r["image_key"]) for r in records)
        records = merge([[record | role | {"key": key} for record, key in zip(records, keys, strict=True)]], keep_first=args.keep_first)
    write_records(args.out, records)
    print(f"{args.out}: {len(records)} lines")
    return 0


def run_replay(args: argparse.Namespace) -> int:
    """`uncage bench-replay`; exit code 1 when the picture is not the same bit for bit."""
    from PIL import Image

    from uncage_demo.bench.run import replay, versions
    from uncage_demo.runner import generate

    record = find_record(args.line, args.results)
    backend = load_model(args, name=record["model"]["id"], told=ModelOptions.from_json(record["model"].get("options")))
    again = replay(backend, record)
    if args.out:
        with replacing(args.out) as place:
            Image.fromarray(again.image).save(place)
    if args.trace:
        generate(backend, again.prompt, again.config).save(args.trace)
    print(
        f"{record['prompt']!r}, {record['method']}, seed {record['seed']}: {'identical, bit for bit' if again.identical else 'DIFFERENT'}"
    )
    if not again.identical:
        print(f"made with {record.get('versions')}\nhere      {versions(backend)}")
    return 0 if again.identical else 1


def run_speed(args: argparse.Namespace) -> int:
    """`uncage speed`."""
    from uncage_demo.bench.speed_report import measure, to_markdown

    backend = load_model(args)
    steps = args.steps or backend.info.default_steps
    result = measure(
        backend, steps, args.rounds, parse_numbers(args.batches, "--batches"), parse_numbers(args.step_counts, "--step-counts")
    )
    print(to_markdown(result))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.json, json.dumps(result, indent=1) + "\n")
    return 0


def choose_experiment(args: argparse.Namespace, backend: Any) -> Experiment:
    """The experiment that the arguments ask for, built around the model's defaults and --steps, --set."""
    from uncage_demo.config import DecodingConfig

    shared: dict[str, Any] = {} if args.steps is None else {"num_steps": args.steps}
    for assignment in args.set:
        field, equals, text = assignment.partition("=")
        if not equals or not field:
            raise ValueError(f"--set {assignment!r}: write SETTING=VALUE")
        try:
            shared[field] = json.loads(text)
        except json.JSONDecodeError:
            shared[field] = text
    if args.preset is not None:
        shared = preset_with(args.preset, shared)
    if shared.get("num_steps") is None:
        shared["num_steps"] = backend.info.default_steps
    setting = Setting(DecodingConfig.from_dict(shared), backend.info, backend.default_blur)
    if args.experiment_file:
        return from_json(setting, args.experiment_file.read_text(encoding="utf-8"), args.experiment_file.stem)
    found = grid(setting, args.grid) if args.grid else EXPERIMENTS[args.experiment](setting)
    return found if args.only is None else only(found, named_methods(args.only, found.methods))


def named_methods(text: str, known: Container[str]) -> list[str]:
    """The names of methods in a list with commas, or with semicolons where names hold commas ("mend; mend, spacing 2").

    Args:
        text: the list. known: the experiment's methods; a text that is one of them is one name.
    """
    if text.strip() in known:
        return [text.strip()]
    return [name.strip() for name in text.split(";" if ";" in text else ",")]


def parse_numbers(text: str, name: str) -> list[int]:
    """ "1,4,16" -> [1, 4, 16]."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ValueError(f"{name} {text!r}: write whole numbers from 1, with commas")
    return [int(part) for part in parts]


def shard_path(path: Path, shard: tuple[int, int]) -> Path:
    """Where one of several processes writes its lines.

    Args:
        path: the file asked for. shard: (i, n), i from 0; (0, 1) = one process, which writes the file itself.
    """
    index, count = shard
    return path if count == 1 else path.with_suffix(f".{index}-of-{count}.jsonl")


def parse_shard(text: str | None, environment: Any) -> tuple[int, int]:
    """(i, n) of "I/N"; without it, what a launcher such as `accelerate launch` put into RANK and WORLD_SIZE; else (0, 1)."""
    if text is None:
        text = f"{environment.get('RANK', '0')}/{environment.get('WORLD_SIZE', '1')}"
    index, slash, count = text.partition("/")
    if not slash or not index.isdigit() or not count.isdigit() or int(index) >= int(count):
        raise ValueError(f'--shard {text!r}: write I/N with I from 0 to N-1, such as "0/2"')
    return int(index), int(count)


def find_record(line: str, results: Path | None) -> Record:
    """The record that `line` names: a JSON line, a number counted from 1, or (the beginning of) a key.

    Raises:
        ValueError: when nothing or more than one thing matches.
    """
    from uncage_demo.bench.records import validate

    if line.lstrip().startswith("{"):
        return validate(json.loads(line))
    if results is None:
        raise ValueError("name the file that holds the line: --results FILE")
    records = read_many([results])
    if line.isdigit() and 1 <= int(line) <= len(records):
        return records[int(line) - 1]
    found = [record for record in records if record["key"].startswith(line)]
    if len(found) != 1:
        raise ValueError(f"{line!r} matches {len(found)} of {len(records)} lines; give a longer part of the key, or a line number")
    return found[0]


def _scorer(name: str, backend: Any, device: str) -> Any:
    if name == JUDGE:
        from uncage_demo.bench.scorers_detector import DetectorScorer, judge_many
        from uncage_demo.prompt.parse import parse_prompt

        # Asked of a blank picture: a model without a detector says so before anything is drawn.
        judge_many(backend, np.zeros((1, *backend.info.image_size_px, 3), np.uint8), [parse_prompt("a cat", backend)])
        return DetectorScorer(backend)
    if name == UNJUDGED:
        from uncage_demo.bench.scoring import Unjudged

        return Unjudged()
    return _clip_scorer(name, device)


def _clip_scorer(name: str, device: str) -> Any:
    from uncage_demo.bench.scorers_clip import load_clip_scorer

    return load_clip_scorer("paper" if name == "clip-paper" else "corrected", device=device)
