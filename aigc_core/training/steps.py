"""The families in training, by name."""

from __future__ import annotations

import torch

from aigc_core.config import Train
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import build as build_model
from aigc_core.registry import Registry
from aigc_core.training.families.flow import FlowTrainer
from aigc_core.training.families.gan import GanTrainer
from aigc_core.training.families.vae import VaeTrainer
from aigc_core.training.trainer import Trainer

__all__ = ["FlowTrainer", "GanTrainer", "Trainer", "VaeTrainer", "build", "trainers"]

trainers: Registry[type[FlowTrainer] | type[GanTrainer] | type[VaeTrainer]] = Registry("model family")
trainers.register("flow")(FlowTrainer)
trainers.register("gan")(GanTrainer)
trainers.register("vae")(VaeTrainer)


def build(spec: ModelSpec, train: Train, device: torch.device, seed: int) -> Trainer:
    """A trainer with freshly drawn weights, the same for the same seed on any device.

    Weights of convolutions lie with their channels last, which convolutions on processors and tensor cores ask for.
    """
    make: type = trainers[spec.family]
    model = build_model(spec, seed).to(memory_format=torch.channels_last)
    trainer: Trainer = make(model, getattr(train, spec.family), device)
    return trainer
