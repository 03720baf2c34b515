"""A full disk, an impossible results folder: one sentence, nothing half-written that looks whole."""

FULL_DISK = """
import os, zipfile
real = zipfile.ZipFile.writestr
def writestr(self, info, *args, **kwargs):
    if "transfer" in str(self.filename):
        raise OSError(28, "No space left on device", str(self.filename))
    return real(self, info, *args, **kwargs)
zipfile.ZipFile.writestr = writestr
"""


def test_no_space_left_in_a_run(tiny_copy, tmp_path_factory):
    """The store of `transfer` cannot be written; the same command with room goes on from there."""
    before = tiny_copy.digests()
    patched = tmp_path_factory.mktemp("patched")
    (patched / "sitecustomize.py").write_text(FULL_DISK)
    target = "results/tiny/transfer/default/0000.zarr.zip"
    output = tiny_copy.run("--force", target, env={"PYTHONPATH": str(patched)}, ok=False)
    assert "No space left on device" in output and "make room" in output
    assert not (tiny_copy.folder / target).exists()
    assert not list((tiny_copy.folder / "results/tiny/transfer").rglob("*.part"))
    tiny_copy.run(target)
    assert tiny_copy.digests() == before
