"""Run contenders over workloads, compare their answers and report paired ratios."""
