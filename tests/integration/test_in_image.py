"""`samebits step … --in-image` runs its command inside exactly the image that was admitted, in a real Docker engine."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from attestations.records.step import InImage
from pipeline.inside import Inside
from pipeline.places import Image
from pipeline.running import Ended
from registries.container import Program, run_in_image
from registries.digest import Digest
from registries.engine import engine
from registries.errors import ContentError
from stages.duration import Duration
from tests import peers
from tests.e2e.shop import COMMAND, SECONDS, Shop, opened

pytestmark = pytest.mark.peer

_NAME = "shop/api:1.0"


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """A Docker engine with one image in it, which holds a shell and nothing else."""
    with peers.dockerd() as socket:
        host = f"unix://{socket}"
        client = docker.DockerClient(base_url=host)
        try:
            client.images.build(fileobj=_context(), custom_context=True, rm=True, tag=_NAME)
            yield host
        finally:
            client.close()


@pytest.fixture(scope="module")
def shop(host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop whose image was taken from that engine and admitted to build."""
    with opened(tmp_path_factory.mktemp("shop")) as shop:
        ended = shop.run("promote", "build", f"docker:{_NAME}", key="ci-build", env={"DOCKER_HOST": host})
        assert ended.code == 0, ended.stderr
        yield shop


def _context() -> io.BytesIO:
    """This machine's shell with the libraries that it needs, and a user who may do little."""
    needed = re.findall(
        r"(/\S+)", subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    )
    files = {path: Path(path).resolve().read_bytes() for path in ("/bin/sh", *needed) if Path(path).exists()}
    copied = "".join(f"COPY {path.lstrip('/')} {path}\n" for path in files)
    files["/Dockerfile"] = f'FROM scratch\n{copied}USER 1000\nENTRYPOINT ["/bin/false"]\n'.encode()
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    target.seek(0)
    return target


@dataclass(frozen=True, slots=True)
class Box:
    """The admitted image, for scripts of a shell inside it."""

    shop: Shop
    host: str
    folder: Path

    @property
    def image(self) -> Image:
        place = self.shop.workshop.place("build")
        return Image(digest=place.registry.resolve(place.repository, "1.0"), tag=None, place=place)

    def run(
        self, script: str, *, writable: bool = False, network: bool = False, timeout: str = "1m"
    ) -> tuple[Ended, str]:
        """How a script ended, and what it printed."""
        how = InImage(network=network, writable=writable)
        with (self.folder / "printed").open("w+b") as printed:
            outside, limit = {"DOCKER_HOST": self.host, "MINE": "kept"}, Duration.parse(timeout)
            run = Inside(image=self.image, timeout=limit, outside=outside, shown=printed.fileno())
            ended = run(("/bin/sh", "-c", script), {"SAMEBITS_STEP": "unit"}, how)
            return ended, Path(printed.name).read_text()


@pytest.fixture
def box(shop: Shop, host: str, tmp_path: Path) -> Box:
    return Box(shop, host, tmp_path)


def test_a_step_runs_inside_the_admitted_image_and_is_recorded(shop: Shop, host: str) -> None:
    report = shop.write("unit.xml", '<testsuite tests="1"><testcase name="a"/></testsuite>')
    words = ("step", "build", "unit", "1.0", f"--report=junit={report}", "-o", "json", "--in-image")

    ended = shop.run(*words, "--", "/bin/sh", "-c", "echo inside; exit 0", key="ci-build", env={"DOCKER_HOST": host})
    failed = shop.run(*words, "--", "/bin/sh", "-c", "exit 3", key="ci-build", env={"DOCKER_HOST": host})

    assert (ended.code, ended.result["verdict"], ended.result["exitCode"]) == (0, "passed", 0), ended.stderr
    assert "inside" in ended.stderr
    assert (failed.code, failed.reasons, failed.result["exitCode"]) == (3, ["step-not-passed"], 3), failed.stderr


def test_it_sees_the_images_own_files_and_nothing_of_this_machine(box: Box) -> None:
    ended, printed = box.run(f"[ -e {box.folder} ] && echo seen; [ -e /bin/ls ] && echo tools; export")

    assert ended.exit_code == 0
    assert "seen" not in printed
    assert "tools" not in printed
    names = set(re.findall(r"^export (\w+)", printed, re.MULTILINE))
    assert names <= {"HOME", "HOSTNAME", "PATH", "PWD", "OLDPWD", "SAMEBITS_STEP"}
    assert "SAMEBITS_STEP" in names


