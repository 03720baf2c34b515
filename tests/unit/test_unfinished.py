"""What a killed job was to make is found by Snakemake's markers, whoever needs it."""

from base64 import urlsafe_b64encode

import yaml
from conftest import ROOT, TINY
from snakemake.utils import update_config

from tag2mask.run.plan import Plan
from tag2mask.run.unfinished import lost, sentence


def test_marked_files_that_are_not_there_and_are_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {}
    for path in (ROOT / "config/recipes.yaml", TINY):
        update_config(values, yaml.safe_load(path.read_text()))
    plan, out = Plan.load({**values, "show": ["transfer"]}), "results/tiny"
    names = {
        f"{out}/classifier/pam/weights.pt": True, f"{out}/cim/default/weights.pt": False,  # no shown recipe reads it
        f"{out}/refine/transfer/weights.pt": True, f"{out}/images/default/index.zarr.zip": True,
        f"{out}/cam/plain/0000.cam.zarr.zip": False, "elsewhere/weights.pt": False,
    }  # fmt: skip
    (tmp_path / f"{out}/cam/plain").mkdir(parents=True)
    (tmp_path / f"{out}/cam/plain/0000.cam.zarr.zip").write_text("there")
    folder = tmp_path / ".snakemake/incomplete"
    folder.mkdir(parents=True)
    for name in names:
        marker = urlsafe_b64encode(name.encode()).decode()
        path = folder / marker
        if "refine" in name:  # a long name is cut
            path = folder / f"@{marker[:20]}" / marker[20:]
            path.parent.mkdir()
        path.write_text("{}")
    (folder / "no marker").write_text("")
    assert lost(plan, out) == sorted(name for name, wanted in names.items() if wanted)
    assert lost(plan, out, tmp_path / "nowhere") == []
    assert sentence(["a", "b"]).endswith("add --forcerun a b once.")
