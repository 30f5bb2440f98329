"""Build what other projects can use: one file that runs wherever Python is, and a wheel."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile, ZipInfo

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
# zipapp's own -m throws the exit code away.
MAIN = "import sys\n\nfrom tcp_pair.__main__ import main\n\nsys.exit(main())\n"


def build_pyz(target: Path) -> None:
    """Write the one file, whose bytes depend on the sources alone.

    Neither on their modes and times, as zipapp's do, nor on this Python's compression.
    """
    files = {f"tcp_pair/{path.name}": path.read_bytes() for path in (ROOT / "app").glob("*.py")}
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with ZipFile(file, "w") as archive:
            for name, data in sorted({"__main__.py": MAIN.encode(), **files}.items()):
                member = ZipInfo(name)  # of 1980
                member.external_attr = 0o644 << 16
                archive.writestr(member, data)
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
