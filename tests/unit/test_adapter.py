"""The adapter: what must be so before a stage is imported."""

import subprocess
import sys

from conftest import ROOT


def test_numpy_comes_after_the_number_of_threads():
    """BLAS reads OPENBLAS_NUM_THREADS when numpy is imported; with another number sums may differ in the last bit."""
    code = "import sys, tag2mask.run.adapter; print({'numpy', 'torch', 'cv2'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
