"""Run in an image, in each process of torchrun: print the result of an all-reduce on gloo."""

import json
import os

import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank() + 1), 10.0])
dist.all_reduce(total)
print(
    json.dumps(
        {
            "rank": dist.get_rank(),
            "size": dist.get_world_size(),
            "sum": total.tolist(),
            "master": os.environ.get("MASTER_ADDR"),
        }
    ),
    flush=True,
)
dist.destroy_process_group()
