"""Sum the ranks over all processes: `torchrun --nproc_per_node=2 all_reduce.py`."""

import torch
import torch.distributed as dist


def main() -> None:
    dist.init_process_group("gloo")
    value = torch.tensor([float(dist.get_rank() + 1)])
    dist.all_reduce(value)
    size = dist.get_world_size()
    expected = size * (size + 1) / 2
    if value.item() != expected:
        raise SystemExit(f"rank {dist.get_rank()}: the sum is {value.item()}, not {expected}")
    if dist.get_rank() == 0:
        print(f"all-reduce over {size} processes: {value.item():.0f}, as it should be")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
