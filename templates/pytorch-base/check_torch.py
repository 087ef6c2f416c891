"""Check that this torch is the one that was asked for: version, commit, and every architecture. Needs no GPU.

    check_torch.py --version 2.11.0 --commit 40_HEX_DIGITS --arch-list "8.0;9.0+PTX"
"""

import argparse
import json
import os
import sys


def wanted_architectures(arch_list):
    """TORCH_CUDA_ARCH_LIST, or PYTORCH_ROCM_ARCH, as torch names architectures: sm_90, compute_90, gfx942."""
    wanted = []
    for entry in arch_list.replace(";", " ").split():
        if entry.startswith("gfx"):
            wanted.append(entry.partition(":")[0])
            continue
        number, plus, _ = entry.partition("+")
        wanted.append("sm_" + number.replace(".", ""))
        if plus:
            wanted.append("compute_" + number.replace(".", ""))
    return wanted


def compiled_architectures():
    """Return what torch was compiled for; get_arch_list() itself is empty without a GPU."""
    import torch

    found = torch.cuda.get_arch_list() or (torch._C._cuda_getArchFlags() or "").split()
    return [entry.partition(":")[0] for entry in found]


def complaints(options, source):
    import torch

    if torch.__version__.partition("+")[0] != options.version:
        yield "torch is %s, and %s was asked for" % (torch.__version__, options.version)
    if source["commit"] != options.commit:
        yield "torch was compiled from %s, and %s was asked for" % (source["commit"], options.commit)
    found = compiled_architectures()
    missing = [entry for entry in wanted_architectures(options.arch_list) if entry not in found]
    if missing:
        yield "torch was not compiled for %s, only for %s" % (", ".join(missing), ", ".join(found) or "none")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--arch-list", required=True)
    options = parser.parse_args()
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "source.json")
    with open(beside, encoding="utf-8") as file:
        found = list(complaints(options, json.load(file)))
    for line in found:
        print("error: " + line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
