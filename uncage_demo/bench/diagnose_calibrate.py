"""How far the diagnosis agrees with the detector: precision and recall of its rules, and the thresholds that suit a model.

    python -m uncage_demo calibrate --fit --write

The detector's verdict stands for the truth here; it is a model's judgement, with an error of its own (model card). Intervals draw whole
prompts. With --fit, thresholds are chosen on one half of the prompts and measured on both halves. With --write, the chosen thresholds and
what was measured replace the model's files in assets/diagnosis/, which the diagnosis reads.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from uncage_demo.bench.diagnose_cases import CUTS, Judged, calibrate
from uncage_demo.bench.diagnose_fit import fit, halves
from uncage_demo.diagnosis.diagnose import CALIBRATION, calibration, calibration_of, calibrations
from uncage_demo.diagnosis.evidence import Thresholds
from uncage_demo.files import write_atomically
from uncage_demo.shipped import EMBEDDED

BATCH = 16
# What --write measures on unless told otherwise: both suites for their failures, three orders as visitors use them and one that fails more.
SUITES, EVERY, SEEDS, ORDERS = ("attend-excite", "three-subjects"), 4, "0-1", "meissonic,uncage,random"
QUESTIONS = {
    "missing": "the object was not found",
    "faint": "the object was not found",
    "twice": "its noun, asked for once, was found more often",
    "mixture": "the two nouns were found in one place",
    "leak": "the other noun was found in this colour",
}


def table(result: dict[str, dict[str, Any]]) -> str:
    """Agreements (as `asdict` gives them) as a Markdown table."""

    def show(estimate: dict[str, Any] | None) -> str:
        if estimate is None:
            return "–"
        value, low, high = (estimate[key] for key in ("value", "low", "high"))
        interval = "" if low is None or high is None or not np.isfinite([low, high]).all() else f" [{low:.0%}, {high:.0%}]"
        return f"{value:.0%}{interval}"

    lines = ["| rule | precision | recall | at random | area | cases | true | named |", "|---|---|---|---|---|---|---|---|"]
    for rule, a in result.items():
        area = "–" if a["auc"] is None or not np.isfinite(a["auc"]) else f"{a['auc']:.2f}"
        numbers = [f"{a['base_rate']:.1%}" if a["cases"] else "–", area, str(a["cases"]), str(a["positives"]), str(a["named"])]
        lines.append("| " + " | ".join([rule, show(a["precision"]), show(a["recall"]), *numbers]) + " |")
    return "\n".join(lines)


def document(data: dict[str, Any]) -> str:
    """The calibration as a page to read: thresholds, and how often each rule was right."""
    held, chosen = data["rules"], data.get("chosen_on")
    noise = " (each prompt has its own)" if data.get("own_noise") else ""
    lines = [
        "# How often the diagnosis is right",
        "",
        f"Model `{data['model']}`, weights `{data['weights']}`. Written by `{data['command']}`.",
        "",
        f"Suites {', '.join(data['suites'])}, every {data['every']}th prompt, seeds {data['seeds']}{noise}, orders {data['orders']}.",
        "The detector's verdict stands for the truth; it is a model's judgement. 95 % intervals draw whole prompts.",
        "*Precision*: of the cases a rule names, how many the detector confirms. *Recall*: of those the detector sees, how many it names.",
        "*At random*: the precision of naming cases at random. *Area*: a true case scores above a false one this often.",
        "",
        f"## On prompts it was not fitted to ({data['pictures']} pictures)" if chosen else f"## Measured ({data['pictures']} pictures)",
        "",
        table(held),
        "",
    ]
    if chosen:
        lines += [f"## On the prompts it was fitted to ({data['chosen_pictures']} pictures)", "", table(chosen), ""]
    lines += ["## Rules", "", "| rule | speaks when | the detector's word for it |", "|---|---|---|"]
    for rule, name in CUTS.items():
        sign = "at most" if rule == "missing" else "at least"
        lines.append(f"| {rule} | {name} {sign} {data['thresholds'][name]:g} | {QUESTIONS[rule]} |")
    rest = [f"{name} {value}" for name, value in data["thresholds"].items() if name not in CUTS.values()]
    lines += [
        "",
        f"Other settings: {', '.join(rest)}.",
        "",
        "A rule with fewer than 3 true cases to choose on, with an area below 0.7, or that no threshold makes right one time in three "
        "keeps the threshold it had; its row above then says how little it can be trusted here.",
        "A statement is called strong evidence only where its rule was right at least 80 % of the time above (10 cases or more named), and "
        "weak evidence where it was right less than half of the time.",
        "Mixture also speaks when two words look at one place (`mixture_overlap`); that is not measured here.",
        "",
    ]
    return "\n".join(lines)


def measured(judged: Sequence[Judged], *, choose: bool) -> dict[str, Any]:
    """Thresholds and agreements of judged traces, as plain data.

    Args:
        judged: traces of one model with the detector's verdicts.
        choose: fit thresholds to one half of the prompts and report on the other as well; else measure the thresholds in force.

    Raises:
        ValueError: nothing to calibrate on.
    """
    thresholds, reported, data = calibration_of(judged[0][0].model).thresholds, judged, {}
    if choose:
        chosen, reported = halves(judged)
        thresholds = fit(chosen, Thresholds())
        told = {rule: asdict(a) for rule, a in calibrate(chosen, thresholds).items()}
        data = {"chosen_pictures": len(chosen), "chosen_on": told}
    result = {rule: asdict(a) for rule, a in calibrate(reported, thresholds).items()}
    model = judged[0][0].model
    facts = {"model": model.id, "weights": model.weight_hash, "pictures": len(reported), "thresholds": asdict(thresholds)}
    return _finite({**facts, "rules": result, **data})


def files_of(model: str) -> tuple[Path, Path]:
    """Where the calibration of a model is kept, and the page about it: the first world's names are plain, others' hold the model's id."""
    if model == next(iter(EMBEDDED)):
        return CALIBRATION, CALIBRATION.with_name("README.md")
    name = f"calibration-{re.sub('[^A-Za-z0-9-]+', '-', model)}"
    return CALIBRATION.with_name(f"{name}.json"), CALIBRATION.with_name(f"{name}.md")


