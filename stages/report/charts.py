"""Numbers of the charts, ready to be drawn as bars: widths in per cent of the axis, texts beside them."""

import math

from stages.report.table import HEADLINE, headline
from tag2mask.view.text import share


def axis(values, *, least=0.1):
    """The end of an axis for shares: the smallest of 0.1, 0.2, 0.25, 0.5, 0.75 and 1 that holds all `values`."""
    top = max([least, *(value for value in values if value is not None)])
    return next(end for end in (0.1, 0.2, 0.25, 0.5, 0.75, 1.0, math.inf) if end >= top - 1e-9)


def headlines(rows):
    """{"end", "bars"}: AP50 on the validation photos of the recipes that have one."""
    shown = [row for row in rows if headline(row) is not None]
    end = axis([headline(row) for row in shown])
    bars = [
        {
            "name": row["name"], "tone": row["tone"], "wide": width(headline(row), end), "text": share(headline(row)),
            "ratio": None if row["ratio"] is None else share(row["ratio"], 0), "note": row["note"],
        }
        for row in shown
    ]  # fmt: skip
    return {"end": share(end, 0), "bars": bars}


def per_class(rows, part, colours):
    """{"end", "classes": [{"name", "colour", "objects", "bars"}]}: AP per class at IoU 0.5, and 0.25 behind it.

    part : "labels" or "predictions". colours : {category: css colour}. None where no row has the part.
    """
    measured = [row for row in rows if row[part]]
    if not measured:
        return None
    terms = {row["name"]: {one["category"]: one for one in row[part]["classes"] if one["objects"]} for row in measured}
    known = {c: one for found in terms.values() for c, one in found.items()}
    behind = "mAP25"
    end = axis([one.get(name) for found in terms.values() for one in found.values() for name in (HEADLINE, behind)])
    classes = []
    for category in sorted(known):
        bars = []
        for row in measured:
            one = terms[row["name"]].get(category, {})
            value, loose = one.get(HEADLINE), one.get(behind)
            bars.append({
                "name": row["name"], "tone": row["tone"], "wide": width(value, end), "loose": width(loose, end),
                "text": share(value),
                "title": f"{row['name']}: AP50 {share(value)}, AP25 {share(loose)}, "
                         f"{one.get('instances', 0):,} masks",
            })  # fmt: skip
        one = known[category]
        classes.append(
            {"name": one["name"], "colour": colours.get(category, "#888"), "objects": one["objects"], "bars": bars}
        )
    return {"end": share(end, 0), "classes": classes, "rows": measured}


def width(value, end):
    """Per cent of the axis, for CSS."""
    return round(100 * (value or 0.0) / end, 2)


def costs(rows, busy):
    """The rows of `runs.costs` with texts and the width of a bar by wall time. busy : seconds in all, or None."""
    longest = max((row["seconds"] for row in rows), default=1) or 1
    dressed = []
    for row in rows:
        dressed.append({**dress(row, longest), "variants": [dress(one, longest) for one in row["variants"]]})
    total = sum(row["seconds"] for row in rows)
    memory = max((row["memory"] for row in rows), default=0)
    if not rows:
        return None
    return {
        "rows": dressed, "total": duration(total), "memory": megabytes(memory),
        "busy": None if busy is None else duration(busy),
    }  # fmt: skip


def dress(row, longest):
    return {
        **row, "wide": round(100 * row["seconds"] / longest, 2), "time": duration(row["seconds"]),
        "cpu_time": duration(row["cpu"]), "peak": megabytes(row["memory"]),
    }  # fmt: skip


def duration(seconds):
    """3.2 s, 4 min 10 s, 2 h 05 min."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def megabytes(value):
    """850 MB, 1.2 GB."""
    return f"{value:.0f} MB" if value < 1000 else f"{value / 1024:.1f} GB"
