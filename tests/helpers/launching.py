"""What torchrun does, with forked processes: what takes long to import is imported once."""

import torch


def in_two_processes(function, *arguments):
    """Call a function in each of two processes (gloo); for a fresh process: at a fork no threads may be at work."""
    import accelerate  # noqa: F401
    import transformers.optimization  # noqa: F401
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    torch.set_num_threads(1)  # forked processes have no thread pool
    torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())  # the first optimiser imports a lot
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        start_method="fork",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    elastic_launch(launch, function)(*arguments)
