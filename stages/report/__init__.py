"""report: one self-contained page with the table of recipes and pictures of every step.

Pictures are data URIs, charts and style stand in the page itself: it opens anywhere, with no network.
`tag2mask picture RUN OUT.png` makes a small grid of the same pictures.
"""


def run(inputs, config, job):
    """{"report": HTML, "table": Markdown, the table of recipes for the terminal}.

    inputs : index; labels, one store a recipe of `config.recipes`; predictions, one a recipe that trains, or None; and,
    each missing or None where the run has none: added (the labels that a training added, one store a recipe that
    trains); truth; metrics (JSON, one a recipe); picture_<k> and picture_<k>_peaks (the stores of the k-th of
    `config.pictures`, one a shard); panel_<k> (the manifests that the k-th of `config.panels` tells of); segmentation
    (label maps, one store a recipe with a DeepLab). Times, memory and versions come from the `.run.json` files beside
    the artifacts that these inputs were made from.
    """
    from stages.report import page

    return page.build(inputs, config, job)
