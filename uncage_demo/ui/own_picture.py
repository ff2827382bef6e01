"""A picture of one's own on the page: read with the chosen model, put on stage, shown beside what its tokens can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from uncage_demo.editing.picture import OwnPicture, encode_picture
from uncage_demo.editing.request import EditRequest
from uncage_demo.ui import settings as options
from uncage_demo.ui.edit_runs import follow
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.messages import message
from uncage_demo.ui.models import is_embedded

_THUMB_PX = 320


def upload_button() -> gr.UploadButton:
    """The button that takes a picture of one's own."""
    kinds = [".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"]
    return gr.UploadButton("Your picture", file_types=kinds, elem_id="uc-own", size="sm", scale=0)


def own_picture(handlers: Handlers, path: str, text: str, kept: str, chosen: options.Settings) -> Iterator[str]:
    """Read a picture of one's own with the chosen model and put it on stage, ready for the brush.

    Raises:
        ValueError: a file that is no picture, or a prompt that the model cannot draw.
    """
    yield message("progress", phase="Reading your picture…")
    prompt, backend = handlers.understood_prompt(text, kept, chosen.backend)
    own = encode_picture(backend, path)
    request = EditRequest("picture", prompt, config=chosen.configs()[0].with_(num_steps=None))
    for answer in follow(handlers, chosen.backend, own.tokens, request, kept):
        if isinstance(answer, str):
            yield answer
        else:
            view = own_view(own, chosen.backend, prompt.text)
            yield message("traces", **handlers.told(answer.ids, None, kept), step=0, edit="picture", own=view)


def own_view(own: OwnPicture, model: str, prompt: str) -> dict[str, Any]:
    """What the page shows of a picture of one's own: the picture, what its tokens give, where they differ, and words on it."""
    most = max(1.0, float(own.error.max()))
    far = np.repeat((own.error / most * 255).round().astype(np.uint8)[..., None], 3, axis=2)
    said = [*own.notes, f"Its tokens miss it by {own.error.mean():.0f} of 255 on average, and by {own.error.max():.0f} at worst."]
    if is_embedded(model):
        said.append("This model's tokens were made for small emoji art on plain paper: photos and fine detail become blots.")
    said.append(f"Paint what should change; it is drawn for “{prompt}”. To draw something else, write it beside “Draw again”.")
    if is_embedded(model):
        said.append("“Structure” draws another picture in its layout.")
    pictures = {"Your picture": own.given, "As tokens": own.decoded, "Where they differ": far}
    return {"pictures": [{"name": name, "data": _webp(picture)} for name, picture in pictures.items()], "said": said}


def _webp(picture: np.ndarray) -> str:
    image = Image.fromarray(picture)
    small = max(image.size) < 64  # an error map has a pixel a cell
    image = image.resize(
        (_THUMB_PX, round(_THUMB_PX * image.size[1] / image.size[0])), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    )
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90)
    return base64.b64encode(buffer.getvalue()).decode()
