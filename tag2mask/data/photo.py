"""Photos from files: every format people have becomes (H, W, 3) uint8 RGB, turned the way it is meant to be seen."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageOps

from tag2mask.data.names import SUFFIXES, photo_ids
from tag2mask.data.scale import LARGEST, scaled_down, size_within
from tag2mask.errors import BadImage, UserError

# What may be opened: formats of photographs. Others (EPS, PDF, ...) start programs or hold no photograph.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "HEIF")
pillow_heif.register_heif_opener()  # it turns HEIC photos itself and sets their orientation to 1


def read_photo(path: str | Path, *, upright: bool = True, within: int | None = None) -> np.ndarray:
    """The photo in the file `path` as (H, W, 3) uint8 RGB, turned as its EXIF orientation says if `upright`.

    Grey, palette, CMYK and 16-bit images are converted (16 bits to 8 by v / 257, rounded); what is transparent is
    laid on white. Raises BadImage, one sentence, for a missing, empty, truncated or foreign file and for a photo of
    a single row or column of pixels. within : see `decode`.
    """
    return decode(read_bytes(Path(path)), path, upright=upright, within=within)


def read_bytes(path: Path) -> bytes:
    """The bytes of a photo's file, or BadImage."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImage(f"{path} cannot be read ({error.strerror}); put the photo there or drop it.") from None


def decode(
    data: bytes, name: str | Path, *, min_side: int = 2, upright: bool = True, within: int | None = None
) -> np.ndarray:
    """The photo in the bytes `data` as (H, W, 3) uint8 RGB; see `read_photo`.

    name : what the file is called in an error's sentence. min_side : int, the fewest rows and columns, pixels.
    within : a photo with a longer side is scaled down to so many pixels (`size_within`), a JPEG by 2, 4 or 8 while it
    is decoded, which spares memory and time, the rest by area averaging.
    """
    return decoded(data, name, min_side=min_side, upright=upright, within=within)[0]


def decoded(
    data: bytes, name: str | Path, *, min_side: int = 2, upright: bool = True, within: int | None = None
) -> tuple[np.ndarray, tuple[int, int]]:
    """The same, and the size (H, W) that the photo has by itself, upright."""
    if not data:
        raise BadImage(f"{name} is empty (0 bytes); copy the photo again or drop it.")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        size = image.size[::-1]
        if within is not None and max(size) > within:
            image.draft(None, size_within(size, within)[::-1])  # an image at least so large
        image.load()
    except Image.UnidentifiedImageError:
        raise BadImage(
            f"{name} is not an image of a known format ({', '.join(FORMATS)}); convert or drop it."
        ) from None
    except Image.DecompressionBombError:
        raise BadImage(
            f"{name} has more pixels than {2 * (Image.MAX_IMAGE_PIXELS or 0):,}; scale it down first."
        ) from None
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        raise BadImage(f"{name} is truncated or damaged ({error}); copy the photo again or drop it.") from None
    # Pillow raises nearly anything for a damaged EXIF block, but the pixels are whole and count; in place they are
    # turned before the block is written anew.
    if upright:
        with contextlib.suppress(Exception):
            size = size[::-1] if image.getexif().get(ExifTags.Base.Orientation) in range(5, 9) else size
            ImageOps.exif_transpose(image, in_place=True)
    if min(size) < min_side:
        raise BadImage(
            f"{name} is {size[1]}x{size[0]} pixels, fewer than {min_side} on a side; use a larger photo or drop it."
        )
    photo = pixels(to_rgb(image, name))
    return (photo if within is None else scaled_down(photo, size_within(size, within))), size


def size_of(path: Path) -> tuple[int, int]:
    """(H, W) of the photo in the file `path` as `read_photo` gives it, from its header where that says it."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            # a TIFF counts its sides as they are when it is turned
            turned = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in range(5, 9)
            return image.size if turned else image.size[::-1]
    except Exception:  # Pillow raises nearly anything; what is wrong with the photo says who reads it
        height, width, _ = read_photo(path).shape
        return height, width


def pixels(image: Image.Image, *, rows: int = 256) -> np.ndarray:
    """(H, W, 3) uint8 of a PIL RGB image, some rows at a time: in one go Pillow holds all of its bytes twice more."""
    photo = np.empty((image.height, image.width, 3), np.uint8)
    for y in range(0, image.height, rows):
        photo[y : y + rows] = np.asarray(image.crop((0, y, image.width, min(y + rows, image.height))))
    return photo


def is_turned(file: bytes | Path) -> bool:
    """Whether a photo's EXIF says to turn or mirror its stored pixels; False where it cannot be read."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=FORMATS) as image:
            return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # a damaged block makes Pillow raise nearly anything; `decode` says what is wrong with the photo
        return False


def turned_sentence(paths: Sequence[str], what: str) -> str:
    """The warning on photos that EXIF turns. what : what was drawn on them elsewhere, in the plural."""
    return (
        f"{len(paths)} photos are turned or mirrored by their EXIF orientation, the first is {paths[0]}: {what} must "
        "be drawn on the upright photos; where they were drawn on the stored pixels, set dataset.exif: ignore."
    )


def to_rgb(image: Image.Image, name: str | Path) -> Image.Image:
    """A loaded PIL image of any mode as PIL RGB image."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise BadImage(f"{name} has 32 bits a pixel; save it with 8 or 16 bits a channel.")
        grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def photos_in(folder: Path, *, but: Path | None = None) -> dict[str, Path]:
    """{photo's id: Path} of the image files in `folder`, by path; what lies in the folder `but` is left out.

    Ids are those of a dataset (`tag2mask.data.names.photo_ids`). UserError when there is no photo.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name a folder of photos")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    files = [path for path in files if but is None or but.resolve() not in path.resolve().parents]
    if not files:
        raise UserError(f"{folder} holds no photo ({', '.join(SUFFIXES)}); name a folder of photos")
    paths = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: paths[path] for path, name in photo_ids(paths).items()}


def readable(files: Mapping[str, Path], job: Any) -> Iterator[tuple[str, np.ndarray, tuple[int, int]]]:
    """(name, photo within LARGEST, its own size (H, W)) of every file that can be read.

    The others become warnings of the Job `job`.
    """
    for name, path in files.items():
        try:
            photo, size = decoded(read_bytes(path), path, within=LARGEST)
        except BadImage as error:
            job.warn(str(error))
            continue
        yield name, photo, size
