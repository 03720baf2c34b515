"""True positives of refined labels over the training of the network that refines them, as one line a recipe."""

WIDE, HIGH, LEFT, BELOW = 640, 240, 44, 26  # the plot's size and its margins, in units of the SVG


def true_positives(rows):
    """What the template draws, or None where no row has snapshots.

    rows : of `table.rows`. Returns {"photos", "objects", "wide", "high", "left", "x", "y", "lines"}; y: (y, text) of
    ticks of true positives, x: (x, text) of iterations; lines: name, tone, dashed (the tone was drawn before), points
    ("x,y x,y ..."), dots, and a text of the last one.
    Source: BESTIE, Fig. 6.
    """
    shown = [row for row in rows if row.get("snapshots")]
    if not shown:
        return None
    last = max(one["iteration"] for row in shown for one in row["snapshots"]) or 1
    top = rounded_up(max(one["true_positives"] for row in shown for one in row["snapshots"]))
    first = shown[0]["snapshots"][0]

    def place(one):
        x = LEFT + (WIDE - LEFT - 8) * one["iteration"] / last
        return round(x, 1), round(8 + (HIGH - BELOW - 8) * (1 - one["true_positives"] / top), 1)

    lines, tones = [], []
    for row in shown:
        dots = [
            {"x": place(one)[0], "y": place(one)[1], "title": f"{row['name']}, iteration {one['iteration']:,}: "
             f"{one['true_positives']:,} of {one['instances']:,} labels are true positives"}
            for one in row["snapshots"]
        ]  # fmt: skip
        end = row["snapshots"][-1]
        lines.append({
            "name": row["name"], "tone": row["tone"], "dots": dots, "dashed": row["tone"] in tones,
            "points": " ".join(f"{dot['x']},{dot['y']}" for dot in dots),
            "text": f"{end['true_positives']:,} of {end['instances']:,}",
        })  # fmt: skip
        tones.append(row["tone"])
    return {
        "photos": first["photos"], "objects": first["objects"], "wide": WIDE, "high": HIGH, "left": LEFT,
        "y": [(place({"iteration": 0, "true_positives": top * k / 4})[1], f"{top * k // 4:,}") for k in range(5)],
        "x": [(place({"iteration": last * k / 4, "true_positives": 0})[0], f"{last * k // 4:,}") for k in range(5)],
        "lines": lines,
    }  # fmt: skip


def rounded_up(value):
    """The smallest of 4, 8, 12, 16, 20, 24, 32, 40, 80, 120, ... that is at least `value`: its quarters are whole."""
    size = 1
    while True:
        for step in (4, 8, 12, 16, 20, 24, 32):
            if step * size >= value:
                return step * size
        size *= 10
