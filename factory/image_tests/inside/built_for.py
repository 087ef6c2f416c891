"""Run in an image: print the architectures that torch was compiled for. Needs no GPU."""

from __future__ import annotations

import json

import torch

# get_arch_list() is empty without a GPU; what it calls is not.
found = torch.cuda.get_arch_list() or (torch._C._cuda_getArchFlags() or "").split()  # noqa: SLF001
print(json.dumps({"version": torch.__version__, "architectures": [one.partition(":")[0] for one in found]}))
