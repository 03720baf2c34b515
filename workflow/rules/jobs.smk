# Every rule of a stage is one of these two. `job` is the name of its log and of its benchmark.
rule cpu_job:
    log:
        "<logs>/<job>.log",
    benchmark:
        "<benchmarks>/<job>.tsv"
    conda:
        "../../envs/images.yaml"
    threads: job_threads
    resources:
        gpu=gpus,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb,
        runtime=minutes,
    script:
        SCRIPT


rule gpu_job:
    log:
        "<logs>/<job>.log",
    benchmark:
        "<benchmarks>/<job>.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: gpu_threads
    resources:
        gpu=gpus_of_gpu_job,
        torch_threads=PLAN.threads,
        mem_mb=mem_mb,
        runtime=minutes,
    script:
        SCRIPT


onstart:
    for line in estimate.lines(PLAN):
        logger.info(line)


onsuccess:
    table = f"{OUT}/report/table.md"
    if os.path.exists(table):
        print(open(table).read())
        print(f"Report: {os.path.abspath(f'{OUT}/report/report.html')}")
