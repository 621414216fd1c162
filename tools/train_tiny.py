"""Train the bundled tiny BitNet b1.58 models on Python's documentation.

    python tools/train_tiny.py --arch bitnet       --out build/tiny
    python tools/train_tiny.py --arch bitnet-b1.58 --out build/tiny

Writes `tokenizer.json` and `<arch>.safetensors` (float32 master weights) with the run's record in its
metadata; tools/export_tiny.py makes the GGUF from them.  Needs tools/requirements.txt and the text sources
(reStructuredText) of Debian's python3-doc, PSF licence.

Source of the method: Ma et al. 2024 (arXiv 2402.17764) and "The Era of 1-bit LLMs: Training Tips, Code and
FAQ": absmean ternary weights, per-token absmax int8 activations, straight-through gradients, RMSNorm before
every projection.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

DOCS = Path("/usr/share/doc/python3.11/html/_sources")
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
# The pattern that llama.cpp names "llama-bpe".
LLAMA_BPE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Shape:
    """The tiny model's shape; names follow GGUF metadata."""

    vocab: int = 3584
    layers: int = 6
    width: int = 256
    feed_forward: int = 768
    heads: int = 4
    kv_heads: int = 2
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


# ------------------------------------------------------------------------------------------------ text


def read_documents(root: Path) -> tuple[list[str], list[str]]:
    """Return (training, validation) documents; every twentieth file is held out."""
    files = sorted(root.rglob("*.rst.txt"))
    if not files:
        raise SystemExit(f"{root}: no *.rst.txt files; install Debian's python3-doc or give --docs")
    texts = [f.read_text(encoding="utf-8") for f in files]
    return [t for i, t in enumerate(texts) if i % 20], texts[::20]


def train_tokenizer(documents: list[str], vocab: int) -> Tokenizer:
    """Byte-level BPE with the llama-bpe pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_BPE), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, documents: list[str]) -> Tensor:
    """One stream of token ids: BOS, a document, EOS, and so on."""
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    assert bos is not None, BOS
    assert eos is not None, EOS
    ids: list[int] = []
    for encoding in tokenizer.encode_batch(documents):
        ids += [bos, *encoding.ids, eos]
    return torch.tensor(ids)


def unigram_entropy(train: Tensor, validation: Tensor, vocab: int) -> float:
    """Cross-entropy in nats of validation under the training unigram (add-one smoothed)."""
    counts = torch.bincount(train, minlength=vocab).double() + 1
    return float(-(counts / counts.sum()).log()[validation].mean())


# ------------------------------------------------------------------------------------------------ model


def ternary(weight: Tensor) -> Tensor:
    """absmean ternary weights, straight-through."""
    scale = weight.abs().mean().clamp(min=1e-5)
    quantised = (weight / scale).round().clamp(-1, 1) * scale
    return weight + (quantised - weight).detach()


def int8_per_token(x: Tensor) -> Tensor:
    """absmax int8 activations, one scale a token, straight-through."""
    scale = 127.0 / x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
    quantised = (x * scale).round().clamp(-128, 127) / scale
    return x + (quantised - x).detach()


class BitLinear(nn.Linear):
    """A projection with ternary weights and int8 activations."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(int8_per_token(x), ternary(self.weight))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE, NEOX pairs (i, i + n/2). x: (batch, heads, tokens, head_dim)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Block(nn.Module):
    def __init__(self, shape: Shape, squared_relu: bool) -> None:
        super().__init__()
        width, kv_width = shape.width, shape.kv_heads * shape.head_dim
        self.shape, self.squared_relu = shape, squared_relu
        self.attn_norm = nn.RMSNorm(width, eps=shape.norm_eps)
        self.attn_q, self.attn_k = BitLinear(width, width), BitLinear(width, kv_width)
        self.attn_v, self.attn_output = BitLinear(width, kv_width), BitLinear(width, width)
        self.attn_sub_norm = nn.RMSNorm(width, eps=shape.norm_eps)
        self.ffn_norm = nn.RMSNorm(width, eps=shape.norm_eps)
        self.ffn_gate = BitLinear(width, shape.feed_forward)
        self.ffn_up = BitLinear(width, shape.feed_forward)
        self.ffn_sub_norm = nn.RMSNorm(shape.feed_forward, eps=shape.norm_eps)
        self.ffn_down = BitLinear(shape.feed_forward, width)

    def attention(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, tokens, width = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, tokens, -1, self.shape.head_dim).transpose(1, 2)

        q, k, v = heads(self.attn_q(x)), heads(self.attn_k(x)), heads(self.attn_v(x))
        y = F.scaled_dot_product_attention(
            rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True, enable_gqa=True
        )
        return self.attn_output(self.attn_sub_norm(y.transpose(1, 2).reshape(batch, tokens, width)))

    def feed_forward(self, x: Tensor) -> Tensor:
        gate = self.ffn_gate(x)
        active = F.relu(gate).square() if self.squared_relu else F.silu(gate)
        return self.ffn_down(self.ffn_sub_norm(active * self.ffn_up(x)))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.attn_norm(x), cos, sin)
        return x + self.feed_forward(self.ffn_norm(x))


