"""An object store on loopback that speaks as much of S3 as s3fs asks for: list, get, put, delete, of one access key."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

KEY = "ours"
_XML = '<?xml version="1.0" encoding="UTF-8"?>'


class ObjectStore:
    """What the buckets hold, and what was asked of them.

    Attributes
    ----------
    buckets
        Bytes by key, by name of the bucket.
    cut
        How many of the next puts lose their connection in the middle.
    """

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, bytes]] = {"bucket": {}}
        self.cut = 0
        self.lock = threading.Lock()

    def keys(self, start: str) -> list[str]:
        """Return the keys of the bucket that begin so, in order."""
        with self.lock:
            return sorted(key for key in self.buckets["bucket"] if key.startswith(start))


class _Server(ThreadingHTTPServer):
    def __init__(self, store: ObjectStore) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store


@contextmanager
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """Yield an object store that this process and those it starts find by their environment."""
    store = ObjectStore()
    server = _Server(store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told = {
        "ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "ACCESS_KEY_ID": KEY,
        "SECRET_ACCESS_KEY": "secret",
        "DEFAULT_REGION": "us-east-1",
        "MAX_ATTEMPTS": "1",
        "CONFIG_FILE": "/dev/null",
    }
    for name, value in told.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    forget_connections()
    try:
        yield store
    finally:
        forget_connections()
        server.shutdown()
        thread.join()
        server.server_close()


def forget_connections() -> None:
    """Have s3fs look at the environment again."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """List a bucket, or send what lies under a key."""
        asked = self._asked()
        if asked is None:
            return
        bucket, key = asked
        with self.server.store.lock:
            held = dict(bucket)
        if not key:
            self._answer(200, _listed(held, parse_qs(urlsplit(self.path).query, keep_blank_values=True)))
        elif key in held:
            self._answer(200, held[key])
        else:
            self._refuse(404, "NoSuchKey")

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self.do_GET()

    def do_PUT(self) -> None:
        """Put bytes under a key, if all of them came."""
        length, store = int(self.headers["Content-Length"]), self.server.store
        if store.cut and "part-" in self.path:
            store.cut -= 1
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        data = self.rfile.read(length)
        asked = self._asked()
        if asked is not None:
            with store.lock:
                asked[0][asked[1]] = data
            self._answer(200)

    def _asked(self) -> tuple[dict[str, bytes], str] | None:
        """Return bucket and key; None where it was refused."""
        name, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        if f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
            self._refuse(403, "AccessDenied")
        elif name not in self.server.store.buckets and self.command == "PUT" and not key:
            self.server.store.buckets[name] = {}
            self._answer(200)
        elif name not in self.server.store.buckets:
            self._refuse(404, "NoSuchBucket")
        else:
            return self.server.store.buckets[name], key
        return None

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Fri, 27 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", '"0"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"{_XML}<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())


def _listed(held: dict[str, bytes], query: dict[str, list[str]]) -> bytes:
    """Return a list of keys; what lies behind the delimiter is told as a folder."""
    prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", ["\n"])[0] or "\n"
    files, folders = [], set()
    for key in sorted(key for key in held if key.startswith(prefix)):
        name, more, _ = key[len(prefix) :].partition(delimiter)
        if more:
            folders.add(f"{prefix}{name}{more}")
        else:
            files.append(key)
    told = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(held[key])}</Size><ETag>0</ETag>"
        "<LastModified>2026-11-27T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
        for key in files
    )
    told += "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in sorted(folders))
    head = f"<KeyCount>{len(files) + len(folders)}</KeyCount><IsTruncated>false</IsTruncated>"
    return f"{_XML}<ListBucketResult>{head}{told}</ListBucketResult>".encode()
