"""How well proposals fit peak response maps: PRM's retrieval and ICN's Eq. 5, all proposals and peaks of a photo at
once, as matrix products.

N masks and P maps on one grid of S pixels, flat. masks, outlines : (N, S) float32 0 or 1. maps : (P, S) float32, not
negative. background : (P, S) float32, 1 where the background of the map's object is. All scores are (N, P) float32.
"""

import cv2
import numpy as np


def prm_scores(masks, outlines, maps, background, *, balance, penalty):
    """balance x map inside the mask + map on the mask's outline - penalty x pixels of background in the mask.

    maps : each with the sum 1. Source: PRM (proposal retrieval) and released code.
    """
    return balance * (masks @ maps.T) + outlines @ maps.T - penalty * (masks @ background.T)


def icn_scores(masks, outlines, maps, edges, background, *, alpha, beta, gamma, rebalance):
    """alpha V.P / sum(P) + beta E(V).P + gamma B(V).P of maps V and masks P. Source: ICN, Eq. 5.

    maps : each in [0, 1]. edges : (P, S) float32, E(V), see `gradient`. As the text reads the equation, the second
    term is for "a similar outline", so E(V) is summed where the outline of P is, not in all of P, which would take the
    largest; and the third is "to suppress", so B(V) is -1 in the background, 0 elsewhere. rebalance : divide by sum(P).
    """
    inside = masks @ maps.T
    if rebalance:
        inside = inside / np.maximum(masks.sum(1, keepdims=True), 1)
    return alpha * inside + beta * (outlines @ edges.T) - gamma * (masks @ background.T)


def gradient(values, *, window):
    """(n, h, w) of the dtype of `values` (n, h, w) uint8 or float32: greatest less smallest value of each window.

    window : odd side, pixels; what lies outside the photo does not count. Of a mask its outline, of a map its edges.
    Source: PRM's released code (morphological gradient).
    """
    square = np.ones((window, window), np.uint8)
    found = [cv2.morphologyEx(np.ascontiguousarray(one), cv2.MORPH_GRADIENT, square) for one in values]
    return np.array(found, values.dtype).reshape(values.shape)


def background(maps, *, factor):
    """(n, S) float32: 1 where maps (n, S) are below `factor` times their own mean, else 0. Source: PRM's code."""
    return (maps < factor * maps.mean(1, keepdims=True)).astype(np.float32)


def unit(maps):
    """Maps (n, S) min-max normalised into [0, 1]; a constant one, which says nothing, becomes 0. Source: ICN, 4.6."""
    low = maps.min(1, keepdims=True)
    reach = maps.max(1, keepdims=True) - low
    return np.divide(maps - low, reach, out=np.zeros_like(maps), where=reach > 0)


def suppressed(iou, scores, *, threshold):
    """(P,) int64: which of P instances each one is part of, itself where it stays. ICN, Algorithm 1, line 14.

    iou : (P, P) of their masks. scores : (P,). From the best score down (equal ones: the earlier first) an instance
    stays unless a better one that stays overlaps it by at least `threshold`; the best of these takes it in. Source:
    PRM's released code, which asks for no class either.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    holder = np.full(len(order), -1)
    for n in order:
        if holder[n] < 0:
            taken = (holder < 0) & (iou[n] >= threshold)
            holder[taken], holder[n] = n, n
    return holder
