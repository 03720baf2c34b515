# Reads the dataset, whatever its layout, into stores: tags and splits (for all), masks and boxes (for few), points.
from stages.images.lists import list_files

GIVEN = {
    name: f"<out>/images/default/{name.replace('_manifest', '.json') if 'manifest' in name else name + '.zarr.zip'}"
    for artifact in ("truth", "points")
    if PLAN.writes(artifact)
    for name in (artifact, f"{artifact}_manifest")
}


use rule cpu_job as images with:
    input:
        lists=list_files(PLAN.config("images")),
    output:
        **GIVEN,
        index="<out>/images/default/index.zarr.zip",
        manifest="<out>/images/default/index.json",
    pathvars:
        job="images",
    params:
        **job("images"),
