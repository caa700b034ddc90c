"""`samebits registry serve` as people run it: processes that are killed, several on one folder, logins and TLS."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import re
import resource
import signal
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from registries.digest import Digest
from registries.kinds.layout import Layout, LayoutRegistry
from registries.manifest import EMPTY, EMPTY_CONTENT, OCI_MANIFEST
from registries.strict_json import dumps
from tests.e2e.shop import COMMAND
from tests.unit.registries.test_access import FILE
from tests.unit.registries.test_serving import certificate

ROUNDS = 6
WRITERS = 4
REPOSITORY = "team/image"


@dataclass
class Server:
    """One process that serves the folder, at a port that stays its own."""

    root: Path
    options: tuple[str, ...] = ()
    url: str = "127.0.0.1:0"
    said: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        address = self.url.rpartition("/")[2]
        command = [*COMMAND, "registry", "serve", "--root", str(self.root), "--address", address, *self.options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.fullmatch(r"serving .* on (https?://\S+)\n", line):
                self.url = found[1]
                return
        pytest.fail(f"it did not start: {self.said}")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.communicate(timeout=30)
            self.process = None


@contextlib.contextmanager
def running(root: Path, *options: str) -> Iterator[Server]:
    server = Server(root, options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@dataclass
class Writer(threading.Thread):
    """Pushes images and what refers to them, to one server after the other, and remembers what was acknowledged."""

    number: int
    servers: tuple[Server, ...]
    subject: Digest
    stop: threading.Event
    tags: dict[str, str] = field(default_factory=dict)
    referrers: list[str] = field(default_factory=list)
    blobs: list[str] = field(default_factory=list)
    cut: int = 0

    def __post_init__(self) -> None:
        super().__init__(name=f"writer {self.number}")

    def __hash__(self) -> int:
        return self.number

    def run(self) -> None:
        step = 0
        while not self.stop.is_set():
            step += 1
            server = self.servers[(self.number + step) % len(self.servers)]
            with contextlib.suppress(requests.RequestException), requests.Session() as session:
                self.cut += 1
                self._push(session, f"{server.url}/v2/{REPOSITORY}", step)
                self.cut -= 1

    def _push(self, session: requests.Session, url: str, step: int) -> None:
        layer = random.Random(f"{self.number} {step}").randbytes(200_000)  # noqa: S311
        digest = Digest.of(layer)
        location = session.post(f"{url}/blobs/uploads/", timeout=20).headers["Location"]
        upload = url.partition("/v2/")[0] + location
        for start in range(0, len(layer), 70_000):
            assert session.patch(upload, layer[start : start + 70_000], timeout=20).status_code == 202
        if session.put(f"{upload}?digest={digest}", timeout=20).status_code == 201:
            self.blobs.append(str(digest))
        entry = {"mediaType": "application/octet-stream", "digest": str(digest), "size": len(layer)}
        tag = f"v{self.number}-{step % 7}"
        if pushed := self._manifest(session, f"{url}/manifests/{tag}", layers=[entry]):
            self.tags[tag] = pushed
        subject = {"mediaType": OCI_MANIFEST, "digest": str(self.subject), "size": 2}
        note = {"writer": f"{self.number} {step}"}
        if pushed := self._manifest(session, f"{url}/manifests/", subject=subject, layers=[], annotations=note):
            self.referrers.append(pushed)

    def _manifest(self, session: requests.Session, url: str, **fields: Any) -> str | None:
        content = dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": EMPTY.json(), **fields})
        digest = str(Digest.of(content))
        target = url + digest if url.endswith("/") else url
        answer = session.put(target, content, headers={"Content-Type": OCI_MANIFEST}, timeout=20)
        assert answer.status_code == 201, answer.text
        return digest


def check_files(root: Path) -> None:
    """At any moment, whoever writes: what has its final name is whole, and the layout can be read."""
    layout = root / REPOSITORY / "_oci"
    for path in (layout / "blobs" / "sha256").iterdir():
        assert Digest.of(path.read_bytes()).hex == path.name
    registry = LayoutRegistry(layout)
    for tag in registry.tags(""):
        manifest = registry.manifest("", registry.resolve("", tag))
        assert all(registry.holds("", descriptor) for descriptor in manifest.blobs)


def check_kept(url: str, writers: list[Writer]) -> None:
    """Whatever was acknowledged is there. A writer's last tag may have moved on before it heard so."""
    base = f"{url}/v2/{REPOSITORY}"
    referrers = requests.get(f"{base}/referrers/{writers[0].subject}", timeout=20).json()["manifests"]
    listed = {entry["digest"] for entry in referrers}
    for writer in writers:
        assert set(writer.referrers) <= listed
        for digest in writer.blobs:
            assert requests.head(f"{base}/blobs/{digest}", timeout=20).status_code == 200
        for digest in writer.tags.values():
            assert requests.head(f"{base}/manifests/{digest}", timeout=20).status_code == 200
        tags = requests.get(f"{base}/tags/list", timeout=20).json()["tags"]
        assert set(writer.tags) <= set(tags)