class TinyBitNet(nn.Module):
    def __init__(self, shape: Shape, arch: str) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        nn.init.normal_(self.token_embd.weight, std=0.02)
        self.blk = nn.ModuleList(Block(shape, arch == "bitnet-b1.58") for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        half = torch.arange(self.shape.head_dim // 2)
        rate = self.shape.rope_base ** (-2.0 * half / self.shape.head_dim)
        angle = torch.arange(tokens.shape[1])[:, None] * rate
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, angle.cos(), angle.sin())
        return F.linear(self.output_norm(x), self.token_embd.weight)


# ------------------------------------------------------------------------------------------------ training


def learning_rate(step: int, steps: int) -> float:
    """Warm up over 2 %, hold, decay linearly over the last 40 %: a factor in [0, 1]."""
    return min(1.0, (step + 1) / (0.02 * steps), (steps - step) / (0.4 * steps))


def batches(ids: Tensor, batch: int, tokens: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (inputs, targets) of shape (batch, tokens) at random offsets."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        start = torch.randint(len(ids) - tokens - 1, (batch,), generator=generator)
        window = ids[start[:, None] + torch.arange(tokens + 1)]
        yield window[:, :-1], window[:, 1:]


@torch.no_grad()
def validate(model: nn.Module, ids: Tensor, tokens: int = 256, windows: int = 64) -> float:
    """Mean cross-entropy in nats over evenly spaced windows."""
    starts = torch.linspace(0, len(ids) - tokens - 2, windows).long()
    window = ids[starts[:, None] + torch.arange(tokens + 1)]
    losses = [
        F.cross_entropy(model(chunk[:, :-1]).flatten(0, 1), chunk[:, 1:].flatten())
        for chunk in window.split(8)
    ]
    return float(torch.stack(losses).mean())


class Muon(Optimizer):
    """Momentum, orthogonalised by five Newton-Schulz steps (Jordan et al. 2024), in float32.

    torch.optim.Muon computes the steps in bfloat16, which CPUs without it emulate a hundred times slower.
    """

    def __init__(self, matrices: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(buffer, group["momentum"]))
                p.add_(update, alpha=-group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Bring all singular values of a matrix near one."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if wide is matrix else x.T


def optimisers(model: TinyBitNet, steps: int) -> tuple[list[Optimizer], list[LambdaLR]]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embd" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim < 2 or "embd" in name]
    chosen = [
        Muon(matrices, lr=0.02),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    schedules = [LambdaLR(o, lambda s: learning_rate(s, steps)) for o in chosen]
    return chosen, schedules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", choices=["bitnet", "bitnet-b1.58"], required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--docs", type=Path, default=DOCS)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    shape = Shape()
    train_text, validation_text = read_documents(args.docs)
    tokenizer = train_tokenizer(train_text, shape.vocab)
    tokenizer.save(str(args.out / "tokenizer.json"))
    train, validation = encode(tokenizer, train_text), encode(tokenizer, validation_text)
    unigram = unigram_entropy(train, validation, shape.vocab)
    print(f"{len(train):,} training tokens, {len(validation):,} held out, unigram entropy {unigram:.3f} nats")

    model = TinyBitNet(shape, args.arch)
    steppers, schedules = optimisers(model, args.steps)
    data = batches(train, args.batch, 256, args.seed)
    checkpoint = args.out / f"{args.arch}.safetensors"
    started = time.monotonic()
    for step in range(args.steps):
        inputs, targets = next(data)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper, schedule in zip(steppers, schedules, strict=True):
            stepper.step()
            stepper.zero_grad()
            schedule.step()
        if step % 20 == 0:
            print(f"step {step} loss {loss.item():.3f} {time.monotonic() - started:.0f} s", flush=True)
        if not math.isfinite(loss.item()):
            raise SystemExit(f"step {step}: the loss is {loss.item()}")
        if (step + 1) % 250 == 0 or step + 1 == args.steps:
            record = {
                "arch": args.arch,
                "steps": step + 1,
                "seed": args.seed,
                "tokens_seen": (step + 1) * args.batch * 256,
                "validation_loss": validate(model, validation),
                "unigram_entropy": unigram,
                **asdict(shape),
            }
            print(json.dumps(record), flush=True)
            save_file(model.state_dict(), checkpoint, {"record": json.dumps(record)})


if __name__ == "__main__":
    main()
