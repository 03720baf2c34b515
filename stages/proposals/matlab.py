"""Proposals in MATLAB files, one a photo, as those of MCG and COB are published. Read as data, never executed.

Two forms, told apart by their variables: `maskmat`, the masks themselves, and MCG's `superpixels` and `labels`.
"""

import math
import mmap
import struct

import numpy as np
from scipy.io import loadmat

from stages.proposals.cues import run_lengths
from stages.proposals.imported import finder
from tag2mask.data import rle
from tag2mask.errors import UserError

VARIABLES = ("maskmat", "superpixels", "labels", "scores")
PREFIXES = ("", "COCO_train2014_", "COCO_val2014_")  # COCO's files are published under the names of 2014
CHUNK = 256  # sets of superpixels at a time
NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}  # types of elements of numbers and letters in a MATLAB 5 file
DAMAGED = "{} is no readable MATLAB file; get it again."
MATRIX, PACKED = 14, 15  # types of elements that hold elements
NESTED = {1, 2, 3, 16, 17}  # classes of matrices that hold matrices: cells, structs, objects, functions
CELLS, SPARSE = 1, 5  # of them and others: cell arrays, sparse matrices


def mat(folder):
    """The source for a folder of <image id>.mat, or COCO_train2014_<image id>.mat, COCO_val2014_<image id>.mat.

    `maskmat`: a cell array of (H, W) masks, or (H, W, N) or (N, H, W), whichever has the photo's size; best first.
    `superpixels` (H, W) and `labels`, a cell array of vectors of superpixel numbers, one a proposal; best first, or by
    falling `scores` (N,), equal ones in the file's order. Sources: what the code of CIM (Li et al. 2023) reads, cells
    for VOC and (N, H, W) for COCO; what im2mcg_all.m of MCG (Arbelaez et al. 2014) writes.
    """
    find = finder(folder, "file of proposals")

    def read(image_id, size):
        file = find(image_id, *(f"{prefix}{image_id}.mat" for prefix in PREFIXES))
        if file is None:
            return None
        held = load(file)
        if "maskmat" in held:
            return [rle.encode(mask[None])[0] for mask in masks_of(held["maskmat"], size, file=file)]
        if "superpixels" in held and "labels" in held:
            return sets_of(held, size, file=file)
        raise UserError(
            f"{file} has neither `maskmat` nor `superpixels` and `labels`; save its masks as one of these (a struct's "
            "fields with save -struct)."
        )

    return read


def load(file):
    """{variable: array} of VARIABLES in a MATLAB file; UserError where it is none that can be read."""
    try:
        if not well_formed(file):
            raise ValueError
        # COCO's published files are longer than they say, which their readers let pass
        return loadmat(file, appendmat=False, variable_names=VARIABLES, verify_compressed_data_integrity=False)
    except NotImplementedError:
        raise UserError(f"{file} is a MATLAB v7.3 file; load it in MATLAB and save it again with save -v7.") from None
    except OSError as error:
        if error.errno is None:  # the reader's own, of a file that ends too early
            raise UserError(DAMAGED.format(file)) from None
        raise UserError(f"{file} cannot be read ({error.strerror}).") from None
    except MemoryError:
        raise
    except Exception:  # a damaged file makes the reader raise nearly anything
        raise UserError(DAMAGED.format(file)) from None


