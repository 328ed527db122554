"""A curated set in, a trained model and its numbers out; `eyeline-train` is `train.cli:main`.

Importing this package loads neither torch nor Lightning; the modules beneath it do.
"""
