"""DINOv2 (Oquab et al. 2023) from a local weights file, as FD-DINOv2 uses it (Stein et al. 2023).

A vision transformer (Dosovitskiy et al. 2021) with layer scale (Touvron et al. 2021), read from the tensors' own
shapes, so that the small, base and large weights, with and without register tokens, load by the same code. The file
is a state dict with the names of the published one, as .safetensors or as .pth (read with weights_only, never
unpickled). Features are the class token after the last norm.

Legend: N = images, T = tokens, D = width, P = patch side in px.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from aigc_core.errors import DataError
from aigc_core.evaluation.batches import in_batches
from aigc_core.evaluation.extractors.base import (
    Entry,
    Features,
    Place,
    instruments,
    to_colour,
    weights_file,
)
from aigc_core.files import sha256_file

NAME = "dinov2"
#: Images are resized to this side, the one of FD-DINOv2 (px).
SIDE = 224
#: All published sizes have heads of this width.
HEAD = 64
NORM_EPS = 1e-6
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AT_LEAST, BETTER = 2_048, 10_000
BATCH = 32

Tensors = Mapping[str, torch.Tensor]


class Dinov2:
    """The network as one function of its tensors: nothing in it is trained here."""

    def __init__(self, tensors: Tensors, digest: str = "", device: str = "cpu") -> None:
        self.tensors = {name: value.float().to(device) for name, value in tensors.items()}
        self.hash, self.device = digest, device
        self.dimensions = int(self.tensors["cls_token"].shape[-1])
        self.patch = int(self.tensors["patch_embed.proj.weight"].shape[-1])
        self.depth = 1 + max(int(found[1]) for name in tensors if (found := re.match(r"blocks\.(\d+)\.", name)))

    def features(self, pixels: torch.Tensor, dimensions: int | None = None) -> Features:
        """Features (N, d) float64 of uint8 pixels; the first d of the class token's D."""
        found = in_batches(pixels, lambda batch: self.embed(prepare(batch)), BATCH, self.device).double().numpy()
        return found[:, : dimensions or self.dimensions]

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Class tokens (N, D) of normalised images (N, 3, S, S); S is cut down to whole patches."""
        side = images.shape[-1] // self.patch * self.patch
        t = self.tensors
        patches = F.conv2d(
            images[..., :side, :side], t["patch_embed.proj.weight"], t["patch_embed.proj.bias"], stride=self.patch
        )
        tokens = torch.cat([t["cls_token"].expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        tokens = tokens + self._positions(side // self.patch)
        if "register_tokens" in t:
            registers = t["register_tokens"].expand(len(images), -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], 1)
        for index in range(self.depth):
            tokens = self._block(tokens, f"blocks.{index}.")
        return self._norm(tokens[:, 0], "norm")

    def _positions(self, grid: int) -> torch.Tensor:
        """Position embeddings (1, 1 + grid^2, D), resized by cubic interpolation where the weights know another grid."""
        whole = self.tensors["pos_embed"]
        known = round((whole.shape[1] - 1) ** 0.5)
        if known == grid:
            return whole
        square = whole[:, 1:].reshape(1, known, known, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(square, size=(grid, grid), mode="bicubic", align_corners=False)
        return torch.cat([whole[:, :1], resized.permute(0, 2, 3, 1).reshape(1, grid * grid, -1)], 1)

    def _block(self, tokens: torch.Tensor, at: str) -> torch.Tensor:
        t = self.tensors
        tokens = tokens + self._attention(self._norm(tokens, at + "norm1"), at + "attn.") * t[at + "ls1.gamma"]
        hidden = F.gelu(self._linear(self._norm(tokens, at + "norm2"), at + "mlp.fc1"))
        return tokens + self._linear(hidden, at + "mlp.fc2") * t[at + "ls2.gamma"]

    def _attention(self, tokens: torch.Tensor, at: str) -> torch.Tensor:
        count, length, width = tokens.shape
        qkv = self._linear(tokens, at + "qkv").reshape(count, length, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return self._linear(mixed.transpose(1, 2).reshape(count, length, width), at + "proj")

    def _linear(self, tokens: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(tokens, self.tensors[name + ".weight"], self.tensors[name + ".bias"])

    def _norm(self, tokens: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
        return F.layer_norm(tokens, (tokens.shape[-1],), weight, bias, NORM_EPS)


def prepare(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (N, C, S, S) to float (N, 3, 224, 224) in ImageNet's normalisation; bicubic, smoothed where it shrinks."""
    images = to_colour(pixels).float() / 255
    if images.shape[-1] != SIDE:
        images = F.interpolate(images, size=(SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
    mean, std = (torch.tensor(values, device=images.device).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (images.clamp(0, 1) - mean) / std


def open_dinov2(place: Place) -> Dinov2:
    """Read the weights. Raises DataError for a missing or foreign file, and for the giant size's other layers."""
    path = weights_file(place, NAME, "a DINOv2 state dict (.safetensors or .pth)")
    tensors = _read(path)
    needed = {"cls_token", "pos_embed", "patch_embed.proj.weight", "norm.weight", "blocks.0.attn.qkv.weight"}
    missing = sorted(needed - set(tensors))
    if missing:
        raise DataError(
            f"params.yaml: evaluate.weights.dinov2 = {str(path)!r} lacks {missing[0]!r}: give a state dict of DINOv2"
        )
    if "blocks.0.mlp.w12.weight" in tensors:
        raise DataError(
            f"params.yaml: evaluate.weights.dinov2 = {str(path)!r} is the giant size, whose layers are not built here: "
            "give the small, base or large one"
        )
    return Dinov2(tensors, sha256_file(path), place.device)


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    except Exception as error:  # readers raise many kinds for foreign bytes; each means the same to the user
        raise DataError(
            f"params.yaml: evaluate.weights.dinov2 = {str(path)!r} cannot be read ({type(error).__name__}): give a "
            ".safetensors file, or a .pth that holds tensors only"
        ) from None


instruments.register(NAME)(Entry(open_dinov2, AT_LEAST, BETTER, cut=False))
