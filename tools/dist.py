"""Build the one file that runs wherever Python is."""

import sys
from pathlib import Path
from zipfile import ZipFile, ZipInfo

APP = Path(__file__).parents[1] / "app"
# zipapp's own -m throws the exit code away.
MAIN = "import sys\n\nfrom tcp_pair.__main__ import main\n\nsys.exit(main())\n"


def build_pyz(target: Path) -> None:
    """Write the one file, whose bytes depend on the sources alone.

    Neither on their modes and times, as zipapp's do, nor on this Python's compression.
    """
    files = {f"tcp_pair/{path.name}": path.read_bytes() for path in APP.glob("*.py")}
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with ZipFile(file, "w") as archive:
            for name, data in sorted({"__main__.py": MAIN.encode(), **files}.items()):
                archive.writestr(ZipInfo(name), data)  # of 1980
    target.chmod(0o755)


if __name__ == "__main__":
    build_pyz(Path(sys.argv[1]))
