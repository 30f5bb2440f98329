"""Print the resident memory, in KiB, of Python with socket imported, and of the server at rest.

Stands alone, because it runs in the server's image too:
``docker run … python3 - app.server <bench/rest.py``.
"""

import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = {**os.environ, "HOST": "127.0.0.1", "PORT": "0"}


def resident(*arguments: str) -> int:
    """Return what a Python uses that has written its first line to stderr, and waits."""
    command = [sys.executable, "-S", *arguments]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        process.stderr.readline()
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        process.kill()
    return int(rollup.partition("\nRss:")[2].split()[0])


waiting = "import os, socket; os.write(2, b'ready\\n'); os.read(0, 1)"
print(resident("-c", waiting), resident("-m", sys.argv[1]))
