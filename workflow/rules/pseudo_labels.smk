# From here on all recipes share the road.
use rule cpu_job as pseudo_labels with:
    input:
        **reads(
            "pseudo_labels",
            more={"instances": lambda w: labels_of(w.recipe)},
        ),
    output:
        labels=directory("<out>/pseudo_labels/{recipe}/labels.zarr"),
        coco="<out>/pseudo_labels/{recipe}/labels.coco.json",
        manifest="<out>/pseudo_labels/{recipe}/labels.json",
    pathvars:
        job="pseudo_labels.{recipe}",
    params:
        **job("pseudo_labels"),
