"""Connected components of the class maps of a batch, on the device that they lie on (BESTIE, Sec. 3.3 and 3.5)."""

import cv2
import numpy as np
import torch


def components(classes, *, connectivity):
    """Connected pixels of equal class, numbered over the whole batch.

    classes : (B, H, W) integers, 0 belongs to nothing. connectivity : 4 or 8. Returns (number (B, H, W) int64, 0 where
    the class is 0, else 1, 2, ... in row order of the components' first pixels, photo after photo; how many, int).
    The processor and a GPU give the same numbers. Source: BESTIE, Sec. 3.3 (CCL).
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, not {connectivity}")
    return (propagated if classes.is_cuda else scanned)(classes, connectivity=connectivity)


def scanned(classes, *, connectivity):
    """`components` on the processor: OpenCV's labelling of one class of one photo after another."""
    values = classes.numpy()
    found, count = np.zeros(values.shape, np.int64), 0
    for photo, number in zip(values, found):
        for one in np.flatnonzero(np.bincount(photo.ravel())):
            if one:
                mask = photo == one
                labels, label = cv2.connectedComponents(mask.view(np.uint8), connectivity=connectivity)
                number[mask] = label[mask] + count
                count += labels - 1
    inside = np.flatnonzero(found)
    first = np.zeros(count + 1, np.int64)
    first[found.flat[inside][::-1]] = inside[::-1]  # of a repeated number the last, that is the first pixel, stays
    order = np.zeros(count + 1, np.int64)
    order[1 + np.argsort(first[1:])] = np.arange(1, count + 1)
    return torch.from_numpy(order[found]), count


def propagated(classes, *, connectivity):
    """`components` in operations that a GPU runs in parallel: every pixel takes the least label that touches its tree,
    until no label changes; the jumps to the label's label make that logarithmic in a component's length."""
    label = torch.arange(classes.numel(), device=classes.device).view(classes.shape)
    pairs = [
        (first, second, (classes[first] == classes[second]) & (classes[first] != 0))
        for first, second in neighbours(classes.shape, connectivity)
    ]
    while True:
        least = label.clone()
        for first, second, same in pairs:
            smaller = torch.minimum(label[first], label[second])
            least[first] = torch.where(same, torch.minimum(least[first], smaller), least[first])
            least[second] = torch.where(same, torch.minimum(least[second], smaller), least[second])
        if torch.equal(least, label):
            break
        parent = label.flatten().scatter_reduce(0, label.flatten(), least.flatten(), "amin")
        for _ in range(3):
            parent = parent[parent]
        label = torch.minimum(parent.view(label.shape), parent[least])
    inside = classes != 0
    own = inside & (label.flatten() == torch.arange(label.numel(), device=label.device)).view(label.shape)
    number = own.flatten().cumsum(0)
    count = int(number[-1]) if len(number) else 0
    return torch.where(inside, number[label], 0), count


def neighbours(shape, connectivity):
    """Pairs of indices of (B, H, W) arrays: every pixel, and its neighbour right, below and, of 8, diagonally below."""
    _, height, width = shape
    steps = ((0, 1), (1, 0)) if connectivity == 4 else ((0, 1), (1, 0), (1, 1), (1, -1))
    for dy, dx in steps:
        left, right = slice(max(0, -dx), width - max(0, dx)), slice(max(0, dx), width - max(0, -dx))
        yield (slice(None), slice(0, height - dy), left), (slice(None), slice(dy, height), right)
