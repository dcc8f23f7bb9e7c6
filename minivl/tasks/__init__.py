"""Downstream tasks: a model, its fine-tuning, its scores."""
