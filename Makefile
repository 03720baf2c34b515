# Thin: each target is a line or two. `make demo` and `make test` set up everything they need.
UV  := $(shell command -v uv || echo .uv/bin/uv)
ENV := .venv/.synced
RUN := .venv/bin/python -m
SHELL := /bin/bash
PHOTOS ?= photos20
SEEDS ?= 0 1 2

.PHONY: demo photos test test-slow test-exports test-slurm lint docs lock clean bench-demo bench-photos bench-photos-gpu bench-proposals bench-cut bench-bestie bench-cim bench-prm bench-scale bench-fuse ablate-liid ablate-bestie ablate-bestie-photos ablate-cim ablate-icn

demo: $(ENV)
	.venv/bin/snakemake --cores 2 --resources gpu=8

# Your own photos: make photos ROOT=my-photos [SHOW=transfer]. Short schedules where there is no GPU.
photos: $(ENV)
	@test -d "$(ROOT)" || { echo "Name your folder of photos: make photos ROOT=my-photos"; exit 1; }
	.venv/bin/snakemake --cores all --resources gpu=8 --configfile config/folder.yaml $(SMALL) --config 'dataset={root: $(ROOT)}' run=$(shell basename "$(ROOT)" | tr -c 'A-Za-z0-9_\n-' -) $(if $(SHOW),'show=[$(SHOW)]')
SMALL = $(shell nvidia-smi -L >/dev/null 2>&1 || echo config/cpu.yaml)

test: $(ENV)
	$(RUN) pytest -q -n 2 --dist loadfile -m "not slow" tests

test-slow: $(ENV)
	$(RUN) pytest -q -m slow tests

# A small chain through a real Slurm on this machine (root; apt-get install slurm-wlm munge).
test-slurm: $(ENV)
	$(UV) pip install --quiet --python .venv/bin/python "snakemake-executor-plugin-slurm>=2.8,<3"
	.venv/bin/pytest -m slow tests/workflow/test_slurm.py

# The exports in the tools that they are meant for, in an environment of its own.
test-exports: .venv-exports/.synced
	.venv-exports/bin/python -m pytest -q tests/exports

.venv-exports/.synced: pyproject.toml | .uv/bin/uv
	test -x .venv-exports/bin/python || $(UV) venv --quiet --python "$$(command -v python3)" .venv-exports
	$(UV) pip install --quiet --python .venv-exports/bin/python --group exports
	touch $@

# Three seeds of the demo, their median into docs/benchmarks.md.
bench-demo: $(ENV)
	for seed in 0 1 2; do .venv/bin/snakemake --cores 2 --config seed=$$seed run=demo-$$seed || exit 1; done
	$(RUN) benchmarks.recipes --section demo --title "Generated scenes" --command "make bench-demo" results/demo-[012]

# Real photos in VOC's layout: the whole chain, then (resumable, about half an hour a row) a longer training for each row of `train`.
bench-photos: $(ENV)
	.venv/bin/snakemake --cores 2 --configfile config/voc2012.yaml config/cpu.yaml config/quick.yaml benchmarks/config/photos20.yaml --config 'dataset={root: $(PHOTOS)}'
	$(RUN) benchmarks.recipes --section photos-long --title "Real photos, 1,000 iterations" --command "make bench-photos PHOTOS=photos20" results/photos20

# The same on one large GPU: longer trainings.
bench-photos-gpu: $(ENV)
	.venv/bin/snakemake --cores all --resources gpu=8 --configfile config/voc2012.yaml benchmarks/config/photos20.yaml config/gpu.yaml --config 'dataset={root: $(PHOTOS)}' run=photos20-gpu
	$(RUN) benchmarks.recipes --section photos-gpu --title "Real photos, on a GPU" --command "make bench-photos-gpu PHOTOS=photos20" results/photos20-gpu

bench-proposals: $(ENV)
	$(RUN) benchmarks.proposals --root $(PHOTOS)

# The multi-way cut, Fan's program and the neighbour search against their peers, in one run (resumable case by case).
bench-cut: $(ENV)
	$(RUN) benchmarks.cut
	$(RUN) benchmarks.partition
	$(RUN) benchmarks.neighbours

# A training step of BESTIE with and without its refinement, in one run.
bench-bestie: $(ENV)
	$(RUN) benchmarks.bestie_step

# A training step of CIM, and its mining beside the released way, in one run.
bench-cim: $(ENV)
	$(RUN) benchmarks.cim_step

# Peak response maps a second, together and one by one, in one run.
bench-prm: $(ENV)
	$(RUN) benchmarks.prm_maps

# What several recipes fused are worth on generated scenes, three seeds, and where the weights of `fuse` come from.
FUSE := --cores 2 --configfile config/config.yaml benchmarks/config/fuse.yaml --config
bench-fuse: $(ENV)
	for seed in $(SEEDS); do .venv/bin/snakemake $(FUSE) seed=$$seed run=fuse-$$seed || exit 1; done
	$(RUN) benchmarks.fuse_weights $(SEEDS:%=results/fuse-%)

