"""What Git makes of the project's files on other machines."""

import shutil
import subprocess
from pathlib import Path

from tests.lib.support import ROOT


def test_scripts_have_the_ends_of_lines_that_they_need(tmp_path: Path) -> None:
    """A script is checked out with LF where Git is set up to give CRLF, as on Windows."""
    for name in (".gitattributes", ".ci/run"):
        shutil.copy(ROOT / name, tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "core.autocrlf=true"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    (tmp_path / "run").unlink()

    subprocess.run([*git, "checkout", "--quiet", "."], check=True)

    assert b"\r" not in (tmp_path / "run").read_bytes()
