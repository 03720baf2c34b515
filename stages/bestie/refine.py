"""Labels that the network makes for itself, at every mini-batch, on its device (BESTIE, Sec. 3.5)."""

import torch

from stages.bestie.components import components
from stages.bestie.grouping import Centers, clustered_centers, find_centers, group, ranks
from stages.bestie.labels import Labels


@torch.no_grad()
def refined(probability, center, offset, tags, *, config, points=None, classes=None):
    """Labels of the instances that the network sees in a batch.

    probability : (B, K + 1, H, W) float32, softmax, 0 the background. center : (B, K, H, W) float32. offset :
    (B, 2, H, W) float32, y then x, pixels. tags : (B, K) bool, the classes that a photo may show. points : Points or
    None. classes : (B, H, W) int64, the foreground where it is not the network's own: 0, or 1 + column. Nothing is
    modified.

    The pixels of the most probable class, tagged or background, fall into 8-connected components; of those of at
    least config.min_area pixels the centres are found (and clustered, config.cluster), and the pixels grouped. Given
    points are the centres instead, and stay. An instance's new centre is the centroid of its pixels, its weight (Eq. 2)
    the centre map at the old one, within [0, 1] (or the point's score), with `refine_weight: center_semantic` times the
    mean probability of its class over its pixels. Components without a centre, or without a point, give nothing.
    Sources: BESTIE, Sec. 3.5, Eq. 1 and 2; minimum size and the second weight: its released code.
    """
    classes = allowed_classes(probability, tags) if classes is None else classes
    number, count = components(classes, connectivity=8)
    number, classes = without_small(number, classes, count=count, least=config.min_area)
    if points is None:
        centers = seen_centers(
            of_class(center, classes), offset, number, classes=classes, count=count, threshold=config.refine_threshold,
            most=config.refine_most, config=config,
        )  # fmt: skip
    else:
        centers = given_centers(points, number, classes, count=count)
    grouped = group(number, offset, centers, count=count)
    return labels_of(grouped, centers, classes, probability, weight=config.refine_weight, stay=points is not None)


def allowed_classes(probability, tags):
    """(B, H, W) int64: the most probable of the background, 0, and the tagged classes, 1 + column; of equals the
    smallest."""
    best = probability[:, 0]
    classes = torch.zeros_like(best, dtype=torch.int64)
    for column in tags.any(0).nonzero()[:, 0].tolist():  # the few classes of the batch, not all of the dataset
        larger = (probability[:, column + 1] > best) & tags[:, column, None, None]
        classes = torch.where(larger, column + 1, classes)
        best = torch.where(larger, probability[:, column + 1], best)
    return classes


def without_small(number, classes, *, count, least):
    """(number, classes) with 0 at the components of fewer than `least` pixels; the numbers of the others stay."""
    large = torch.bincount(number.flatten(), minlength=count + 1) >= least
    kept = large[number] & (number > 0)
    return torch.where(kept, number, 0), torch.where(kept, classes, 0)


def of_class(maps, classes):
    """(B, H, W): at every pixel the one of maps (B, K, H, W) of its class (1 + column); column 0 where it has none."""
    return maps.gather(1, (classes - 1).clamp(min=0)[:, None])[:, 0]


def seen_centers(value, offset, number, *, classes, count, threshold, most, config):
    """Centers of at least `threshold`, at most `most` of a component, and with config.cluster the clustered ones.

    value : (B, H, W) float32, the centre map of each pixel's class. offset, number, classes, count : as in
    `grouping.clustered_centers`.
    """
    centers = find_centers(value, number, count=count, window=config.window, threshold=threshold, most=most)
    if not config.cluster:
        return centers
    return clustered_centers(
        centers, value, offset, number, classes=classes, count=count, most=most, length=config.cluster_offset,
        area=config.cluster_area, threshold=config.cluster_threshold, distance=config.cluster_distance,
    )  # fmt: skip


def given_centers(points, number, classes, *, count):
    """Centers at the points that lie on a component of their class, in a component in their given order."""
    _, height, width = number.shape
    y, x = points.y.round().long(), points.x.round().long()
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    inside &= (number[points.photo, y, x] > 0) & (classes[points.photo, y, x] == points.column + 1)
    row = inside.nonzero()[:, 0]
    row = row[number[points.photo[row], y[row], x[row]].argsort(stable=True)]
    photo, y, x = points.photo[row], y[row], x[row]
    region = number[photo, y, x]
    return Centers(region, ranks(region, count), photo, y, x, points.score[row])


def labels_of(grouped, centers, classes, probability, *, weight, stay=False):
    """Labels of the instances in `grouped` (B, H, W), the rows of `centers`; those without a pixel are left out.

    stay : their centres are those of `centers`, not the centroids of their pixels.
    """
    rows = len(centers.region)
    place = grouped.flatten().nonzero()[:, 0]
    row = grouped.flatten()[place] - 1
    _, height, width = grouped.shape
    pixels = torch.bincount(row, minlength=rows)
    # sums of whole numbers: exact in any order
    sums = torch.zeros((2, rows), dtype=torch.int64, device=place.device)
    sums.index_add_(1, row, torch.stack([place // width % height, place % width]))
    middle = (sums.double() / pixels.clamp(min=1)).T.float()
    if stay:
        middle = torch.stack([centers.y, centers.x], 1).float()
    value = centers.value.clamp(0, 1)
    if weight == "center_semantic":
        value = value * mean_of(of_class(probability[:, 1:], classes).flatten()[place], row, rows)
    column = classes[centers.photo, centers.y, centers.x] - 1
    kept = pixels > 0
    renumbered = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0)])
    return Labels(renumbered[grouped], centers.photo[kept], column[kept], middle[kept], value[kept])


def mean_of(values, row, rows):
    """(rows,) float32: mean of `values` ((n,) float32) by `row`, 0 where a row has none."""
    total = torch.zeros(rows, dtype=torch.float64, device=values.device).index_add_(0, row, values.double())
    return (total / torch.bincount(row, minlength=rows).clamp(min=1)).float()
