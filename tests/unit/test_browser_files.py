"""Files for browsers in which runs are drawn: names of their content, headers that keep them for good, and what a page sends back."""

import base64
import gzip
import json
from dataclasses import asdict

import pytest

from tests.awaiting import awaited
from tests.factories import make_trace
from tests.late import late
from uncage_demo.browser.served import Served, Shelf
from uncage_demo.types import FoundObject, Verdict
from uncage_demo.ui.browser_files import FOLDER, KEEP, BrowserFiles, answer
from uncage_demo.ui.handlers import Handlers

in_browser = late("uncage_demo.ui.in_browser")

CONTENT = b"const engine = 1;\n" * 40


def asked(shelf, path, method="GET", **headers):
    """(status, headers, body) of a request to the middleware; a request that it leaves alone raises LookupError."""
    sent = []

    async def inside(scope, receive, send):
        raise LookupError(scope["path"])

    async def keep(message):
        sent.append(message)

    async def nothing():
        return {}

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": given}
    awaited(BrowserFiles(inside, shelf)(scope, nothing, keep))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_a_file_travels_packed_and_may_be_kept_for_good():
    shelf = Shelf()
    name = shelf.put("worker.js", CONTENT, "text/javascript")
    status, told, body = asked(shelf, f"/anywhere/{FOLDER}/{name}", accept_encoding="br, gzip")
    assert status == 200
    assert gzip.decompress(body) == CONTENT
    assert told[b"content-encoding"] == b"gzip"
    assert told[b"cache-control"] == KEEP == b"public, max-age=31536000, immutable"
    assert int(told[b"content-length"]) == len(body) < len(CONTENT)
    assert asked(shelf, f"/{FOLDER}/{name}")[2] == CONTENT, "a reader that unpacks nothing gets it as it is"
    assert asked(shelf, f"/{FOLDER}/{name}", "HEAD")[2] == b""
    assert asked(shelf, f"/{FOLDER}/{name}", if_none_match=told[b"etag"].decode())[0] == 304


def test_the_name_is_the_contents():
    shelf = Shelf()
    first, again = (shelf.put("manifest.json", b"{}", "application/json") for _ in range(2))
    other = shelf.put("manifest.json", b"[]", "application/json")
    assert first == again != other
    packed = shelf.put_packed("decoder.onnx.gz", "ab" * 32, b"bytes")
    assert packed == f"{'ab' * 8}/decoder.onnx.gz"
    status, told, body = asked(shelf, f"/{FOLDER}/{packed}", accept_encoding="gzip")
    assert (status, body) == (200, b"bytes")
    assert b"content-encoding" not in told, "its reader unpacks it"


def test_other_paths_are_the_pages_and_unknown_files_are_not_kept():
    for path in ("/", f"/{FOLDER}/", f"/{FOLDER}/../config", f"/{FOLDER}/xyz/worker.js", f"/{FOLDER}/00/a/b"):
        with pytest.raises(LookupError):
            asked(Shelf(), path)
    with pytest.raises(LookupError):
        asked(Shelf(), f"/{FOLDER}/00/worker.js", "POST")
    status, told, body = asked(Shelf(), f"/{FOLDER}/00/worker.js")
    assert status == 404
    assert told[b"cache-control"] == b"no-store"
    assert b"load the page again" in body


def test_a_download_is_saved_under_its_name():
    file = Served("00/page.html", gzip.compress(b"<p>"), "text/html", True, "page.html")
    assert dict(answer(file, {})[1])[b"content-disposition"] == b'attachment; filename="page.html"'


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="'meissonic' is drawn on the server only; in a browser: embedded, embedded-web"):
        Shelf().model("meissonic")


# -- what a page sends of a run that it made -------------------------------------------------------------------------------


def functions():
    return dict(zip(("files", "read", "told", "export", "page"), in_browser.functions(Handlers(), Shelf()), strict=True))


def told(function, data):
    return json.loads(function(data))


def sent(trace, verdict=None):
    data = base64.b64encode(trace.to_bytes()).decode()
    return {"traces": [data], "verdicts": [None if verdict is None else asdict(verdict)]}


def test_a_prompt_is_read_without_a_model():
    answer = told(functions()["read"], {"text": " a pink apple ", "edits": "", "model": "embedded"})
    assert answer["prompt"]["text"] == "a pink apple"
    assert [one["label"] for one in answer["prompt"]["subjects"]] == ["pink apple"]
    assert "zebra" in told(functions()["read"], {"text": "a zebra", "model": "embedded"})["error"]
    assert "server only" in told(functions()["read"], {"text": "a cat", "model": "meissonic"})["error"]


def test_a_run_that_is_sent_is_explained_and_not_kept():
    trace = make_trace(0, steps=6)
    count = len(trace.prompt.subjects)
    verdict = Verdict((True,) * count, (True,) * count, 0, True, (FoundObject("cat", "", 0.9, (0.0, 0.0, 0.5, 0.5)),), "a detector")
    answer = told(functions()["told"], sent(trace, verdict))
    assert set(answer["runs"][0]) == {"binding", "findings"}
    assert "--num-steps 6" in answer["command"]
    assert answer["query"]["prompt"] == trace.prompt.text
    file = told(functions()["export"], {**sent(trace, verdict), "kind": "still", "step": 2})
    assert base64.b64decode(file["data"]).startswith(b"\x89PNG")


def test_what_is_sent_is_not_trusted():
    trace = make_trace(0, steps=4)
    call = functions()["told"]
    good = sent(trace)
    cases = [
        (None, "an object with named values"),
        ({}, "1 to 6 trace files"),
        ({**good, "verdicts": []}, "1 to 6 trace files"),
        ({**good, "traces": [5]}, "more than"),
        ({**good, "traces": ["%%%"]}, "trace file 1 is damaged"),
        ({**good, "traces": [base64.b64encode(b"PK rubbish").decode()]}, ""),
        ({**good, "verdicts": [{"objects_found": "yes"}]}, "objects_found is 'yes'"),
        (sent(trace, Verdict((), (), 0, False)), "the verdict judges 0 objects"),
    ]
    for data, said in cases:
        answer = told(call, data)
        assert said in answer["error"], (data, answer)
        assert "Something went wrong" not in answer["error"], answer
