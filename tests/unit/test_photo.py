"""Photos from files: every format becomes the same RGB array; every bad file is one sentence that names it."""

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image

from tag2mask.data.photo import decode, is_turned, photos_in, pixels, read_photo, readable, size_of
from tag2mask.data.scale import size_within
from tag2mask.errors import BadImage, UserError
from tag2mask.run.job import Job

CORNERS = np.array([[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[250, 250, 0], [0, 250, 250], [250, 0, 250]]], np.uint8)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_rgb_png_is_read_as_it_is(tmp_path):
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(CORNERS)))
    assert photo.dtype == np.uint8 and photo.flags.c_contiguous
    np.testing.assert_array_equal(photo, CORNERS)


@pytest.mark.parametrize("rows", [1, 3, 7, 8])
def test_pixels_are_taken_some_rows_at_a_time(rows):
    photo = noise(7, 5)
    np.testing.assert_array_equal(pixels(Image.fromarray(photo), rows=rows), photo)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_large_photo_is_scaled_down_while_it_is_read(tmp_path, name):
    """As its mean over the pixels that a pixel of the small one covers, whatever way; a small one is as it was."""
    photo = np.kron(noise(6, 10), np.ones((40, 40, 1), np.uint8))
    path = saved(tmp_path / name, Image.fromarray(photo), quality=100, subsampling=0)
    whole = read_photo(path)
    for within, size in ((400, (240, 400)), (100, (60, 100)), (80, (48, 80)), (20, (12, 20))):
        found = read_photo(path, within=within)
        assert found.shape == (*size, 3)
        mean = whole.reshape(size[0], 240 // size[0], size[1], 400 // size[1], 3).mean((1, 3))
        assert np.abs(found - mean).mean() < 1
    assert (read_photo(path, within=400) == whole).all()


def test_a_large_photo_is_turned_as_well(tmp_path):
    image, exif = Image.fromarray(np.kron(CORNERS, np.ones((31, 21, 1), np.uint8))), Image.Exif()  # 62 x 63
    exif[ExifTags.Base.Orientation] = 6
    path = saved(tmp_path / "a.jpg", image, exif=exif, quality=95)
    whole, small = read_photo(path), read_photo(path, within=21)
    assert whole.shape == (63, 62, 3) and small.shape == (21, size_within((63, 62), 21)[1], 3)
    corners = np.ix_([0, -1], [0, -1])
    assert np.abs(whole[corners].astype(int) - small[corners]).max() < 25 and (whole[0, 0, :2] > 200).all()
    with pytest.raises(BadImage, match="a.jpg is 62x63 pixels, fewer than 63"):
        decode(path.read_bytes(), path.name, min_side=63, within=21)


def test_grey_gets_three_equal_channels(tmp_path):
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(grey)))
    np.testing.assert_array_equal(photo, np.stack([grey] * 3, -1))


def test_16_bits_are_scaled_not_clipped(tmp_path):
    deep = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(deep)))
    np.testing.assert_array_equal(photo[..., 0], [[0, 100], [200, 255]])
    np.testing.assert_array_equal(photo[..., 0], photo[..., 2])


def test_16_bit_tiff_of_either_byte_order(tmp_path):
    deep = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    image = Image.frombytes("I;16B", (2, 2), deep.astype(">u2").tobytes())
    photo = read_photo(saved(tmp_path / "a.tif", image))
    np.testing.assert_array_equal(photo[..., 1], [[0, 100], [200, 255]])


def test_cmyk_jpeg(tmp_path):
    cmyk = Image.new("CMYK", (16, 8), (0, 255, 255, 0))  # no cyan: red
    photo = read_photo(saved(tmp_path / "a.jpg", cmyk, quality=95))
    assert photo.shape == (8, 16, 3)
    assert np.abs(photo.astype(int) - [255, 0, 0]).max() <= 6


def test_palette_and_bilevel(tmp_path):
    palette = Image.fromarray(CORNERS).quantize(8)
    np.testing.assert_array_equal(read_photo(saved(tmp_path / "a.png", palette)), CORNERS)
    bilevel = Image.fromarray(np.array([[True, False], [False, True]]))
    np.testing.assert_array_equal(read_photo(saved(tmp_path / "b.png", bilevel))[..., 0], [[255, 0], [0, 255]])


def test_transparent_pixels_are_laid_on_white(tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(rgba)))
    assert photo[0, 0].tolist() == [10, 20, 30] and photo[1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("code", "upright"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a.transpose(1, 0, 2), 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_rotation(tmp_path, code, upright):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = code
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(CORNERS), exif=exif))
    np.testing.assert_array_equal(photo, upright(CORNERS))


def test_damaged_exif_does_not_spoil_a_whole_photo():
    file = io.BytesIO()
    Image.fromarray(noise(8, 8)).save(file, format="JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff")
    assert decode(file.getvalue(), "a.jpg").shape == (8, 8, 3)


def test_a_photo_is_turned_although_the_rest_of_its_exif_is_damaged():
    """Orientation 6, and a maker that is a fraction, which Pillow reads and cannot write again."""
    entries = [(0x0112, 3, 1, 6), (0x010F, 5, 1, 8)]
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + b"".join(struct.pack("<HHII", *one) for one in entries)
    file = io.BytesIO()
    Image.fromarray(noise(8, 20)).save(file, format="JPEG", exif=exif + struct.pack("<I", 0))
    assert decode(file.getvalue(), "a.jpg").shape == (20, 8, 3)


