"""The bridge to detectron2: import this module before anything of detectron2. The only place that patches other code.

The registry's detectron2 is its Python files without the compiled part, and it is older than Pillow 10. Two gaps:
`detectron2._C` must exist as a module, and `PIL.Image.LINEAR` (an alias of BILINEAR) must have its old name back.
Mask R-CNN calls neither: its ROIAlign and NMS are torchvision's. With a full build of detectron2 and a Pillow that
has the name, both are left as they are.
"""

import importlib.machinery
import importlib.util
import sys
import types
import warnings

from PIL import Image

NAME = "detectron2._C"


class _Missing(types.ModuleType):
    """Stands in for detectron2's compiled part; every use says what is missing instead of failing obscurely."""

    def __getattr__(self, name):
        if name.startswith("__"):  # what the import system asks of any module
            raise AttributeError(name)
        raise ImportError(
            f"{NAME}.{name} needs the compiled part of detectron2, which this installation lacks; "
            "install a full build (conda-forge, or from source)"
        )


def _compiled():
    """Whether the installed detectron2 has its compiled part, found without importing detectron2."""
    package = importlib.util.find_spec("detectron2")
    if package is None:
        raise ImportError("detectron2 is not installed: `make test` or `make demo` install it (requirements.txt)")
    finder = importlib.machinery.FileFinder
    loader = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    return any(finder(path, loader).find_spec(NAME) for path in package.submodule_search_locations)


def bridge():
    """Close the two gaps where they are open, and count nothing for its log; calling it again changes nothing."""
    if NAME not in sys.modules and not _compiled():
        sys.modules[NAME] = _Missing(NAME)
    if not hasattr(Image, "LINEAR"):
        Image.LINEAR = Image.BILINEAR
    # detectron2 0.6 calls torch.meshgrid as torch had it then; every training would begin with that warning
    warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release")
    from detectron2.modeling.roi_heads import fast_rcnn

    # its accuracies of every step, which nobody reads here and a GPU is waited for
    fast_rcnn._log_classification_stats = lambda *_, **__: None


bridge()
