# tag2mask: from image tags to instance masks. `snakemake --cores 8 --resources gpu=8` runs the demo on generated
# scenes; `--configfile config/folder.yaml` your own photos. The order of the rules below is the order of the work.
from snakemake.utils import min_version

min_version("9.10")


configfile: f"{workflow.basedir}/config/recipes.yaml"


if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/proposals.smk"
include: "workflow/rules/classifier.smk"
include: "workflow/rules/cam.smk"
include: "workflow/rules/semantic.smk"
include: "workflow/rules/mil.smk"
include: "workflow/rules/graph.smk"
include: "workflow/rules/graph_cut.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/bestie.smk"
include: "workflow/rules/reference.smk"
include: "workflow/rules/pseudo_labels.smk"
include: "workflow/rules/refine.smk"
include: "workflow/rules/segment.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"{OUT}/report/report.html",
