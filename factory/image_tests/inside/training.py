"""Run in an image: fine-tune a tiny model on generated data with training-hub.

The model, its tokenizer (one token per byte) and the conversations are made here.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import sys
import tempfile
import time
from typing import Any

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
TEMPLATE = "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}</s>{% endfor %}"
ROWS = 16
KEPT_CHARACTERS = 6000


def make_model(folder: str) -> None:
    """Save a Llama of a few thousand parameters and a tokenizer for it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    words = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    whole.chat_template = TEMPLATE
    whole.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = LlamaConfig(
        vocab_size=len(words), num_key_value_heads=2, max_position_embeddings=512, **sizes, **tokens
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def make_data(path: str) -> None:
    """Write conversations as training-hub reads them, one a line."""
    with open(path, "w", encoding="utf-8") as file:
        for number in range(ROWS):
            asked = {"role": "user", "content": f"What is {number} plus {number}?"}
            answered = {"role": "assistant", "content": f"It is {2 * number}."}
            file.write(json.dumps({"messages": [asked, answered]}) + "\n")


def train(folder: str, done: dict[str, Any]) -> None:
    """Do each step after its name is recorded in ``done``."""
    done["step"] = "training-hub is imported"
    from importlib.metadata import version

    import torch
    import training_hub

    done["version"] = version("training-hub")
    done["gpu"] = torch.cuda.is_available()
    done["algorithms"] = sorted(training_hub.AlgorithmRegistry.list_algorithms())
    done["step"] = "a model and data are made"
    make_model(f"{folder}/model")
    make_data(f"{folder}/data.jsonl")
    done["step"] = "the training runs"
    training_hub.sft(
        model_path=f"{folder}/model",
        data_path=f"{folder}/data.jsonl",
        ckpt_output_dir=f"{folder}/out",
        data_output_dir=f"{folder}/made",
        num_epochs=1,
        effective_batch_size=8,
        learning_rate=1e-3,
        max_seq_len=256,
        max_tokens_per_gpu=1024,
        warmup_steps=0,
        save_samples=0,
        checkpoint_at_epoch=True,
        accelerate_full_state_at_epoch=False,
        disable_flash_attn=True,
        nproc_per_node=1,
        nnodes=1,
        node_rank=0,
        rdzv_id=1,
        rdzv_endpoint="127.0.0.1:29500",
    )
    done["step"] = ""


@contextlib.contextmanager
def kept_output(path: str) -> Any:
    """Redirect the output of this process and its children into a file."""
    sys.stdout.flush()
    kept = os.dup(1), os.dup(2)
    with open(path, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)


def lines_of(pattern: str) -> int:
    total = 0
    for path in glob.glob(pattern):
        with open(path, "rb") as file:
            total += sum(1 for _ in file)
    return total


def main() -> None:
    os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"})
    done: dict[str, Any] = {"step": "", "problem": "", "gpu": False, "version": ""}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        said = f"{folder}/said"
        try:
            with kept_output(said):
                train(folder, done)
        except (Exception, SystemExit) as error:
            done["problem"] = f"{type(error).__name__}: {error}"[:1000]
        with open(said, encoding="utf-8", errors="replace") as file:
            done["said"] = file.read()[-KEPT_CHARACTERS:]
        done["rows"] = lines_of(f"{folder}/made/*.jsonl")
        saved = glob.glob(f"{folder}/out/**/*.safetensors", recursive=True)
        done["checkpoints"] = sorted(os.path.relpath(path, folder) for path in saved)
    done["seconds"] = round(time.monotonic() - start, 2)
    print(json.dumps(done))


if __name__ == "__main__":
    main()