def test_it_has_no_network_and_no_rights(box: Box) -> None:
    ended, printed = box.run('while read -r line; do echo "$line"; done < /proc/net/dev')
    _, status = box.run('while read -r name value; do echo "$name$value"; done < /proc/self/status')

    assert re.findall(r"^(\w+):", printed, re.MULTILINE) == ["lo"]
    assert ended.stdout.digest == Digest.of(printed.encode())
    assert "CapBnd:0000000000000000" in status
    assert "NoNewPrivs:1" in status


def test_its_root_can_be_written_to_only_where_that_is_said(box: Box) -> None:
    script = 'while read -r a b c options d; do [ "$c" = / ] || [ "$b" = / ] && echo "$options"; done < /proc/mounts'

    _, strict = box.run(script)
    _, loose = box.run(script, writable=True)

    assert strict.startswith("ro,"), strict
    assert loose.startswith("rw,"), loose


def test_a_command_that_hangs_is_ended_and_its_container_is_gone(box: Box) -> None:
    ended, _ = box.run("while :; do :; done", timeout="2s")

    assert "time that it may take" in ended.why
    assert ended.exit_code == 137
    with engine({"DOCKER_HOST": box.host}, where="test") as client:
        assert client.containers.list(all=True) == []


def test_an_engine_that_holds_another_image_is_refused_before_anything_runs(box: Box) -> None:
    program = Program(arguments=("/bin/sh",), environment={}, network=False, writable=False, seconds=20)
    with engine({"DOCKER_HOST": box.host}, where="test") as client, pytest.raises(ContentError) as refused:
        run_in_image(client, str(box.image), program, known=[Digest.of(b"another")], printed=lambda *_: True)
    assert refused.value.code == "digest-mismatch"


def test_a_command_that_the_image_does_not_have_is_refused(shop: Shop, host: str) -> None:
    report = shop.write("unit.xml", '<testsuite tests="1"><testcase name="a"/></testsuite>')
    words = ("step", "build", "unit", "1.0", f"--report=junit={report}", "--in-image", "--", "/no/such/program")

    ended = shop.run(*words, key="ci-build", env={"DOCKER_HOST": host})

    assert (ended.code, ended.reasons) == (2, ["step-command-missing"])


def test_without_an_engine_nothing_is_recorded(shop: Shop, host: str) -> None:
    report = shop.write("unit.xml", '<testsuite tests="1"><testcase name="a"/></testsuite>')
    words = ("step", "build", "unit", "1.0", f"--report=junit={report}", "--in-image", "--", "/bin/sh")

    ended = shop.run(*words, key="ci-build", env={"DOCKER_HOST": f"{host}.gone"})

    assert (ended.code, ended.reasons) == (7, ["docker-unavailable"])


def _running(client: docker.DockerClient) -> Container:
    for _ in range(SECONDS * 20):
        if found := client.containers.list():
            return found[0]
        time.sleep(0.05)
    raise TimeoutError


def test_a_signal_ends_the_container_and_records_nothing(shop: Shop, host: str) -> None:
    report = shop.write("unit.xml", '<testsuite tests="1"><testcase name="a"/></testsuite>')
    words = ("step", "build", "unit", "1.0", f"--report=junit={report}", "--key", "keys/ci-build.key", "--in-image")
    before = shop.run("audit", "1.0", "--stage", "build", "-o", "json").result["stages"]
    command = [*COMMAND, *words, "--", "/bin/sh", "-c", "while :; do :; done"]
    with engine({"DOCKER_HOST": host}, where="test") as client:
        with subprocess.Popen(
            command, cwd=shop.folder, env=shop.surroundings({"DOCKER_HOST": host}), stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                running = _running(client)
                assert running.attrs["HostConfig"]["NetworkMode"] == "none"
                process.send_signal(signal.SIGTERM)
                _, stderr = process.communicate(timeout=SECONDS)
            finally:
                process.kill()
        assert (process.returncode, "[run-interrupted]" in stderr) == (143, True), stderr
        assert client.containers.list(all=True) == []
    assert shop.run("audit", "1.0", "--stage", "build", "-o", "json").result["stages"] == before
