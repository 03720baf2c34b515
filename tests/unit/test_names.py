"""Names as people write them, tables as programs write them, and the table of classes."""

import unicodedata

import pytest

from tag2mask.data import class_table
from tag2mask.data.index import Index
from tag2mask.data.names import Names, photo_ids, spellings
from tag2mask.data.sheets import read_sheet, read_text
from tag2mask.data.tags import category_ids, read_tags
from tag2mask.errors import UserError


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("a/x.JPG", "a/x.JPG"),  # as it is
        (".\\a\\x.JPG", "a/x.JPG"),
        ("A/X.jpg", "a/x.JPG"),
        ("x.jpg", "a/x.JPG"),  # a folder too few, and it is the only one
        ("y.png", None),  # two of them
        ("photos/b/y.png", "b/y.png"),  # a folder too many
        ("c/x.jpg", None),  # another folder is another photo
        ("b/y", "b/y.png"),
        ("b/y.jpg", None),  # another ending too
        (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
        ("none.png", None),
    ],
)
def test_names_by_hand(written, found):
    names = Names(["a/x.JPG", "a/y.png", "b/y.png", unicodedata.normalize("NFD", "é.png")])
    assert names.find(written) == found


def test_ids_are_found_by_the_names_of_their_files():
    names = Names(["a/x", "b.jpg", "b.png"])
    assert names.find("a/x.jpg") == names.find("x.png") == "a/x"
    assert names.find("b.png") == "b.png" and names.find("b") is None
    assert "2 names in points.csv differ" in names.sentence("points.csv") and "x.png for a/x" not in names.sentence("")


def test_ids_by_hand():
    assert photo_ids(["a.b.jpg", "x/1.jpg", "x/1.png", "y/1.png"]) == {
        "a.b.jpg": "a.b", "x/1.jpg": "x/1.jpg", "x/1.png": "x/1.png", "y/1.png": "y/1",
    }  # fmt: skip


def test_the_commonest_spelling_counts_or_the_chosen_one():
    written = {"Cat": 1, "cat": 2, "hot  dog": 1}
    assert spellings(written) == {"Cat": "cat", "cat": "cat", "hot  dog": "hot  dog"}
    assert spellings(written, ["CAT", "hot dog"]) == {"Cat": "CAT", "cat": "CAT", "hot  dog": "hot dog"}
    assert category_ids(["Cat"], {4: "cat"}, "") == (4,)
    with pytest.raises(UserError, match="'Cat', which is not in the class list"):
        category_ids(["Cat"], {4: "cat", 5: "CAT"}, "")  # which of the two is not known


def tags(text, **keys):
    told = []
    return {name: sorted(own) for name, own in read_tags(text, "t.csv", warn=told.append, **keys)}, told


def test_spaces_part_tags_only_where_every_word_is_one():
    found, told = tags("file,tags\na,hot dog\nb,dog\nc,cat dog\nd,cat\n")
    assert found == {"a": ["hot dog"], "b": ["dog"], "c": ["cat", "dog"], "d": ["cat"]}
    assert len(told) == 2 and "'cat dog' is read as 2 tags" in told[0] and "the tag 'hot dog', one class" in told[1]
    assert tags("file,tags\na,hot dog\nb,knife, fork\n", known=["hot dog", "knife", "fork"])[1] == []


def test_chosen_classes_decide_what_one_tag_is():
    found, told = tags('file,tags\na,"Tench, Tinca tinca"\n', known=["tench, tinca tinca"])
    assert found == {"a": ["tench, tinca tinca"]} and told == []


def test_a_sheet_by_hand():
    sheet = read_sheet('\nUnnamed: 0;"a b";c;\n0; "1;2" ;3;;\n;;;\n1;4;5\n', "t.csv")
    assert (sheet.head, sheet.separator) == (["a b", "c"], ";")
    assert sheet.rows == [(3, ["1;2", "3"]), (5, ["4", "5"])]
    assert read_sheet("id,tags\n7,a\n9,b\n", "").head == ["id", "tags"] and read_sheet("", "").rows == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_text_of_any_encoding(tmp_path, encoding):
    (tmp_path / "t.csv").write_bytes("file,kätzchen\n".encode(encoding))
    told = []
    assert read_text(tmp_path / "t.csv", "dataset.tags", told.append) == "file,kätzchen\n"
    assert len(told) == (encoding == "cp1252")


def test_the_table_of_classes_by_hand():
    index = Index.build(
        "", {1: "cat", 2: "dog", 3: "owl"}, image_id="abcd", path="abcd", size=[(9, 9)] * 4,
        tags=[(1,), (1, 2), (1,), (3,)], train=[1, 1, 1, 0], val=[0, 0, 0, 1],
    )  # fmt: skip
    assert class_table.lines(class_table.rows(index)) == [
        "class  photos  alone",
        "cat         3      2  on every photo: nothing tells it from the background",
        "dog         1      0  on one photo",
        "owl         0      0  on no photo",
    ]
    assert class_table.note(19, 90) == "rare" and class_table.note(20, 90) == ""
