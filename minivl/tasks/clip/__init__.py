"""Retrieval and search with CLIP, adapted or not."""
