"""What assistants get: pictures as images with their type, other files by name and address, everything else as text.

Gradio's own tool server hands pictures on as images only where a call returns one output and reports its progress; galleries never.
"""

from __future__ import annotations

import asyncio
import base64
import json
import mimetypes
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio.mcp
from gradio import processing_utils, route_utils
from gradio_client import handle_file
from mcp import types

from uncage_demo.ui import scratch
from uncage_demo.ui.listeners import CALL_HEADER, leave

# The server that Gradio starts by itself; `install` puts the one below in its place.
_GradioServer: Any = gradio.mcp.GradioMCPServer


# The name of the call that is being answered, which the server's own request carries (see `listeners`).
_call: ContextVar[str] = ContextVar("call")
_LOOKS_EVERY_S = 0.5
_ZIP_IN_BASE64 = "UEsDB"  # "PK", then 3 and 4: how a trace file begins
_FILE = "Gradio File Input - a http or https url to a file"  # Gradio's name for what becomes a file


class PictureServer(_GradioServer):
    """Gradio's tool server with answers that assistants can use, arguments that they can give, and runs that end when they leave."""

    def _prepare_tool_call_args(self, name: str, arguments: dict[str, Any]) -> Any:
        endpoint, given, headers, block = super()._prepare_tool_call_args(name, arguments)
        _call.set(uuid.uuid4().hex)
        return endpoint, given, {**headers, CALL_HEADER: _call.get()}, block

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        """The outputs as the server gave them, one by one, with the files' facts (the client's own result is a tuple of paths)."""
        async with self._while_connected():
            async for update in job:
                if update.type == "output" and update.final:
                    if not update.success:
                        raise RuntimeError(update.outputs.get("error") or "the call failed; the server did not say why")
                    return update.outputs["data"]
            raise job.exception() or RuntimeError("the call ended without an answer")

    async def _execute_tool_with_progress(self, job: Any, progress_token: str | int) -> Any:
        async with self._while_connected():
            return await super()._execute_tool_with_progress(job, progress_token)

    @asynccontextmanager
    async def _while_connected(self) -> AsyncIterator[None]:
        """Inside, the call ends when its caller's connection does."""
        call, request = _call.get(), self.mcp_server.request_context.request

        async def watch() -> None:
            while not await request.is_disconnected():
                await asyncio.sleep(_LOOKS_EVERY_S)
            leave(call)

        watching = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            leave(call)
            raise
        finally:
            watching.cancel()

    def simplify_filedata_schema(self, schema: dict[str, Any]) -> tuple[dict[str, Any], list[list[str | int]]]:
        """Gradio's, where files in a list are texts, too: its own refers to definitions that it does not keep."""
        simplified, positions = super().simplify_filedata_schema(schema)
        for argument in simplified.get("properties", {}).values():
            items = argument.get("items")
            if isinstance(items, dict) and items.get("format") == _FILE:
                items.pop("$ref", None)
                argument.pop("$defs", None)
        return simplified, positions

    def convert_strings_to_filedata(self, value: Any, filedata_positions: list[list[str | int]]) -> Any:
        """Texts that stand for files as files, in lists, too; this server's own addresses and traces as data are files already."""
        lists = {position[0] for position in filedata_positions if position[1:] == ["items"]}
        single = {position[0] for position in filedata_positions if len(position) == 1}

        def file_of(text: Any) -> Any:
            known = (self._own_file(text) or trace_of_data(text)) if isinstance(text, str) else None
            return handle_file(known) if known else convert({"file": text}, [["file"]])["file"]

        convert = super().convert_strings_to_filedata
        return {
            name: [file_of(one) for one in given]
            if name in lists and isinstance(given, list)
            else file_of(given)
            if name in single
            else convert(given, [])
            for name, given in value.items()
        }

    def _own_file(self, address: str) -> Path | None:
        """The file behind an address that this server gave; None for any other address."""
        request = self.mcp_server.request_context.request
        root = route_utils.get_root_url(request=request, route_path=self.get_route_path(request), root_path=self.root_path)
        start = f"{root.rstrip('/')}/gradio_api/file="
        if not address.startswith(start):
            return None
        path = Path(unquote(address.removeprefix(start))).resolve()
        served = Path(self.blocks.GRADIO_CACHE).resolve()
        return path if path.is_relative_to(served) and path.is_file() else None

    def postprocess_output_data(self, data: Any, root_url: str) -> list[types.TextContent | types.ImageContent]:
        """Outputs as contents: see the module."""
        addressed = processing_utils.add_root_url(data, root_url, None)
        return [content for output in addressed for content in contents(output)]


def trace_of_data(text: str) -> Path | None:
    """A trace given as "data:...;base64,..." as a file; None for anything else.

    Raises:
        ValueError: data that is no base64.
    """
    head, _, data = text.partition(";base64,")
    if not head.startswith("data:") or not data.startswith(_ZIP_IN_BASE64):
        return None
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError as error:
        raise ValueError("the file is given as data, but not in base64") from error
    path = scratch.folder() / "given.npz"
    path.write_bytes(content)
    return path


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
