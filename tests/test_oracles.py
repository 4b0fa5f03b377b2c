"""The formulas against independent implementations: torch-fidelity, torchmetrics and prdc on the same features."""

import numpy as np
import prdc
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from aigc_core.evaluation import metrics

#: What the project promises is 0.001; in float64 much less is left.
CLOSE = 1e-6
DIMENSIONS = (6, 48)


def features(d, seed, n=600, shift=0.0):
    """Correlated, skewed, in two clusters: nothing that a formula for round clouds would survive."""
    chance = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(d, d)) / np.sqrt(d)
    rows = (chance.gamma(2.0, size=(n, d)) - 2) @ mixing
    rows[: n // 3] += 2.0
    return rows + shift


@pytest.fixture(params=DIMENSIONS, scope="module")
def sets(request):
    return features(request.param, 0), features(request.param, 1, shift=0.2)


class AsIs(torch.nn.Module):
    """In place of a feature network: the "images" are features already, (N, d, 1, 1)."""

    def __init__(self, d):
        super().__init__()
        self.num_features = d

    def forward(self, images):
        return images.flatten(1)


def images(rows):
    return torch.from_numpy(rows)[:, :, None, None]


def test_frechet_distance_is_that_of_torch_fidelity(sets):
    statistics = [fid_features_to_statistics(torch.from_numpy(rows)) for rows in sets]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert metrics.frechet_distance(*sets) == pytest.approx(expected, rel=CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_frechet_distance_is_that_of_torchmetrics(sets):
    d = sets[0].shape[1]
    oracle = FrechetInceptionDistance(feature=AsIs(d), input_img_size=(d, 1, 1)).set_dtype(torch.float64)
    for rows, real in zip(sets, (True, False), strict=True):
        for start in range(0, 600, 100):
            oracle.update(images(rows[start : start + 100]), real=real)
    assert metrics.frechet_distance(*sets) == pytest.approx(float(oracle.compute()), rel=CLOSE)


def test_kid_and_mmd_are_those_of_torch_fidelity(sets):
    """One subset that is the whole set: no chance is left in it."""
    whole = {"kid_subsets": 1, "kid_subset_size": 600, "verbose": False, "rng_seed": 0}
    key, tensors = "kernel_inception_distance_mean", [torch.from_numpy(rows) for rows in sets]
    expected = kid_features_to_metric(*tensors, **whole, kid_kernel="poly")[key]
    found = metrics.KernelDistance(sets[0], metrics.cubic_kernel(sets[0].shape[1]))(sets[1])
    assert found == pytest.approx(expected, rel=CLOSE)
    kernel = metrics.rbf_kernel(sets[0], 0)
    width = float(torch.pdist(tensors[0]).median())
    expected = kid_features_to_metric(*tensors, **whole, kid_kernel="rbf", kid_kernel_rbf_sigma=width)[key]
    assert metrics.KernelDistance(sets[0], kernel)(sets[1]) == pytest.approx(expected, rel=CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_kid_is_that_of_torchmetrics(sets):
    oracle = KernelInceptionDistance(feature=AsIs(sets[0].shape[1]), subsets=1, subset_size=600)
    for rows, real in zip(sets, (True, False), strict=True):
        oracle.update(images(rows), real=real)
    found = metrics.KernelDistance(sets[0], metrics.cubic_kernel(sets[0].shape[1]))(sets[1])
    assert found == pytest.approx(float(oracle.compute()[0]), rel=1e-5)  # torchmetrics stores float32


@pytest.mark.parametrize("k", [3, 5])
def test_precision_recall_density_coverage_are_those_of_prdc(sets, k, capsys):
    expected = prdc.compute_prdc(*sets, nearest_k=k)
    support = metrics.density_coverage(*sets, k)
    assert support.density == pytest.approx(expected["density"], rel=CLOSE)
    assert support.coverage == pytest.approx(expected["coverage"], rel=CLOSE)
    assert support.precision == pytest.approx(expected["precision"], rel=CLOSE)
    assert metrics.recall(*sets, k) == pytest.approx(expected["recall"], rel=CLOSE)
    assert 0 < expected["recall"] < 1


def test_precision_and_recall_are_those_of_torch_fidelity(sets):
    real, generated = (torch.from_numpy(rows) for rows in sets)
    chosen = {"prc_neighborhood": 3, "prc_batch_size": 250, "save_cpu_ram": True, "verbose": False}
    expected = prc_features_to_metric(generated, real, **chosen)
    assert metrics.density_coverage(*sets, 3).precision == pytest.approx(expected["precision"], rel=CLOSE)
    assert metrics.recall(*sets, 3) == pytest.approx(expected["recall"], rel=CLOSE)
