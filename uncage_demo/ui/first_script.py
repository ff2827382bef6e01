"""A script that runs before Gradio's own: the head given to launch() is put into the page by those, so it comes too late for this one.

Nothing here knows of the page; it is a layer of plain ASGI around the server.
"""

from __future__ import annotations

from uncage_demo.ui.kept_answers import App, Message, Receive, Send

_OPENING = b"<head>"
_GRADIOS = b"window.gradio_config"  # in every page that Gradio makes, and in no file that it hands out as HTML


class FirstScript:
    """ASGI middleware that puts a script at the head of Gradio's pages.

    Args:
        app: the server inside; it answers uncompressed.
        script: plain JavaScript.

    Raises:
        ValueError: a script that would end its element.
    """

    def __init__(self, app: App, script: str) -> None:
        if "</script" in script.lower() or "<!--" in script:
            raise ValueError("the script holds a text that would end its element in the page")
        self.app = app
        self.script = f"<script>{script}</script>".encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        begun: Message | None = None

        async def listen(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and _is_page(message):
                begun = message  # its length is known with the body
                return
            if begun is not None:
                message = self._with_script(begun, message)
                await send(begun)
                begun = None
            await send(message)

        await self.app(scope, receive, listen)

    def _with_script(self, begun: Message, message: Message) -> Message:
        body = message.get("body", b"")
        if message.get("more_body") or _GRADIOS not in body or _OPENING not in body:
            return message
        body = body.replace(_OPENING, _OPENING + self.script, 1)
        begun["headers"] = [
            (name, str(len(body)).encode() if name.lower() == b"content-length" else value) for name, value in begun["headers"]
        ]
        return {**message, "body": body}


def _is_page(begun: Message) -> bool:
    headers = {name.lower(): value for name, value in begun["headers"]}
    return headers.get(b"content-type", b"").startswith(b"text/html") and b"content-encoding" not in headers
