"""What GPUs reach at best, to estimate hours of runs that were not run."""

from minivl.config import ConfigError

PEAKS: dict[str, dict[str, float]] = {  # of dense matrix products, TFLOP/s, as the makers state them
    "a100": {"bf16": 312, "tf32": 156, "fp32": 19.5},
    "h100": {"bf16": 989, "tf32": 495, "fp32": 67},
    "v100": {"fp32": 15.7},
    "rtx4090": {"bf16": 165, "tf32": 83, "fp32": 83},
}


def require_peak(gpu: str, precision: str) -> float:
    """The peak of a GPU in TFLOP/s. Raises ConfigError, which names the known ones, if it is not known."""
    if precision not in PEAKS.get(gpu, {}):
        known = ", ".join(f"{name} in {' or '.join(peaks)}" for name, peaks in PEAKS.items())
        raise ConfigError(f"no peak is known of {gpu} in {precision}: choose {known}")
    return PEAKS[gpu][precision]
