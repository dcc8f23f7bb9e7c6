"""The papers' recipes at full scale: their settings, what they cost, and the weights they start from."""
