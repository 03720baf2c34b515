# The labels of all proposals of the dataset at once; without edges (solver argmax) each for itself.
use rule cpu_job as graph_cut with:
    input:
        **reads(
            "graph_cut",
            mil="mil/{shard}.zarr.zip",
            edges="graph/edges.zarr.zip",
            proposals="proposals/{shard}.zarr.zip",
            salient="saliency/{shard}.salient.zarr.zip",
        ),
    output:
        instances="<out>/graph_cut/{variant}/labels.zarr.zip",
        labels="<out>/graph_cut/{variant}/labels.nodes.zarr.zip",
        manifest="<out>/graph_cut/{variant}/labels.json",
    pathvars:
        job="graph_cut.{variant}",
    conda:
        "../../envs/graph.yaml"
    params:
        **job("graph_cut"),
