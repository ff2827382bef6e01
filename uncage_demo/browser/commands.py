"""The commands `export-web` and `export-live`: the embedded model for browsers, and a page that draws by itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from uncage_demo.shipped import EMBEDDED


def add_parsers(commands: Any) -> None:
    """Add the commands.

    Args:
        commands: argparse's subparsers.
    """
    web = commands.add_parser(
        "export-web",
        help="write the embedded model for browsers",
        description="Write an embedded model as ONNX files with a manifest, checked against PyTorch. Needs the extra [web].",
    )
    web.add_argument("--model", default="embedded", metavar="NAME", help=f"{' or '.join(EMBEDDED)}, or a folder (default: %(default)s)")
    web.add_argument("--age", default="1", help='after which part of its training, such as "1/5" (default: all of it)')
    web.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write, made when missing")
    web.set_defaults(run=export_web)
    live = commands.add_parser(
        "export-live",
        help="write a page in one file that draws by itself, offline",
        description="Write a page in one file that draws by itself, offline. Needs the extra [web] and the npm package onnxruntime-web.",
    )
    live.add_argument("page", type=Path, metavar="PAGE.html", help="file to write")
    live.add_argument("--models", default="embedded", metavar="A,B", help=f"of {', '.join(EMBEDDED)} (default: %(default)s)")
    live.add_argument("--title", help="heading of the page")
    live.add_argument("--runtime", type=Path, metavar="FOLDER", help="folder of the npm package (default: node_modules of the checkout)")
    live.add_argument("--force", action="store_true", help="replace the file when it exists")
    live.set_defaults(run=export_live, lessons=None)


def export_web(options: argparse.Namespace) -> int:
    """Write the model, and say what was written and how near it is to PyTorch."""
    import json

    from uncage_demo.browser.export_model import export_model

    path = export_model(options.model, options.out, options.age)
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for name, file in manifest["files"].items():
        print(f"{name}: {file['file']}, {file['bytes'] / 1e6:.2f} MB")
    print("largest differences from PyTorch: " + ", ".join(f"{name} {value:.2g}" for name, value in manifest["checked"].items()))
    print(f"wrote {path}")
    return 0


def export_live(options: argparse.Namespace) -> int:
    """Write the page, and say how large it is."""
    from uncage_demo.browser.live_page import TITLE, export_live

    names = tuple(part.strip() for part in options.models.split(",") if part.strip())
    unknown = [name for name in names if name not in EMBEDDED]
    if unknown or not names:
        raise ValueError(f"--models {options.models}: choose from {', '.join(EMBEDDED)}")
    if options.page.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{options.page.name} does not end in .html")
    if options.page.exists() and not options.force:
        raise FileExistsError(f"{options.page} exists: give another name, or --force to replace it")
    path = export_live(options.page, names, options.title or TITLE, options.runtime, options.lessons)
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")
    return 0
