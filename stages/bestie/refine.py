"""Labels that the network makes for itself, at every mini-batch, on its device (BESTIE, Sec. 3.5)."""

import torch

from stages.bestie.components import components
from stages.bestie.grouping import Centers, clustered_centers, counted, find_centers, group, ranks, unravel
from stages.bestie.labels import Labels


@torch.no_grad()
def refined(probability, center, offset, tags, *, config, points=None, classes=None):
    """Labels of the instances that the network sees in a batch.

    probability : (B, K + 1, H, W) float32, softmax, 0 the background. center : (B, K, H, W) float32. offset :
    (B, 2, H, W) float32, y then x, pixels. tags : (B, K) bool, the classes that a photo may show. points : Points or
    None. classes : (B, H, W) int64, the foreground where it is not the network's own: 0, or 1 + column. Nothing is
    modified.

    Of the pixels of the most probable class, tagged or background, the centres are found (see `located`) and the
    pixels grouped; regions without a centre give nothing. What instances are labelled with: see `labels_of`. Source:
    BESTIE, Sec. 3.5, Eq. 1 and 2.
    """
    classes = allowed_classes(probability, tags) if classes is None else tagged(classes, tags)
    number, classes, centers, count = located(
        classes, center, offset, points, threshold=config.refine_threshold, most=config.refine_most, config=config
    )
    grouped = group(number, offset, centers, count=count)
    return labels_of(grouped, centers, classes, probability, center, config=config, stay=points is not None)


def tagged(classes, tags):
    """(B, H, W) `classes` (0, or 1 + column) with 0 where a photo's tags, (B, K) bool, do not name the class."""
    allowed = torch.nn.functional.pad(tags, (1, 0), value=True)
    photo = torch.arange(len(classes), device=classes.device).view(-1, 1, 1)
    return torch.where(allowed[photo, classes], classes, 0)


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
    large = counted(number.flatten(), count + 1) >= least
    kept = large[number] & (number > 0)
    return torch.where(kept, number, 0), torch.where(kept, classes, 0)


def of_class(maps, classes):
    """(B, H, W): at every pixel the one of maps (B, K, H, W) of its class (1 + column); column 0 where it has none."""
    return maps.gather(1, (classes - 1).clamp(min=0)[:, None])[:, 0]


def located(classes, center, offset, points, *, threshold, most, config):
    """(number (B, H, W) int64, classes, Centers, count): regions of `classes` and the centres in each.

    Regions are the 8-connected components of a class of at least config.min_area pixels, `classes` is 0 elsewhere;
    their centres have at least `threshold`, at most `most` in each, and with config.cluster there are the clustered
    ones. Given Points are the centres instead, then a region is a class of a photo. Sources: BESTIE, Sec. 3.5; the
    least size, and that points know no components: its released code.
    """
    if points is not None:
        number, centers, count = given_centers(points, classes, columns=center.shape[1])
        return number, classes, centers, count
    number, count = components(classes, connectivity=8)
    number, classes = without_small(number, classes, count=count, least=config.min_area)
    value = of_class(center, classes)
    centers = find_centers(value, number, count=count, window=config.window, threshold=threshold, most=most)
    if config.cluster:
        centers = clustered_centers(
            centers, value, offset, number, classes=classes, count=count, most=most, length=config.cluster_offset,
            area=config.cluster_area, threshold=config.cluster_threshold, distance=config.cluster_distance,
        )  # fmt: skip
    return number, classes, centers, count


def given_centers(points, classes, *, columns):
    """(number (B, H, W) int64, Centers, count) of Points: a region is a class of a photo, its centres the points of
    that class in their given order, also those that lie beside its pixels or beside the map."""
    photo = torch.arange(len(classes), device=classes.device).view(-1, 1, 1)
    number = torch.where(classes > 0, photo * columns + classes, 0)
    region = points.photo * columns + points.column + 1
    order = region.argsort(stable=True)
    region, count = region[order], len(classes) * columns
    y, x = points.y[order].round().long(), points.x[order].round().long()
    return number, Centers(region, ranks(region, count), points.photo[order], y, x, points.score[order]), count


def labels_of(grouped, centers, classes, probability, center, *, config, stay=False):
    """Labels of the instances in `grouped` (B, H, W), the rows of `centers`; those without a pixel are left out.

    An instance's centre is the centroid of its pixels, or the first of those with the largest C
    (config.refine_center); its weight W (Eq. 2) is C of its class there, within [0, 1], with `refine_weight:
    center_semantic` times the mean probability of its class over its pixels. stay : centres and weights are the places
    and values of `centers`.
    """
    rows = len(centers.region)
    place = grouped.flatten().nonzero()[:, 0]
    row = grouped.flatten()[place] - 1
    column = columns_of(classes, place, row, rows)
    if stay:
        middle, value = torch.stack([centers.y, centers.x], 1).float(), centers.value
    else:
        middles = centroids if config.refine_center == "centroid" else tops
        middle = middles(place, row, rows, of_class(center, classes))
        y, x = middle.round().long().T
        value = center[centers.photo, column, y, x]
    value = value.clamp(0, 1)
    if config.refine_weight == "center_semantic":
        value = value * mean_of(of_class(probability[:, 1:], classes).flatten()[place], row, rows)
    kept = counted(row, rows) > 0
    renumbered = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0)])
    kept = kept.nonzero()[:, 0]
    return Labels(renumbered[grouped], centers.photo[kept], column[kept], middle[kept], value[kept])


def columns_of(classes, place, row, rows):
    """(rows,) int64: the column of the class that all pixels (`place`, flat) of a row have; 0 where it has none."""
    found = torch.zeros(rows, dtype=torch.int64, device=place.device)
    return found.scatter_reduce_(0, row, classes.flatten()[place] - 1, "amax")


def centroids(place, row, rows, value):
    """(rows, 2) float32: mean y, x of the pixels `place` (flat, of maps like `value`) of each row, 0 where none is."""
    _, y, x = unravel(place, value.shape[1:])
    # sums of whole numbers: exact in any order
    sums = torch.zeros((2, rows), dtype=torch.int64, device=place.device).index_add_(1, row, torch.stack([y, x]))
    return (sums.double() / counted(row, rows).clamp(min=1)).T.float()


def tops(place, row, rows, value):
    """(rows, 2) float32: y, x of the first pixel of each row with its largest `value`, 0 where it has none."""
    of = value.flatten()[place]
    top = torch.full((rows,), -torch.inf, device=of.device).scatter_reduce_(0, row, of, "amax")
    at = of == top[row]
    first = torch.full((rows,), value.numel(), device=place.device).scatter_reduce_(0, row[at], place[at], "amin")
    _, y, x = unravel(torch.where(first < value.numel(), first, 0), value.shape[1:])
    return torch.stack([y, x], 1).float()


def mean_of(values, row, rows):
    """(rows,) float32: mean of `values` ((n,) float32) by `row`, 0 where a row has none."""
    total = torch.zeros(rows, dtype=torch.float64, device=values.device).index_add_(0, row, values.double())
    return (total / counted(row, rows).clamp(min=1)).float()
