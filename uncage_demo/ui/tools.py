"""What assistants get: pictures as images with their type, other files by name and address, everything else as text.

Gradio's own tool server hands pictures on as images only where a call returns one output and reports its progress; galleries never.
"""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio.mcp
from gradio import processing_utils
from mcp import types

# The server that Gradio starts by itself; `install` puts the one below in its place.
_GradioServer: Any = gradio.mcp.GradioMCPServer


class PictureServer(_GradioServer):
    """Gradio's tool server with answers that assistants can use."""

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        """The outputs as the server gave them, one by one, with the files' facts (the client's own result is a tuple of paths)."""
        async for update in job:
            if update.type == "output" and update.final:
                if not update.success:
                    raise RuntimeError(update.outputs.get("error") or "the call failed; the server did not say why")
                return update.outputs["data"]
        raise job.exception() or RuntimeError("the call ended without an answer")

    def postprocess_output_data(self, data: Any, root_url: str) -> list[types.TextContent | types.ImageContent]:
        """Outputs as contents: see the module."""
        addressed = processing_utils.add_root_url(data, root_url, None)
        return [content for output in addressed for content in contents(output)]


def contents(output: Any) -> Iterator[types.TextContent | types.ImageContent]:
    """One output of a call as contents.

    Args:
        output: a file as Gradio describes it ({"path", "url", "orig_name", ...}), a gallery's or list's many, or any other value.
    """
    if isinstance(output, list) and output and all(isinstance(one, dict) for one in output) and any(map(_file_of, output)):
        for one in output:
            yield from contents(one)
        return
    file = _file_of(output)
    if file is None:
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, default=str)
        yield types.TextContent(type="text", text=text)
        return
    name = file.get("orig_name") or Path(file["path"]).name
    kind = file.get("mime_type") or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind.startswith("image/") and Path(file["path"]).is_file():
        yield types.ImageContent(type="image", data=base64.b64encode(Path(file["path"]).read_bytes()).decode(), mimeType=kind)
    else:
        yield types.TextContent(type="text", text=f"{name} ({kind}): {file.get('url') or 'no address'}")


def _file_of(output: Any) -> dict[str, Any] | None:
    """The file that an output is, or that a gallery's item holds."""
    if not isinstance(output, dict):
        return None
    if isinstance(output.get("image"), dict):
        return _file_of(output["image"])
    return output if output.get("path") and (output.get("meta") or {}).get("_type") == "gradio.FileData" else None


def install() -> None:
    """Let pages that are launched from now on answer assistants by way of PictureServer."""
    gradio.mcp.GradioMCPServer = PictureServer  # type: ignore[misc]
