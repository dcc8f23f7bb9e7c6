"""What a command measured, as files: scores with intervals, what each query got, a run in TREC's format; comparisons.

docs/results-files.md describes the files.
"""
