"""Training code to start from: fits a line on generated data, with as many processes as torchrun starts."""

import argparse

import torch
import torch.distributed as dist


def device() -> torch.device:
    """Return this process's GPU, or the CPU if there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local = dist.get_rank() % torch.cuda.device_count()
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def train(*, steps: int, place: torch.device) -> float:
    """Fit y = 3x + 1 and return the last loss, averaged over the processes."""
    torch.manual_seed(dist.get_rank())
    # Without a list of devices: each process has one, whichever that is.
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1).to(place))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = torch.zeros(())
    for _ in range(steps):
        x = torch.rand(64, 1, device=place)
        loss = torch.nn.functional.mse_loss(model(x), 3 * x + 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    total = loss.detach().clone()
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()


def main() -> None:
    """Train; the first process prints the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500, help="how many; default: %(default)s")
    options = parser.parse_args()
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        loss = train(steps=options.steps, place=device())
        if dist.get_rank() == 0:
            print(f"{dist.get_world_size()} processes, loss {loss:.6f}", flush=True)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
