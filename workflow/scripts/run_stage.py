"""Every rule's script: hands the job to the stage that its parameters name."""

from tag2mask.run.adapter import main

main(snakemake)  # noqa: F821, Snakemake puts it here
