"""Fully connected CRF on a label map (P. Kraehenbuehl and V. Koltun, "Efficient inference in fully connected CRFs with
Gaussian edge potentials", NIPS 2011), by the package pydensecrf2, which is no part of the usual installation."""

import numpy as np


def dense_crf(labels, photo, *, count, iterations, certainty, near, near_weight, space, colour, weight):
    """The most probable labels after `iterations` of mean-field inference.

    labels : (H, W) int, 0..count - 1, or -1 where nothing is known. photo : (H, W, 3) uint8 RGB. count : at least 2.
    certainty : probability that a label is right, the rest equally among the others. near, near_weight : standard
    deviation in pixels and weight of the smoothness kernel; space, colour, weight : of the appearance kernel, whose
    colours are RGB values of 0..255. Returns (H, W) int64; nothing is modified. Source: Kraehenbuehl 2011, Eq. 3.
    """
    from pydensecrf.densecrf import DenseCRF2D

    height, width = labels.shape
    crf = DenseCRF2D(width, height, count)
    crf.setUnaryEnergy(unary(labels, count, certainty=certainty).reshape(count, -1))
    crf.addPairwiseGaussian(sxy=near, compat=near_weight)
    crf.addPairwiseBilateral(sxy=space, srgb=colour, rgbim=np.ascontiguousarray(photo), compat=weight)
    return np.array(crf.inference(iterations)).reshape(count, height, width).argmax(0)


def unary(labels, count, *, certainty):
    """(count, H, W) float32 energies -log p: p is `certainty` at a pixel's label, 1 / count where it has none."""
    energy = np.full((count, *labels.shape), -np.log((1 - certainty) / (count - 1)), np.float32)
    for k in range(count):
        energy[k][labels == k] = -np.log(certainty)
    energy[:, labels < 0] = np.log(count)
    return energy
