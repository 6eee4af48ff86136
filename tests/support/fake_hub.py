"""A Hugging Face Hub on loopback: as much of its protocol as a pull needs."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee0123456789c0ffee0123456789c0ffee01"


@dataclass
class FakeHub:
    """Repositories that all have the same branches.

    Attributes:
        repositories: Folder of each "org/name".
        commits: Commit of each branch.
        requests: Method and path of every request, such as "GET /org/name/resolve/...".
        corrupted: Files whose content arrives changed.
        gated: Repositories whose licence nobody accepted.
        address: URL of the server, while it runs.
    """

    repositories: dict[str, Path]
    commits: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    requests: list[str] = field(default_factory=list)
    corrupted: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    address: str = ""

    def sent_files(self) -> list[str]:
        """Names of the files whose content was sent."""
        sent = [r for r in self.requests if r.startswith("GET /") and "/resolve/" in r]
        return sorted({request.split("/", 5)[-1] for request in sent})


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve a hub from a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, format: str, *args: object) -> None:
            return

        def _answer(self, *, body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                repo, what, revision = "/".join(parts[2:4]), parts[4], parts[5]
                self._send_json(self._listing(repo, what, revision), body=body)
            elif len(parts) > 4 and parts[2] == "resolve":
                self._send_file("/".join(parts[:2]), "/".join(parts[4:]), body=body)
            else:
                self._send_json((404, {}), body=body)

        def _listing(self, repo: str, what: str, revision: str) -> tuple[int, object]:
            if repo in hub.gated:
                return 403, {"error": "GatedRepo"}
            if repo not in hub.repositories:
                return 404, {"error": "RepoNotFound"}
            commit = hub.commits.get(revision, revision)
            if commit not in hub.commits.values():
                return 404, {"error": "RevisionNotFound"}
            if what == "revision":
                return 200, {"id": repo, "sha": commit, "siblings": []}
            folder = hub.repositories[repo]
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            return 200, [_entry(path, folder) for path in files]

        def _send_json(self, answer: tuple[int, object], *, body: bool) -> None:
            code, content = answer
            data = json.dumps(content).encode()
            self.send_response(code)
            if isinstance(content, dict) and "error" in content:
                self.send_header("X-Error-Code", content["error"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def _send_file(self, repo: str, name: str, *, body: bool) -> None:
            data = (hub.repositories[repo] / name).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            if name in hub.corrupted:
                data = data[:-1] + bytes([data[-1] ^ 1])
            self.send_response(200)
            self.send_header("ETag", f'"{digest}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _entry(path: Path, folder: Path) -> dict[str, object]:
    data = path.read_bytes()
    entry: dict[str, object] = {
        "type": "file",
        "path": path.relative_to(folder).as_posix(),
        "size": len(data),
        "oid": hashlib.sha1(data).hexdigest(),
    }
    if path.suffix in {".safetensors", ".bin", ".ckpt"}:
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
    return entry


def run_against(
    hub: FakeHub, models: Path, home: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run `restored models ...` against a hub, in a process of its own.

    Args:
        hub: The hub, being served.
        models: The models folder.
        home: Folder of huggingface_hub's own cache.
        arguments: What follows `restored models`.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "RESTORED_"))}
    environment = kept | {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(home),
        "RESTORED_MODELS_DIR": str(models),
        "no_proxy": "127.0.0.1",
    }
    command = [sys.executable, "-m", "daemon", "models", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
