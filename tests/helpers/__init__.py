"""What several tests share: small models and batches, files in the corpora's own formats, scripts for processes."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
HELPERS = TESTS / "helpers"
RECORDINGS = TESTS / "recorded"  # inputs, weights and outputs of the released code
