"""Start-up: nothing is compiled in a container, where nothing can be kept of it."""

import re
from collections.abc import Iterator
from io import BytesIO

import pytest
from docker import DockerClient
from docker.errors import ContainerError

from tests.lib.containers import NewPair, Pair, exit_code, logs

pytestmark = pytest.mark.xdist_group("bytecode")
BARE = "FROM {}\nENV PYTHONDONTWRITEBYTECODE=1\nRUN find / -xdev -name '*.pyc' -delete"
VERBOSE = {"PYTHONVERBOSE": "1"}


def compiled(said: str) -> list[str]:
    """Return the sources that a verbose Python has compiled; the others had valid bytecode."""
    assert " matches " in said
    return re.findall(r"(?m)^# code object from '?(\S+\.py)'?$", said)


@pytest.fixture(scope="module")
def pair(new_pair: NewPair, docker_client: DockerClient, base_image: str) -> Iterator[Pair]:
    """Build the images on a base without bytecode, as docker-library's, and keep it so."""
    pair = new_pair(OUTPUT="json", MESSAGE=r"\x1b")
    bare = f"{pair.project}-bare"
    text = BytesIO(BARE.format(base_image).encode())
    docker_client.images.build(fileobj=text, tag=bare, rm=True, forcerm=True)
    pair.compose("build", f"--build-arg=PYTHON_IMAGE={bare}")
    for service in ("server", "client"):
        pair.override(service, environment=VERBOSE)
    with pair:
        yield pair


def test_nothing_is_compiled_at_a_start(pair: Pair) -> None:
    """Both programs and the health check find the bytecode of all that they import."""
    pair.start()

    assert exit_code(pair.client) == 0
    assert compiled(logs(pair.client).stderr) == []
    assert compiled(logs(pair.server).stderr) == []
    assert (
        compiled(pair.server.exec_run(["python3", "-m", "app.healthcheck"]).output.decode()) == []
    )


@pytest.mark.parametrize(
    "env", [{"SERVER_HOST": "localhost", "DEADLINE": "2"}, {"DEADLINE": "soon"}], ids=str
)
def test_nothing_is_compiled_for_a_failure(
    pair: Pair, docker_client: DockerClient, env: dict[str, str]
) -> None:
    """A client that looks a name up without success, or refuses a value, imports nothing else."""
    image = f"{pair.project}-client"
    options = {"environment": VERBOSE | env, "network_mode": "none", "remove": True}
    with pytest.raises(ContainerError) as caught:
        docker_client.containers.run(image, read_only=True, **options)

    assert compiled(caught.value.stderr.decode()) == []
