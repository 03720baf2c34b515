"""tag2mask review: doubt by hand, what the page holds, and the page used in a browser, wide and narrow."""

import json
import re

import numpy as np
import pytest
from browser import Browser
from PIL import Image

from stages.pseudo_labels import corrections
from stages.pseudo_labels.settle import settle
from tag2mask.cli import main
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.view.doubt import disagreement, doubts

SIZE = (40, 60)
CAT, DOG = 1, 2


def box(x, y, w, h):
    mask = np.zeros(SIZE, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def table(photos):
    """{image id: [(category, score, mask)]} as Instances."""
    builder = InstancesBuilder({CAT: "cat", DOG: "dog"})
    for name, found in photos.items():
        masks = np.stack([m for _, _, m in found]) if found else np.zeros((0, *SIZE), bool)
        builder.add(name, SIZE, masks, category=[c for c, _, _ in found], score=[s for _, s, _ in found])
    return builder.finish()


LABELS = {
    "a": [(CAT, 0.75, box(2, 2, 20, 20)), (DOG, 0.5, box(30, 5, 20, 20)), (CAT, 0.25, box(5, 28, 10, 8))],
    "b": [(CAT, 1.0, box(10, 10, 20, 20))],
    "c": [],
}
TAGS = {"a": (CAT, DOG), "b": (CAT,), "c": (CAT, DOG)}


def test_doubt_by_hand():
    found = doubts(table(LABELS), TAGS)
    assert [(d.missing, d.unsure, d.many, d.apart) for d in found] == [(0, 0.75, 1, 0), (0, 0, 0, 0), (1, 0, 0, 0)]
    assert [d.total for d in found] == [1.75, 0, 1] and found[2].untold == [CAT, DOG]
    half = doubts(table({"a": LABELS["b"]}), {"a": (CAT, DOG)})[0]
    assert half.missing == 0.5 and half.untold == [DOG]


def test_disagreement_by_hand():
    """Boxes of 100 pixels that share 50 (IoU 1/3); one more on the other side; another class meets nobody."""
    ours = table({"a": [(CAT, 1.0, box(0, 0, 10, 10))]})
    theirs = table({"a": [(CAT, 1.0, box(5, 0, 10, 10)), (CAT, 1.0, box(30, 20, 5, 5))]})
    assert disagreement(ours, 0, theirs, 0) == pytest.approx(1 - (1 / 3 + 1 / 3 + 0) / 3)
    assert disagreement(ours, 0, ours, 0) == 0
    assert disagreement(ours, 0, table({"a": [(DOG, 1.0, box(0, 0, 10, 10))]}), 0) == 1
    assert disagreement(table({"a": []}), 0, table({"a": []}), 0) == 0
    shared = doubts(ours, {}, [theirs, table({"z": []})])[0]  # the second does not have the photo
    assert shared.apart == pytest.approx(1 - 2 / 9)


@pytest.fixture
def labels(tmp_path):
    """The store of labels in a run with its index and photos."""
    (tmp_path / "photos").mkdir()
    for k, name in enumerate(LABELS):
        Image.new("RGB", SIZE[::-1], (90, 110 + 20 * k, 140)).save(tmp_path / "photos" / f"{name}.png")
    Index.build(
        tmp_path / "photos", {CAT: "cat", DOG: "dog"}, image_id=list(LABELS), path=[f"{n}.png" for n in LABELS],
        size=[SIZE] * 3, tags=list(TAGS.values()), train=[1, 1, 1],
    ).save(tmp_path / "images" / "default" / "index.zarr.zip")  # fmt: skip
    path = tmp_path / "pseudo_labels" / "transfer" / "labels.zarr"
    table(LABELS).save(path)
    return path


def content(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S).group(1))


def test_the_page_has_all_in_itself(labels, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["review", str(labels), str(page)]) == 0
    assert f"{page}: 3 of 3 photos" in capsys.readouterr().out
    text = page.read_text()
    assert "default-src 'none'" in text and not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    photos = content(page)["photos"]
    assert [photo["id"] for photo in photos] == ["a", "c", "b"]
    assert photos[0]["reasons"] == ["lowest score 0.25", "3 masks"] and photos[1]["reasons"] == ["no cat", "no dog"]
    assert photos[2]["masks"][0]["path"].count("L") == 3 and photos[2]["masks"][0]["area"] == 400
    assert main(["review", str(labels), str(page), "--most", "1", "--compare", str(labels)]) == 0
    assert "1 of 3 photos" in capsys.readouterr().out and "2 less doubtful photos" in page.read_text()


def test_names_cannot_end_the_script(labels, tmp_path):
    page, evil = tmp_path / "page.html", tmp_path / "pseudo_labels" / "evil" / "labels.zarr"
    table(LABELS).replaced(categories={CAT: "</script><b>", DOG: "dog"}).save(evil)
    assert main(["review", str(evil), str(page)]) == 0
    assert "</script><b>" not in page.read_text() and "</script><b>" in content(page)["classes"]


