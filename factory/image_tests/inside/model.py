"""Run in an image: make a small model, train it one step, save a checkpoint and load it.

Nothing is downloaded. Argument: the device, "cpu" or "cuda" (which is ROCm's name too).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any


def try_model(device: str, done: dict[str, Any]) -> None:
    """Do each step after its name is recorded in ``done``."""
    done["step"] = "imports"
    import safetensors.torch
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    done["step"] = "the model is made from a configuration"
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=128, num_key_value_heads=2, max_position_embeddings=64, **sizes)
    model = AutoModelForCausalLM.from_config(config).to(device)
    done["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    done["step"] = "a forward pass"
    words = torch.randint(0, 128, (4, 16), device=device)
    before = model(input_ids=words, labels=words).loss
    done["loss"] = [round(before.item(), 4)]
    done["step"] = "a backward pass"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        loss = model(input_ids=words, labels=words).loss
        loss.backward()
        optimizer.step()
    done["without_gradient"] = [name for name, value in model.named_parameters() if value.grad is None]
    done["loss"].append(round(model(input_ids=words, labels=words).loss.item(), 4))
    with tempfile.TemporaryDirectory() as folder:
        done["step"] = "a checkpoint is saved"
        model.save_pretrained(folder)
        done["files"] = sorted(os.listdir(folder))
        done["step"] = "the checkpoint is loaded"
        weights = safetensors.torch.load_file(os.path.join(folder, "model.safetensors"))
        done["tensors"] = len(weights)
        again = AutoModelForCausalLM.from_pretrained(folder).to(device)
        own, loaded = model.state_dict(), again.state_dict()
        done["different"] = [name for name in own if not torch.equal(own[name], loaded[name])]
        done["step"] = "the loaded model computes the same"
        model.eval(), again.eval()
        with torch.no_grad():
            done["same"] = bool(torch.equal(model(input_ids=words).logits, again(input_ids=words).logits))
    done["step"] = ""


def main(device: str) -> None:
    done: dict[str, Any] = {"step": "", "problem": ""}
    start = time.monotonic()
    try:
        try_model(device, done)
    except Exception as error:  # whatever fails is the answer
        done["problem"] = f"{type(error).__name__}: {error}"[:1500]
    done["seconds"] = round(time.monotonic() - start, 2)
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cpu")
