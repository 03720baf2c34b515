"""Label maps: one number a pixel, which may be moved but never mixed."""

import cv2


def resize_labels(labels, size):
    """`labels` (H, W) uint8 at `size` (height, width): of every new pixel's centre, the pixel that it lies in.

    So a mirrored map gives the mirrored answer, except where a centre lies between two pixels. OpenCV's INTER_NEAREST
    takes the place of the new pixel's upper left corner instead, which moves a map by up to half a pixel.
    """
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
