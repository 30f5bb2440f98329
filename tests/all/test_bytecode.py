"""Start-up: a container compiles nothing, because it could not save the bytecode."""

import re
from io import BytesIO

import pytest
from docker import DockerClient
from docker.errors import ContainerError

from tests.lib.containers import NewPair, exit_code, log_of

BARE = "FROM {}\nENV PYTHONDONTWRITEBYTECODE=1\nRUN find / -xdev -name '*.pyc' -delete"
VERBOSE = {"PYTHONVERBOSE": "1"}
# A client that looks a name up and fails, and a client with a bad value.
FAILING = ({"SERVER_HOST": "localhost", "DEADLINE": "2"}, {"DEADLINE": "soon"})


def test_nothing_is_compiled_at_a_start(
    new_pair: NewPair, docker_client: DockerClient, base_image: str
) -> None:
    """An image has the bytecode of every imported module, even if its base image has none."""
    override = {name: {"environment": VERBOSE} for name in ("server", "client")}
    pair = new_pair(override, OUTPUT="json", MESSAGE=r"\x1b")
    bare, image = f"{pair.folder.name}-bare", f"{pair.folder.name}-client"
    text = BytesIO(BARE.format(base_image).encode())
    docker_client.images.build(fileobj=text, tag=bare, rm=True, forcerm=True)
    pair.compose("build", f"--build-arg=PYTHON_IMAGE={bare}")
    pair.compose("up", "--detach")

    assert exit_code(pair.client) == 0
    check = pair.server.exec_run(["python3", "-m", "app.healthcheck"]).output.decode()
    said = [log_of(pair.client), log_of(pair.server), check]
    for env in FAILING:
        options = {"environment": VERBOSE | env, "network_mode": "none", "remove": True}
        with pytest.raises(ContainerError) as caught:
            docker_client.containers.run(image, read_only=True, **options)
        said.append(caught.value.stderr.decode())
    for each in said:
        assert " matches " in each  # other sources had valid bytecode
        assert not re.findall(r"(?m)^# code object from '?(\S+\.py)'?$", each)
