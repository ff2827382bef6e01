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
