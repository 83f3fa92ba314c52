"""The models of the PyTorch loop, as its users write them."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


def mlp(shape: tuple[int, ...], outputs: int, hparams: dict[str, Any]) -> nn.Module:
    sizes = [shape[0], *hparams["widths"]]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [
            nn.Linear(a, b),
            ACTIVATIONS[hparams["activation"]](),
            nn.Dropout(hparams["dropout"]),
        ]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


def cnn(shape: tuple[int, ...], outputs: int, hparams: dict[str, Any]) -> nn.Module:
    channels, height, width = shape
    first, second = hparams["filters"]
    return nn.Sequential(
        nn.Conv2d(channels, first, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear((height // 4) * (width // 4) * second, hparams["dense"]),
        nn.ReLU(),
        nn.Dropout(hparams["dropout"]),
        nn.Linear(hparams["dense"], outputs),
    )


class Block(nn.Module):
    """A basic block of a residual network, its shortcut without weights."""

    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, filters, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1, bias=False),
            nn.BatchNorm2d(filters),
        )
        self.stride, self.more = stride, filters - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return torch.relu(self.body(x) + nn.functional.pad(shortcut, (0, 0, 0, 0, 0, self.more)))


def resnet(shape: tuple[int, ...], outputs: int, hparams: dict[str, Any]) -> nn.Module:
    filters = hparams["filters"]
    layers: list[nn.Module] = [
        nn.Conv2d(shape[0], filters[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(filters[0]),
        nn.ReLU(),
    ]
    inputs = filters[0]
    for stage, size in enumerate(filters):
        for number in range(hparams["blocks"]):
            layers.append(Block(inputs, size, 2 if stage and number == 0 else 1))
            inputs = size
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(hparams["dropout"]))
    return nn.Sequential(*layers, *head, nn.Linear(inputs, outputs))


class Lstm(nn.Module):
    def __init__(self, shape: tuple[int, ...], outputs: int, hparams: dict[str, Any]) -> None:
        super().__init__()
        self.rnn = nn.LSTM(shape[-1], hparams["width"], batch_first=True)
        self.dropout = nn.Dropout(hparams["dropout"])
        self.head = nn.Linear(hparams["width"], outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.rnn(x)[0][:, -1]))


class Transformer(nn.Module):
    """An encoder of texts as ids, of which 0 is padding."""

    def __init__(self, shape: tuple[int, ...], outputs: int, hparams: dict[str, Any]) -> None:
        super().__init__()
        width = hparams["width"]
        self.tokens = nn.Embedding(hparams["vocabulary"], width)
        self.places = nn.Parameter(torch.randn(shape[0], width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width,
            hparams["heads"],
            hparams["feed"],
            hparams["dropout"],
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, hparams["depth"], enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        is_real = x != 0
        y = self.layers(self.tokens(x) + self.places, src_key_padding_mask=~is_real)
        y = self.norm(y) * is_real[..., None]
        return self.head(y.sum(1) / is_real.sum(1, keepdim=True).clamp(min=1))


class RealMlp(nn.Module):
    """RealMLP (arXiv:2407.04491): periodic features, factors of inputs, NTK layers, SELU."""

    def __init__(self, shape: tuple[int, ...], outputs: int, hparams: dict[str, Any]) -> None:
        super().__init__()

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape))

        features = shape[0]
        self.frequencies, self.phases = normal(features, 16), normal(features, 16)
        self.waves, self.offsets = normal(features, 16, 3), normal(features, 3)
        sizes = [4 * features, *hparams["widths"]]
        self.factors = nn.Parameter(torch.ones(sizes[0]))
        pairs = [*itertools.pairwise(sizes)]
        self.kernels = nn.ParameterList([normal(a, b) for a, b in pairs])
        self.biases = nn.ParameterList([normal(b) for _, b in pairs])
        self.mixes = nn.ParameterList([nn.Parameter(torch.ones(b)) for _, b in pairs])
        self.head = nn.Linear(sizes[-1], outputs)
        self.dropout = nn.Dropout(hparams["dropout"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        waves = torch.cos(2 * torch.pi * 0.1 * x[..., None] * self.frequencies + self.phases)
        found = torch.einsum("bnw,nwf->bnf", waves, self.waves / 4) + self.offsets
        x = torch.cat([x, found.flatten(1)], 1) * self.factors
        for kernel, bias, mix in zip(self.kernels, self.biases, self.mixes, strict=True):
            z = x @ kernel / len(kernel) ** 0.5 + bias
            x = self.dropout(z + mix * (nn.functional.selu(z) - z))
        return self.head(x)


MODELS = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet": resnet,
    "lstm": Lstm,
    "transformer": Transformer,
    "realmlp": RealMlp,
}
