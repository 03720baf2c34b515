# tag2mask: from image tags to instance masks. `snakemake --cores 8 --resources gpu=8` runs the demo on generated
# scenes; `--configfile config/folder.yaml` your own photos. Every stage has a folder in
# stages/ and a file of rules in workflow/rules/, found by its name; none is listed here.
from snakemake.utils import min_version

min_version("9.27")  # pathvars, and all that was tried


configfile: f"{workflow.basedir}/config/recipes.yaml"


if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/jobs.smk"


for word in STAGES:

    include: f"workflow/rules/{word}.smk"


rule all:
    default_target: True
    input:
        f"{OUT}/report/report.html",