@pytest.mark.parametrize(("words", "sentence"), [
    (["away.zarr"], "away.zarr does not lie in a run, so its photos are not known; name their --root."),
    (["run", "--earlier", "x.json"], "--earlier: x.json is not what the page saves"),
    (["run", "--earlier", "no.json"], "--earlier: no.json cannot be read as JSON"),
])  # fmt: skip
def test_what_cannot_be_is_one_sentence(labels, tmp_path, words, sentence, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path.parent)
    table(LABELS).save(tmp_path.parent / "away.zarr")
    (tmp_path.parent / "x.json").write_text("{}")
    words = [str(labels) if word == "run" else word for word in words]
    assert main(["review", *words]) == 1
    assert sentence in capsys.readouterr().err


# ---- in a browser


def verdicts(tab):
    return tab.value("[...document.querySelectorAll('#masks li')].map(one => one.className)")


def shown(tab):
    return tab.value("document.querySelector('h2').textContent")


def test_the_keyboard(labels, tmp_path):
    """Two rejected, one accepted; the file says so, and the labels follow it."""
    page = tmp_path / "page.html"
    assert main(["review", str(labels), str(page)]) == 0
    with Browser(tmp_path) as tab:
        tab.open(page, width=1280, height=800)
        assert shown(tab) == "a" and verdicts(tab) == ["at", "", ""]  # the least sure first
        assert (
            tab.value("performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length") == 0
        )
        tab.press("r", "r")
        assert verdicts(tab) == ["rejected", "rejected", "at"]
        tab.press("ArrowUp", "u")
        assert verdicts(tab) == ["rejected", "at", ""]
        tab.press("r")
        assert verdicts(tab) == ["rejected", "rejected", "at"]
        tab.press("a")  # the last of its photo: the next one comes
        assert shown(tab) == "c"
        tab.press("ArrowRight")
        assert shown(tab) == "b"
        tab.press("ArrowLeft", "ArrowLeft")
        assert shown(tab) == "a"
        assert "1 accepted, 2 rejected, 1 of 4" in tab.value("document.querySelector('.progress').textContent")
        tab.press("h")
        assert tab.value("getComputedStyle(document.querySelector('.mask')).visibility") == "hidden"
        tab.press("s")
        file = tmp_path / "corrections.json"
        tab.downloaded(file.name)
        tab.call("Page.reload")  # decisions outlive the tab
        tab.until("document.readyState === 'complete' && document.querySelector('.progress p').textContent")
        assert "1 accepted, 2 rejected" in tab.value("document.querySelector('.progress').textContent")
        assert shown(tab) == "b"  # where something is undecided
    index = Index.load(tmp_path / "images" / "default" / "index.zarr.zip")
    decided = corrections.read(file, index)
    assert set(decided) == {"a"}
    found, numbers = settle(Instances.load(labels), decided, iou=0.5)
    assert [found.rows(i).stop - found.rows(i).start for i in range(3)] == [1, 1, 0]
    assert found.score.tolist() == [0.75, 1.0] and numbers == {"settled": 1, "gone": 3, "missed": 0}
    # gone on from: what was decided stands there
    assert main(["review", str(labels), str(page), "--earlier", str(file)]) == 0
    with Browser(tmp_path / "again") as tab:
        tab.open(page, width=1280, height=800)
        tab.press("ArrowLeft", "ArrowLeft")
        assert shown(tab) == "a" and verdicts(tab) == ["rejected at", "rejected", "accepted"]


def test_a_narrow_screen_and_the_filters(labels, tmp_path):
    page = tmp_path / "page.html"
    assert main(["review", str(labels), str(page)]) == 0
    with Browser(tmp_path) as tab:
        tab.open(page, width=390, height=800)
        assert tab.value("document.documentElement.scrollWidth") <= 390
        assert tab.value("document.querySelector('.thumb').getBoundingClientRect().bottom") == 800
        tab.click(".thumb .yes")
        assert verdicts(tab) == ["accepted", "at", ""]
        tab.click("#masks li:nth-child(3) .no")
        assert verdicts(tab)[2].startswith("rejected")
        tab.click(".thumb [data-do=after]")
        assert shown(tab) == "c" and tab.value("document.querySelector('#masks').textContent") == "none"
        tab.value("document.querySelector('#classes .chip:nth-of-type(2)').click()")  # dogs alone
        assert shown(tab) == "a" and len(verdicts(tab)) == 1
        assert "photo 1 of 1" in tab.value("document.querySelector('.place').textContent")
        tab.value("(s => { s.value = 0.3; s.dispatchEvent(new Event('input')); })(document.querySelector('#score'))")
        assert not tab.value("document.querySelector('.empty').hidden")
