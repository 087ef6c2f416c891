"""Run in an image, in torchrun's process for each GPU: all-reduce on NCCL (or RCCL)."""

import json
import os

import torch
import torch.distributed as dist

device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
torch.cuda.set_device(device)
dist.init_process_group("nccl", device_id=device)
total = torch.tensor([float(dist.get_rank() + 1)], device=device)
dist.all_reduce(total)
answer = {"rank": dist.get_rank(), "size": dist.get_world_size(), "sum": total.tolist()}
print(json.dumps({**answer, "version": ".".join(map(str, torch.cuda.nccl.version()))}), flush=True)
dist.destroy_process_group()
