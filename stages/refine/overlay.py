"""Pictures of predictions: masks in colour over the photo, with outline, class name and score. No I/O."""

import cv2
import numpy as np

# Eight hues that stay apart for colour-blind eyes (Okabe and Ito 2008, without black), RGB.
PALETTE = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)],
    np.uint8,
)


def overlay(photo, masks, *, labels, opacity=0.45):
    """The photo with `masks` painted over it, the first on top.

    photo : (H, W, 3) uint8 RGB, not modified. masks : (n, H, W) bool. labels : n str. Returns (H, W, 3) uint8 RGB.
    """
    picture = photo.astype(np.float32)
    width = max(1, round(min(photo.shape[:2]) / 250))
    for k in reversed(range(len(masks))):
        picture[masks[k]] += opacity * (PALETTE[k % len(PALETTE)] - picture[masks[k]])
    picture = np.ascontiguousarray(picture.round().astype(np.uint8))
    for k in reversed(range(len(masks))):
        colour = PALETTE[k % len(PALETTE)].tolist()
        lines, _ = cv2.findContours(masks[k].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, lines, -1, colour, width, cv2.LINE_AA)
    for k in reversed(range(len(masks))):
        _write(picture, labels[k], masks[k], PALETTE[k % len(PALETTE)].tolist())
    return picture


def _write(picture, text, mask, colour):
    """`text` on a plate of `colour` at the top of the mask, moved inside the picture; modifies `picture`."""
    height, width = picture.shape[:2]
    y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(y):
        return
    scale = min(0.9, max(0.3, min(height, width) / 800))
    (w, h), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left = int(np.clip(x[0], 0, max(0, width - w - 4)))
    top = int(np.clip(y[0] - h - below - 4, 0, max(0, height - h - below - 4)))
    cv2.rectangle(picture, (left, top), (left + w + 4, top + h + below + 4), colour, -1)
    place = (left + 2, top + h + 2)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA)