def bad(path, content):
    path.write_bytes(content)
    with pytest.raises(BadImage) as caught:
        read_photo(path)
    sentence = str(caught.value)
    assert str(path) in sentence and sentence.endswith(".") and "\n" not in sentence
    assert isinstance(caught.value, UserError)
    return sentence


def jpeg():
    file = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(file, format="JPEG")
    return file.getvalue()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_jpeg(tmp_path, share):
    data = jpeg()
    assert "truncated or damaged" in bad(tmp_path / "a.jpg", data[: int(share * len(data))])


def test_zero_byte_file(tmp_path):
    assert "empty (0 bytes)" in bad(tmp_path / "a.jpg", b"")


@pytest.mark.parametrize("content", [b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"GIF89a"])
def test_not_a_photo(tmp_path, content):
    bad(tmp_path / "a.jpg", content)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_damaged_files_of_other_formats(tmp_path, name):
    path = saved(tmp_path / name, Image.fromarray(noise(64, 64)))
    bad(path, path.read_bytes()[:700])


def test_one_pixel(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(noise(1, 1)))
    assert "1x1 pixels" in bad(path, path.read_bytes())


def test_min_side_counts_after_rotation():
    file = io.BytesIO()
    Image.fromarray(noise(10, 40)).save(file, format="PNG")
    assert decode(file.getvalue(), "a.png", min_side=10).shape == (10, 40, 3)
    with pytest.raises(BadImage, match="40x10 pixels, fewer than 11 on a side"):
        decode(file.getvalue(), "a.png", min_side=11)


def test_32_bits(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.full((4, 4), 0.5, np.float32)))
    assert "32 bits" in bad(path, path.read_bytes())


def test_missing_file(tmp_path):
    with pytest.raises(BadImage, match="cannot be read"):
        read_photo(tmp_path / "none.jpg")


def test_too_many_pixels(monkeypatch):
    file = io.BytesIO()
    Image.fromarray(noise(40, 40)).save(file, format="PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadImage, match="more pixels than 200"):
        decode(file.getvalue(), "a.png")


def test_photos_of_a_folder_without_its_output_and_without_bad_ones(tmp_path):
    for name in ("b/x.PNG", "a.png", "out/overlays/a.png.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        saved(tmp_path / name, Image.fromarray(CORNERS))
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no photo")
    files, job = photos_in(tmp_path, but=tmp_path / "out"), Job()
    assert list(files) == ["a", "b/x", "c"]
    assert [name for name, photo, size in readable(files, job) if (*size, 3) == photo.shape == (2, 3, 3)] == [
        "a",
        "b/x",
    ]
    assert len(job.warnings) == 1 and "c.jpg is empty" in job.warnings[0]
    for folder, sentence in ((tmp_path / "out", "holds no photo"), (tmp_path / "a.png", "is not a folder")):
        with pytest.raises(UserError, match=sentence):
            photos_in(folder, but=tmp_path / "out")


def test_ids_keep_their_ending_only_where_it_tells_two_photos_apart(tmp_path):
    for name in ("one/a.jpg", "two/a.jpg", "two/a.png", "two/b.v2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        saved(tmp_path / name, Image.fromarray(CORNERS))
    files = photos_in(tmp_path, but=tmp_path / "out")
    assert list(files) == ["one/a", "two/a.jpg", "two/a.png", "two/b.v2"]
    assert files["two/a.png"] == tmp_path / "two/a.png"


def test_heic(tmp_path):
    """By pillow-heif; what its box turns is turned, as the files of phones are."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    halves = np.zeros((32, 64, 3), np.uint8)
    halves[:, 32:] = 255
    photo = read_photo(saved(tmp_path / "a.heic", Image.fromarray(halves), exif=exif.tobytes()))
    assert photo.shape == (64, 32, 3) and photo[:24].max() < 60 and photo[40:].min() > 190
    assert list(photos_in(tmp_path, but=tmp_path / "out")) == ["a"]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.heic"])
def test_the_header_says_the_size_of_a_turned_photo(tmp_path, name, monkeypatch):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = saved(tmp_path / name, Image.new("RGB", (64, 32)), exif=exif.tobytes())
    plain = saved(tmp_path / f"plain.{name}", Image.new("RGB", (64, 32)))
    wanted = [read_photo(one).shape[:2] for one in (path, plain)]
    monkeypatch.setattr("tag2mask.data.photo.read_photo", lambda path: pytest.fail("it was decoded"))
    assert [size_of(path), size_of(plain)] == wanted == [(64, 32), (32, 64)]


def test_what_is_no_photo_has_no_size(tmp_path):
    (tmp_path / "a.jpg").write_text("no photo")
    with pytest.raises(BadImage, match="a.jpg"):
        size_of(tmp_path / "a.jpg")


def test_stored_pixels_on_demand(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    path = saved(tmp_path / "a.png", Image.fromarray(CORNERS), exif=exif)
    np.testing.assert_array_equal(read_photo(path, upright=False), CORNERS)
    assert is_turned(path) and is_turned(path.read_bytes())
    assert not is_turned(saved(tmp_path / "b.png", Image.fromarray(CORNERS))) and not is_turned(b"no photo")
