"""The five downstream tasks of UniVL."""
