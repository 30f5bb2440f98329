"""Where these tests run: here if strace is here, else in an image."""

import shutil

collect_ignore = ["test_in_image.py" if shutil.which("strace") else "test_faults.py"]