# Jobs that hold tables of all photos, at 10,000 photos and at COCO's size: hours, 15 GB of disk in /tmp.
bench-scale: $(ENV)
	$(RUN) benchmarks.scale

# LIID's Tables 1 to 8 on generated scenes that nothing is learned from, three seeds (resumable row by row).
LIID := --cores 2 --configfile config/config.yaml benchmarks/config/ablate_liid.yaml --config

ablate-liid: $(ENV)
	for seed in $(SEEDS); do .venv/bin/snakemake $(LIID) seed=$$seed run=ablate-liid-$$seed || exit 1; done
	$(RUN) benchmarks.ablate_liid $(SEEDS:%=results/ablate-liid-%)

# BESTIE's Tables 3 and 4 and Figure 6 on generated scenes (resumable row by row); the points are made from true masks.
ABLATE := --cores 2 --configfile config/config.yaml benchmarks/config/ablate_bestie.yaml --config
ablate-bestie: $(ENV) results/ablate-bestie.csv
	.venv/bin/snakemake $(ABLATE) dataset='{points: results/ablate-bestie.csv}'
	$(RUN) benchmarks.ablate_bestie results/ablate-bestie

results/ablate-bestie.csv: | $(ENV)
	.venv/bin/snakemake images $(ABLATE) show=[full]
	.venv/bin/tag2mask points results/ablate-bestie/images/default/truth.zarr.zip $@

# The same on real photos, rows 1, 4 and 5 and points, without Mask R-CNN (BESTIE, Sec. 4.5).
REAL = --cores 2 --configfile config/voc2012.yaml config/cpu.yaml config/quick.yaml benchmarks/config/photos20.yaml benchmarks/config/ablate_bestie.yaml --config run=photos20-bestie train=[]
ablate-bestie-photos: $(ENV) results/photos20-bestie.csv
	.venv/bin/snakemake $(REAL) show=[cam_no_guidance,no_clustering,bestie,bestie_points,transfer,transfer_cam_peaks,transfer_points,whole_photo] dataset='{root: $(PHOTOS), points: $(CURDIR)/results/photos20-bestie.csv}'
	$(RUN) benchmarks.ablate_bestie results/photos20-bestie --section ablate-bestie-photos --title "BESTIE on real photos" --command "make ablate-bestie-photos PHOTOS=photos20"

results/photos20-bestie.csv: | $(ENV)
	.venv/bin/snakemake images $(REAL) show=[full] dataset='{root: $(PHOTOS)}'
	.venv/bin/tag2mask points results/photos20-bestie/images/default/truth.zarr.zip $@

# CIM's Tables 4 (three seeds), 5, 6 and Figure 4 on generated scenes (resumable row by row).
CIM := --cores 2 --configfile config/config.yaml benchmarks/config/ablate_cim.yaml --config
ablate-cim: $(ENV)
	for seed in 0 1 2; do .venv/bin/snakemake $(CIM) seed=$$seed run=ablate-cim-$$seed || exit 1; done
	$(RUN) benchmarks.ablate_cim results/ablate-cim-[012] --only "Table 4" "Figure 4"
	.venv/bin/snakemake $(CIM) run=ablate-cim-0 show=[$(ROWS)]
	$(RUN) benchmarks.ablate_cim results/ablate-cim-0 --only "Table 5" "Table 6" Labels --section ablate-cim-more --title "CIM's Tables 5 and 6"
ROWS := mist,agpl,maskiou,no_cascade,cim,cascade_05,cascade_15,cascade_20,seeds_05,seeds_15,seeds_20,all_05,all_10,all_15,all_20,cim_released

# ICN's Tables 1, 3 and 4 on generated scenes, three seeds (resumable row by row).
ICN := --cores 2 --configfile config/config.yaml benchmarks/config/ablate_icn.yaml --config
ablate-icn: $(ENV)
	for seed in 0 1 2; do .venv/bin/snakemake $(ICN) seed=$$seed run=ablate-icn-$$seed || exit 1; done
	$(RUN) benchmarks.ablate_icn results/ablate-icn-[012]

lint: $(ENV)
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/snakefmt --check Snakefile workflow
	.venv/bin/mypy && .venv/bin/lint-imports

# What is made in docs/: keys.md from the models, the picture of the rules in architecture.md.
docs: $(ENV)
	$(RUN) docs.make_keys
	$(RUN) docs.make_inputs
	$(RUN) docs.make_dag

lock: .venv/.synced
	$(UV) pip compile pyproject.toml --group dev --generate-hashes --no-header --universal --python-version 3.11 -o requirements.txt

clean:
	rm -rf .venv .venv-exports .uv

.uv/bin/uv:
	command -v uv || (python3 -m venv .uv && .uv/bin/pip install --quiet uv)

$(ENV): requirements.txt pyproject.toml | .uv/bin/uv
	test -x .venv/bin/python || $(UV) venv --quiet --python "$$(command -v python3)" .venv
	$(UV) pip install --quiet --python .venv/bin/python "setuptools<81" wheel
	$(UV) pip sync --quiet --compile-bytecode --python .venv/bin/python requirements.txt
	$(UV) pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	touch $@
