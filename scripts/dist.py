"""Build what other projects can use: one file that runs wherever Python is, and a wheel."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipapp
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
# zipapp's own -m throws the exit code away.
MAIN = "import sys\n\nfrom tcp_pair.__main__ import main\n\nsys.exit(main())\n"
RELEASED = 1577836800  # 2020: the same sources make the same file, byte for byte


def build_pyz(target: Path) -> None:
    """Write the one file."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "tcp_pair")
        shutil.copytree(ROOT / "app", package, ignore=shutil.ignore_patterns("__pycache__"))
        Path(folder, "__main__.py").write_text(MAIN)
        for path in Path(folder).rglob("*"):
            os.utime(path, (RELEASED, RELEASED))
        python = "/usr/bin/env python3"
        zipapp.create_archive(folder, target, interpreter=python, compressed=True)
    target.chmod(0o755)


def build_wheel(folder: Path) -> None:
    """Write the wheel into a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL, check=True)


def main() -> None:
    """Build both, and show their checksums."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    build_pyz(DIST / "tcp-pair.pyz")
    build_wheel(DIST)
    for path in sorted(DIST.iterdir()):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
