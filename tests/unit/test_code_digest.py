"""The code digest follows imports and ignores what cannot change a result."""

import pytest

from tag2mask.run import code_digest

INIT = '"""Docs."""\nfrom stages.cam import maps\n\n\ndef run():\n    """Docs."""\n    return 1\n'


@pytest.fixture
def project(tmp_path, monkeypatch):
    files = {
        "stages/__init__.py": "",
        "stages/cam/__init__.py": INIT,
        "stages/cam/maps.py": "from tag2mask.store import store\n",
        "stages/cam/command.py": "print(1)\n",
        "stages/cam/look.py": "print(1)\n",
        "stages/cam/page.jinja": "<p>",
        "tag2mask/store/__init__.py": "",
        "tag2mask/store/store.py": "# why\nX = 1\n",
        "tag2mask/store/other.py": "Y = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code_digest, "ROOT", tmp_path)
    return tmp_path


def digest():
    code_digest.code_digest.cache_clear()
    code_digest.tree.cache_clear()
    code_digest.imported.cache_clear()
    return code_digest.code_digest("cam")


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("tag2mask/store/store.py", "X = 1", "X = 2", True),
        ("tag2mask/store/store.py", "# why", "# because\n\n", False),
        ("stages/cam/__init__.py", "Docs.", "Other docs.", False),
        ("stages/cam/__init__.py", "return 1", "return 2", True),
        ("stages/cam/command.py", "1", "2", False),
        ("stages/cam/look.py", "1", "2", False),
        ("stages/cam/page.jinja", "<p>", "<div>", True),
        ("tag2mask/store/other.py", "1", "2", False),
    ],
)
def test_what_counts(project, file, old, new, changes):
    before = digest()
    path = project / file
    path.write_text(path.read_text().replace(old, new))
    assert (digest() != before) == changes