def _generate(args: argparse.Namespace) -> list[Judged]:
    """Traces and verdicts of the prompts asked for, several decoded together."""
    from uncage_demo.backends import load_backend
    from uncage_demo.bench.run import own_seed
    from uncage_demo.bench.suites import gather_prompts
    from uncage_demo.config import DecodingConfig, parse_seeds
    from uncage_demo.decoding.run import Run
    from uncage_demo.prompt.parse import parse_prompt
    from uncage_demo.runner import stream

    backend = load_backend(args.model, device=args.device)
    prompts = [parse_prompt(p.text, backend) for p in gather_prompts(args.suite or list(SUITES), [], False, "all", None)][:: args.every]
    steps = args.steps or backend.info.default_steps
    runs = [
        Run(prompt, DecodingConfig(order=order, num_steps=steps, seed=own_seed(prompt.text, seed)))
        for prompt in prompts
        for seed in parse_seeds(args.seeds)
        for order in args.order.split(",")
    ]
    judged: list[Judged] = []
    for first in range(0, len(runs), BATCH):
        traces = None
        for progress in stream(backend, runs[first : first + BATCH], frames=False):
            traces = progress.traces
        for trace in traces or ():
            verdict = backend.judge(trace, trace.prompt)
            if verdict is None:
                raise ValueError(f"model {backend.info.id!r} has no detector: there is nothing to calibrate against")
            judged.append((trace, verdict))
        print(f"{len(judged)} of {len(runs)} pictures", file=sys.stderr, end="\r", flush=True)
    print(file=sys.stderr)
    return judged


def main(argv: Sequence[str] | None = None) -> int:
    """Generate, judge, measure, print; returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="uncage calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--suite", action="append", default=[], help=f"prompts (repeatable; default: {' and '.join(SUITES)})")
    parser.add_argument("--every", type=int, default=EVERY, metavar="K", help=f"only every K-th prompt (default: {EVERY})")
    parser.add_argument("--seeds", default=SEEDS, help=f'"0-3" or "0,2,5" (default: {SEEDS})')
    parser.add_argument("--order", default=ORDERS, help=f"orders, separated by commas (default: {ORDERS})")
    parser.add_argument("--steps", type=int, help="number of steps (default: the model's)")
    parser.add_argument("--fit", action="store_true", help="choose thresholds on half of the prompts, report on both halves")
    parser.add_argument("--write", action="store_true", help="put thresholds and figures where the diagnosis reads them (assets/diagnosis)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also write the numbers to a file of your own")
    args = parser.parse_args(given)
    if args.every < 1:
        parser.error(f"--every {args.every}: give a whole number from 1")
    if args.write and not args.fit:
        parser.error("--write needs --fit: what is measured without choosing has no thresholds of its own to put in force")
    try:
        judged = _generate(args)
        data = measured(judged, choose=args.fit)
    except ValueError as error:
        parser.error(str(error))
    data["own_noise"] = True
    asked = {"suites": args.suite or list(SUITES), "every": args.every, "seeds": args.seeds, "orders": args.order, "fitted": args.fit}
    data |= asked | {"command": " ".join(["python -m uncage_demo calibrate", *given])}
    print(document(data))
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    if args.out:
        write_atomically(args.out, text)
    if args.write:
        file, page = files_of(data["model"])
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text)
        write_atomically(page, document(data))
        calibration.cache_clear()
        calibrations.cache_clear()
    return 0


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    raise SystemExit(main())