def well_formed(file):
    """Whether the elements of a MATLAB 5 file that are not packed are of known types, inside one another, and complete.

    scipy's reader takes that for granted: a damaged type or length ends the process. Packed elements have check sums.
    True for files of other versions, which it reads otherwise or refuses.
    """
    with open(file, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
        if order is None or data[125 if order == "<" else 124] != 1:
            return True
        todo = [(128, len(data), {MATRIX, PACKED}, None)]  # begin, end, types, number of elements where it is known
        while todo:
            start, end, allowed, number = todo.pop()
            found = 0
            while start < end:
                if end - start < 8:
                    return False
                kind, length = struct.unpack_from(order + "II", data, start)
                body = start + 8
                if kind >> 16:  # a small element: its length stands beside the type, four bytes follow
                    kind, length, body = kind & 0xFFFF, kind >> 16, start + 4
                    start += 8
                else:
                    start = body + length + (-length % 8 if kind != PACKED else 0)
                if kind not in allowed or body + length > min(end, start):
                    return False
                found += 1
                if kind == MATRIX and length:  # an empty cell is a matrix of no bytes
                    if length < 32:  # the flags and the size of two axes
                        return False
                    flags, _, axes = struct.unpack_from(order + "I4xII", data, body + 8)
                    if flags & 0xFF in NESTED:
                        if not 8 <= axes <= length - 24:
                            return False
                        size = struct.unpack_from(f"{order}{axes // 4}I", data, body + 24)
                        parts = 3 + math.prod(size) if flags & 0xFF == CELLS else None
                        todo.append((body, body + length, NUMBERS | {MATRIX}, parts))
                    else:  # flags, size, name; numbers, sparse ones with their places; the same of an imaginary part
                        parts = 4 + 2 * (flags & 0xFF == SPARSE) + (flags >> 11 & 1)
                        todo.append((body, body + length, NUMBERS, parts))
            if number not in (None, found):
                return False
    return True


def masks_of(held, size, *, file):
    """Yields the (H, W) bool masks of `maskmat`, in its order. size : (H, W) of the photo."""
    if is_cells(held):
        for number, cell in enumerate(held.ravel(order="F"), 1):
            mask = numbers(cell, f"cell {number} of maskmat", file=file)
            if mask.shape != tuple(size):
                raise UserError(wrong_size(f"Cell {number} of maskmat", mask.shape, size, file=file))
            yield mask != 0
        return
    dense = numbers(held, "maskmat", file=file, none=True)
    if not dense.size:
        return
    if dense.ndim == 2:  # MATLAB drops the last axis of a single mask
        dense = dense[..., None]
    last, first = dense.shape[:2] == tuple(size), dense.ndim == 3 and dense.shape[1:] == tuple(size)
    if dense.ndim != 3 or not (last or first):
        raise UserError(wrong_size("The array maskmat", dense.shape, size, file=file))
    if last and first:
        raise UserError(f"maskmat of {file} has equal sides, so its masks may lie along any; save it as a cell array.")
    for mask in np.moveaxis(dense, 2, 0) if last else dense:
        yield mask != 0


def sets_of(held, size, *, file):
    """RLE dicts of the sets of superpixels in `labels`, best first; no mask is painted. size : (H, W) of the photo."""
    regions = numbers(held["superpixels"], "superpixels", file=file)
    if regions.shape != tuple(size):
        raise UserError(wrong_size("The map superpixels", regions.shape, size, file=file))
    cells = held["labels"]
    if not is_cells(cells):
        raise UserError(f"labels of {file} is no cell array; save one vector of superpixel numbers a cell.")
    cells = cells.ravel(order="F")
    order = np.arange(len(cells))
    if "scores" in held:
        scores = numbers(held["scores"], "scores", file=file, none=True).ravel()
        if len(scores) != len(cells):
            raise UserError(f"{file} has {len(cells)} labels and {len(scores)} scores; save one score a cell, or none.")
        order = np.argsort(-scores.astype(np.float64), kind="stable")
    names, place = np.unique(regions, return_inverse=True)
    place = place.reshape(regions.shape).astype(np.int32)
    rles = []
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        membership = np.zeros((len(chunk), len(names)), bool)
        for row, k in zip(membership, chunk):
            wanted = numbers(cells[k], f"cell {k + 1} of labels", file=file).ravel()
            found = np.searchsorted(names, wanted).clip(max=len(names) - 1)
            wrong = wanted[(names[found] != wanted) | (wanted < 1)]
            if len(wrong):
                raise UserError(
                    f"Cell {k + 1} of labels of {file} names superpixel {float(wrong[0]):.12g}, which its map lacks "
                    "(numbers count from 1); make the file again."
                )
            row[found] = True
        rles += [rle.from_counts(runs, size) for runs in run_lengths(membership, place)]
    return rles


def is_cells(held):
    """Whether a variable is a cell array."""
    return isinstance(held, np.ndarray) and held.dtype == object


def numbers(held, what, *, file, none=False):
    """`held`, if it is an array of finite numbers or of true and false; none : whether it may be empty."""
    if not isinstance(held, np.ndarray) or held.dtype.kind not in "biuf":
        raise UserError(f"In {file} {what} holds no plain numbers; save it as an array, full and not sparse.")
    if not held.size and not none:
        raise UserError(f"In {file} {what} is empty; leave it out, or make the file again.")
    if held.dtype.kind == "f" and not np.isfinite(held).all():
        raise UserError(f"In {file} {what} has a value that is not finite; make the file again.")
    return held


def wrong_size(what, shape, size, *, file):
    """One sentence: an array is of another size than its photo."""
    return (
        f"{what} of {file} is {list(shape)}, its photo is {list(size)} (height, width); make the proposals on the "
        "photos as they are."
    )
