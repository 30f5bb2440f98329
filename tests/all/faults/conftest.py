"""Run these tests on this host if it has strace, else in an image."""

import shutil

collect_ignore = ["test_in_image.py" if shutil.which("strace") else "test_faults.py"]
