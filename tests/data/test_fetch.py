"""Fetching from a server on this machine."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edgekd.core.errors import UnreachableError
from edgekd.data.fetch import fetch

CONTENT = b"content" * 50_000


class _Server(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        type(self).asked += 1
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/silent":
            threading.Event().wait(2)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: 1000 if self.path == "/cut" else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


RIGHT = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_with_the_right_checksum_is_kept_and_not_fetched_again(address, tmp_path):
    path = tmp_path / "cache" / "file"
    fetch(f"{address}/file", path, sha256=RIGHT, timeout_s=5.0)
    asked = _Server.asked
    assert fetch(f"{address}/file", path, sha256=RIGHT, timeout_s=5.0).read_bytes() == CONTENT
    assert _Server.asked == asked


@pytest.mark.parametrize(
    ("what", "checksum", "says"),
    [
        ("file", "0" * 64, "nothing of it was kept"),
        ("missing", RIGHT, "404"),
        ("cut", RIGHT, "nothing of it was kept|could not be fetched"),
        ("silent", RIGHT, "timed out"),
    ],
)
def test_of_anything_else_nothing_is_kept(address, tmp_path, what, checksum, says):
    with pytest.raises(UnreachableError, match=says) as error:
        fetch(f"{address}/{what}", tmp_path / "file", sha256=checksum, timeout_s=0.3)
    assert "mirror:" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UnreachableError, match=r"http://127.0.0.1:1/file could not be fetched"):
        fetch("http://127.0.0.1:1/file", tmp_path / "file", sha256=RIGHT, timeout_s=1.0)