def test_t131_two_servers_on_one_folder_lose_nothing_when_one_is_killed_again_and_again(tmp_path: Path) -> None:
    moments = random.Random(131)  # noqa: S311
    stop = threading.Event()
    with running(tmp_path) as killed, running(tmp_path) as other:
        post = f"{other.url}/v2/{REPOSITORY}/blobs/uploads/?digest={EMPTY.digest}"
        assert requests.post(post, EMPTY_CONTENT, timeout=20).status_code == 201
        writers = [Writer(number, (killed, other), Digest.of(b"subject"), stop) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        try:
            for _ in range(ROUNDS):
                time.sleep(moments.uniform(0.02, 0.3))
                killed.kill()
                check_files(tmp_path)
                killed.start()
        finally:
            stop.set()
            for writer in writers:
                writer.join(60)
        assert not any(writer.is_alive() for writer in writers)
        for server in (killed, other):
            check_kept(server.url, writers)
        killed.kill()
        other.kill()
        check_files(tmp_path)
        other.start()
        check_kept(other.url, writers)
    assert sum(writer.cut for writer in writers) > 0, "no kill hit a request"
    assert sum(len(writer.referrers) for writer in writers) > ROUNDS
    layout = Layout(tmp_path / REPOSITORY / "_oci")
    layout.uploads.clean(time.time() + 1)
    assert list(layout.uploads.folder.iterdir()) == []


def test_an_upload_goes_on_at_another_server_of_the_folder(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    digest = Digest.of(content, "sha512")
    with running(tmp_path) as first, running(tmp_path) as second:
        location = requests.post(f"{first.url}/v2/a/b/blobs/uploads/", timeout=20).headers["Location"]
        for number, server in enumerate((first, second, first)):
            part = content[number * 100_000 : (number + 1) * 100_000]
            assert requests.patch(server.url + location, part, timeout=20).status_code == 202
        assert requests.put(f"{second.url}{location}?digest={digest}", timeout=20).status_code == 201
        assert requests.get(f"{first.url}/v2/a/b/blobs/{digest}", timeout=20).content == content


def test_a_disk_that_takes_no_more_is_an_error_and_the_upload_can_be_finished_later(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    with running(tmp_path) as server:
        assert server.process is not None
        largest_file = server.process.pid, resource.RLIMIT_FSIZE
        _, most = resource.prlimit(*largest_file)
        resource.prlimit(*largest_file, (1_500_000, most))
        location = requests.post(f"{server.url}/v2/a/b/blobs/uploads/", timeout=20).headers["Location"]
        answer = requests.patch(server.url + location, content, timeout=20)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (500, "UNKNOWN")
        resource.prlimit(*largest_file, (most, most))
        kept = int(requests.get(server.url + location, timeout=20).headers["Range"].removeprefix("0-")) + 1
        assert 0 < kept <= 1_500_000
        rest = {"Content-Range": f"{kept}-{len(content) - 1}"}
        url = f"{server.url}{location}?digest={Digest.of(content)}"
        assert requests.put(url, content[kept:], headers=rest, timeout=20).status_code == 201


def test_a_registry_with_logins_and_tls(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    (tmp_path / "logins").write_bytes(FILE)
    options = ("--htpasswd", str(tmp_path / "logins"), "--tls-cert", str(tls.certificate), "--tls-key", str(tls.key))
    with running(tmp_path / "root", *options) as server:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(tls.certificate))
        request = urllib.request.Request(f"{server.url}/v2/")  # noqa: S310
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, context=context, timeout=20)  # noqa: S310
        assert refused.value.code == 401
        refused.value.close()
        request.add_header("Authorization", "Basic " + base64.b64encode(b"alice:Hello world!").decode())
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:  # noqa: S310
            assert json.loads(answer.read()) == {}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--address", "nowhere"], "usage"),
        (["--tls-key", "k"], "usage"),
        (["--tls-cert", "c"], "usage"),
        (["--tls-cert", "c", "--tls-key", "k"], "file-unreadable"),
        (["--anonymous-pull"], "usage"),
        (["--htpasswd", "absent"], "file-unreadable"),
        (["--htpasswd", "bcrypt"], "logins-unsupported"),
        (["--htpasswd", "large"], "logins-malformed"),
        (["--htpasswd", "logins", "--address", "0.0.0.0:0"], "password-exposed"),
        (["--htpasswd", "logins", "--address", "[::]:0"], "password-exposed"),
    ],
)
def test_what_can_not_be_meant_or_would_be_unsafe_is_refused_at_the_start(
    tmp_path: Path, options: list[str], code: str
) -> None:
    (tmp_path / "logins").write_bytes(FILE)
    (tmp_path / "bcrypt").write_bytes(b"alice:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n")
    (tmp_path / "large").write_bytes(b"#" * ((1 << 20) + 1))
    command = [*COMMAND, "registry", "serve", "--root", "root", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, re.findall(r"\[([a-z-]+)\]$", done.stderr, re.MULTILINE)[:1]) == (2, [code]), done.stderr


def test_an_open_registry_on_the_network_says_that_it_is_one(tmp_path: Path) -> None:
    server = Server(tmp_path, url="0.0.0.0:0")
    try:
        server.start()
        assert any("everybody who can reach 0.0.0.0:0 may push and delete" in line for line in server.said)
    finally:
        server.kill(signal.SIGTERM)
