"""The memorization gate's bars: what it must not withhold, and what it must see, with the limits of params.yaml.

    python bench/memorization.py [--sets digits mnist cifar10] [--draws 50] [--only NAME ...] [--write docs/metrics.md]
    python bench/memorization.py --speed

Every draw takes its own training images, held-out images and fresh ones, all disjoint, from one seed; --first changes which.
Honest samples are to be withheld in at most 2 % of the draws; what copies has to be withheld as often as the table says.
digits are those of scikit-learn, MNIST is read from --data/mnist, CIFAR-10 (in grey) from --data/cifar10.zip; a set that is
not there is left out, and that is said. --speed prints what the judge takes at n 500 and 2,000, 8 and 28 px.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from blindness import check, publish
from PIL import Image
from real_data import mnist as read_mnist
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from aigc_core.config import load
from aigc_core.evaluation.memorization import Limits, Memorization, Witness
from aigc_core.evaluation.neighbours import nearest_rows

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
#: Training, held-out and fresh images of a draw of MNIST and of CIFAR-10; of digits it is a half and two quarters.
LARGE = (2000, 500, 500)
#: Principal components of a class of images above 8 px that a mixture is fitted to.
COMPONENTS = 50
HONEST = 0.02
#: Name of each set on the command line to that of its table.
NAMES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10, grey"}
#: Rows of the ablation study that MNIST stands for in --speed.
SIZES = ((8, 900, 450), (28, 900, 500), (28, 10_000, 500), (28, 10_000, 2_000))


@dataclass(frozen=True)
class Images:
    """All images of a set: pixels (N, 1, S, S) uint8, labels (N,)."""

    name: str
    pixels: torch.Tensor
    labels: torch.Tensor
    written: bool = False  # the order of the images is that of the people who wrote them

    def sizes(self) -> tuple[int, int, int]:
        """Training, held-out and fresh images of a draw."""
        rows = len(self.labels)
        return LARGE if rows > 2 * sum(LARGE) else (rows // 2, rows // 4, rows - rows // 2 - rows // 4)


@dataclass(frozen=True)
class Draw:
    """One draw: training images with labels, held-out and fresh images, and its chance."""

    train: torch.Tensor
    train_labels: torch.Tensor
    held_out: torch.Tensor
    fresh: torch.Tensor
    fresh_labels: torch.Tensor
    chance: np.random.Generator


#: Training images, held-out images, samples.
Trial = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def drawn(images: Images, seed: int, rows: torch.Tensor | None = None) -> Draw:
    """Disjoint images out of all, or of `rows` in the same shares."""
    pool = torch.arange(len(images.labels)) if rows is None else rows
    scale = 1 if rows is None else len(rows) / len(images.labels)
    order = pool[torch.from_numpy(np.random.default_rng(seed).permutation(len(pool)))]
    counts = [int(scale * count) for count in images.sizes()]
    train, held, fresh = torch.split(order[: sum(counts)], counts)
    pixels, labels = images.pixels, images.labels
    return Draw(
        pixels[train], labels[train], pixels[held], pixels[fresh], labels[fresh], np.random.default_rng([seed, 1])
    )


def as_bytes(values: torch.Tensor) -> torch.Tensor:
    return values.clamp(0, 255).round().to(torch.uint8)


# -- honest samples --------------------------------------------------------------------------------


def fresh(images: Images, seed: int) -> Trial:
    one = drawn(images, seed)
    return one.train, one.held_out, one.fresh


def shrunk(images: Images, seed: int, share: float) -> Trial:
    """Fresh images, each pulled towards the mean of the training images of its class."""
    one = drawn(images, seed)
    means = torch.stack([one.train[one.train_labels == label].float().mean(0) for label in range(10)])
    return one.train, one.held_out, as_bytes((1 - share) * one.fresh + share * means[one.fresh_labels])


def central(images: Images, seed: int) -> Trial:
    """The hundred fresh images nearest to the mean of their class, as many times as samples are needed."""
    one = drawn(images, seed)
    means = torch.stack([one.train[one.train_labels == label].float().mean(0) for label in range(10)])
    far = (one.fresh - means[one.fresh_labels]).square().flatten(1).sum(1)
    best = far.argsort()[:100].numpy()
    return one.train, one.held_out, one.fresh[torch.from_numpy(one.chance.choice(best, len(one.fresh)))]


def mixed(images: Images, seed: int, components: int) -> Trial:
    """Samples of full Gaussians that were fitted to the training images of each class."""
    one = drawn(images, seed)
    found = torch.empty((len(one.fresh), images.pixels[0].numel()))
    for label in range(10):
        rows = one.train[one.train_labels == label].flatten(1).numpy() / 255.0
        wanted = np.flatnonzero(one.fresh_labels.numpy() == label)
        view = PCA(min(COMPONENTS, rows.shape[1], len(rows) - 1), random_state=seed).fit(rows)
        values = view.transform(rows)
        mixture = GaussianMixture(components, reg_covar=1e-5, random_state=seed).fit(values)
        mixture.random_state = seed + 1
        if len(wanted):
            found[wanted] = torch.from_numpy(view.inverse_transform(mixture.sample(len(wanted))[0]) * 255).float()
    return one.train, one.held_out, as_bytes(found).view(one.fresh.shape)


def writers(images: Images, seed: int) -> Trial:
    """Train and test folders of different writers: fresh images of the training writers, decoys put aside from them."""
    one = drawn(images, seed, torch.arange(len(images.labels) // 2))
    return one.train, one.held_out, one.fresh


def other_writers(images: Images, seed: int) -> Trial:
    """As `writers`, with the other writers' images as held-out ones, which the product does not do."""
    one = drawn(images, seed, torch.arange(len(images.labels) // 2))
    others = images.pixels[len(images.labels) // 2 :]
    chosen = torch.from_numpy(one.chance.permutation(len(others))[: len(one.held_out)])
    return one.train, others[chosen], one.fresh


# -- copies ----------------------------------------------------------------------------------------


def partly(one: Draw, copies: torch.Tensor, share: float) -> torch.Tensor:
    count = int(share * len(one.fresh))
    return torch.cat([copies[:count], one.fresh[count:]])


def chosen_rows(one: Draw) -> torch.Tensor:
    return torch.from_numpy(one.chance.choice(len(one.train), len(one.fresh), replace=len(one.fresh) > len(one.train)))


def verbatim(images: Images, seed: int, share: float) -> Trial:
    one = drawn(images, seed)
    return one.train, one.held_out, partly(one, one.train[chosen_rows(one)], share)


def repeated(images: Images, seed: int) -> Trial:
    """One training image in 2 % of the samples."""
    one = drawn(images, seed)
    return one.train, one.held_out, partly(one, one.train[:1].expand(len(one.fresh), -1, -1, -1), 0.02)


def twinned(images: Images, seed: int, twins: int) -> Trial:
    """A tenth of the training images with `twins` near twins (+-1 grey), and noisy copies of those in 5 % of the samples."""
    one = drawn(images, seed)
    marked = one.train[torch.from_numpy(one.chance.permutation(len(one.train))[: len(one.train) // 10])]
    several = marked.repeat(twins, 1, 1, 1)
    near = as_bytes(several + torch.from_numpy(one.chance.integers(-1, 2, several.shape)).float())
    rows = marked[torch.from_numpy(one.chance.integers(0, len(marked), len(one.fresh)))]
    copies = as_bytes(rows + torch.from_numpy(one.chance.normal(0, 4, rows.shape)).float())
    return torch.cat([one.train, near]), one.held_out, partly(one, copies, 0.05)


def moved(images: Images, seed: int) -> Trial:
    """Every sample a training image that is shifted by a pixel, in one of the eight directions; what leaves comes in again."""
    one = drawn(images, seed)
    ways = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
    rows = one.train[chosen_rows(one)]
    return one.train, one.held_out, torch.stack([row.roll(ways[i % 8], (1, 2)) for i, row in enumerate(rows)])


def mirrored(images: Images, seed: int) -> Trial:
    one = drawn(images, seed)
    return one.train, one.held_out, one.train[chosen_rows(one)].flip(3)


def darkened(images: Images, seed: int) -> Trial:
    one = drawn(images, seed)
    return one.train, one.held_out, as_bytes(one.train[chosen_rows(one)] * 0.8)


def between(images: Images, seed: int) -> Trial:
    """Samples half way between a training image and its nearest neighbour."""
    one = drawn(images, seed)
    flat, rows = one.train.flatten(1), chosen_rows(one)
    nearest = torch.from_numpy(nearest_rows(flat, flat, same=True)[0][:, 0])
    return one.train, one.held_out, as_bytes((one.train[rows].float() + one.train[nearest[rows]].float()) / 2)


@dataclass(frozen=True)
class Bar:
    """What is asked of one kind of samples: the share of draws that is withheld, at most or at least; without, for information."""

    name: str
    make: Callable[[Images, int], Trial]
    most: float | None = None
    least: float | None = None

    def asked(self) -> str:
        """The bar in words."""
        if self.most is not None:
            return f"at most {self.most:.0%}"
        return "no bar" if self.least is None else f"at least {self.least:.0%}"

    def met(self, share: float) -> bool:
        """Whether the share of withheld draws is inside the bar."""
        return share <= (1.0 if self.most is None else self.most) and share >= (self.least or 0.0)


BARS = (
    Bar("fresh real images", fresh, most=HONEST),
    Bar("Gaussian of each class", lambda i, s: mixed(i, s, 1), most=HONEST),
    Bar("mixture of 2 Gaussians", lambda i, s: mixed(i, s, 2), most=HONEST),
    Bar("real, 15 % towards the class mean", lambda i, s: shrunk(i, s, 0.15), most=HONEST),
    Bar("real, 30 % towards the class mean", lambda i, s: shrunk(i, s, 0.3), most=HONEST),
    Bar("the most central real images", central, most=HONEST),
    Bar("the training writers' images, decoys of theirs", writers, most=HONEST),
    Bar("the same, held-out images of others", other_writers),
    Bar("2 % verbatim copies", lambda i, s: verbatim(i, s, 0.02), least=0.95),
    Bar("5 % verbatim copies", lambda i, s: verbatim(i, s, 0.05), least=1),
    Bar("one training image in 2 %", repeated),
    Bar("5 % noisy copies of rows with a twin", lambda i, s: twinned(i, s, 1), least=0.95),
    Bar("5 % noisy copies of rows with 8 twins", lambda i, s: twinned(i, s, 8)),
    Bar("copies shifted by 1 px", moved, least=1),
    Bar("mirrored copies", mirrored, least=1),
    Bar("darkened copies (0.8)", darkened),
    Bar("mixture of 8 Gaussians", lambda i, s: mixed(i, s, 8), least=1),
    Bar("half way between neighbours", between, least=0.95),
)


def digits() -> Images:
    """1,797 images of 8 x 8 px; equal images once."""
    found = load_digits()
    pixels = np.round(found.images * 255 / 16).astype(np.uint8)[:, None]
    _, first = np.unique(pixels.reshape(len(pixels), -1), axis=0, return_index=True)
    first.sort()
    return Images(
        NAMES["digits"], torch.from_numpy(pixels[first]), torch.from_numpy(found.target[first].astype(np.int64)), True
    )


def mnist(data: Path) -> Images:
    """70,000 images of 28 x 28 px."""
    parts = [read_mnist(data, part) for part in ("train", "t10k")]
    pixels, labels = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
    return Images(NAMES["mnist"], torch.from_numpy(pixels[:, None]), torch.from_numpy(labels.astype(np.int64)))


def cifar10(data: Path, count: int = 7000) -> Images:
    """Photographs of 32 x 32 px in ten classes, in grey; the first `count` of a seeded order."""
    with zipfile.ZipFile(data / "cifar10.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        chosen = [names[place] for place in np.random.default_rng(0).permutation(len(names))[:count]]
        pixels = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L")) for name in chosen]
    classes = sorted({Path(name).parent.name for name in chosen})
    labels = [classes.index(Path(name).parent.name) for name in chosen]
    return Images(NAMES["cifar10"], torch.from_numpy(np.stack(pixels)[:, None]), torch.tensor(labels))


def sets(chosen: argparse.Namespace) -> Iterator[Images]:
    """The sets that are asked for and there."""
    if "digits" in chosen.sets:
        yield digits()
    for name, place, read in (("mnist", "mnist", mnist), ("cifar10", "cifar10.zip", cifar10)):
        if name in chosen.sets:
            if (chosen.data / place).exists():
                yield read(chosen.data)
            else:
                print(f"{chosen.data / place} is not there: {name} is left out")


FIGURES = ("copy_rate", "copy_rate_unseen", "closest", "preference", "c_t", "c_t_unseen")


def line(bar: Bar, found: list[Memorization]) -> str:
    """The bar, whether it is met, and the median of each figure over the draws."""
    share = sum(not one.passed for one in found) / len(found)
    form = {"preference": ".2f", "c_t": "+.1f", "c_t_unseen": "+.1f"}
    values = [f"{np.median([one.figures[name] for one in found]):{form.get(name, '.3f')}}" for name in FIGURES]
    said = "" if bar.asked() == "no bar" else "met" if bar.met(share) else "**missed**"
    return f"| {bar.name} | {bar.asked()} | {share:.0%} | {said} | {' | '.join(values)} |"


def table(images: Images, limits: Limits, chosen: argparse.Namespace) -> tuple[list[str], bool]:
    """The bars of one set, and whether all are met."""
    train, held, samples = images.sizes()
    lines = [
        f"{images.name}: {train:,} training, {held:,} held-out images, {samples:,} samples, {chosen.draws} draws from seed {chosen.first}", "",
        "| samples | asked | withheld | | copy rate | of images never seen | closest | preference | C_T | of images never seen |",
        "| --- | --- | ---: | --- |" + " ---: |" * len(FIGURES),
    ]  # fmt: skip
    good = True
    for bar in BARS:
        if (chosen.only and bar.name not in chosen.only) or ("writers" in bar.make.__name__ and not images.written):
            continue
        found = []
        for seed in range(chosen.first, chosen.first + chosen.draws):
            real, held_out, made = bar.make(images, seed)
            found.append(Witness(real, held_out, limits, seed).judge(made))
        good &= bar.met(sum(not one.passed for one in found) / len(found))
        lines.append(line(bar, found))
        print(lines[-1], flush=True)
    return [*lines, ""], good


def speed(limits: Limits, data: Path) -> None:
    """Seconds of the processor of a witness and of one judge, and the peak of memory so far."""
    few, many = digits(), mnist(data)
    for side, train, n in SIZES:
        images = few if side == 8 else many
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(images.labels)))
        parts = [
            images.pixels[rows] for rows in (order[:train], order[train : train + n], order[train + n : train + 2 * n])
        ]
        begun = time.process_time()
        witness = Witness(parts[0], parts[1], limits, 0)
        made = time.process_time()
        witness.judge(parts[2])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{side} px, {len(parts[0]):,} training images, n {len(parts[2]):,}: witness {made - begun:.2f} s, judge "
            f"{time.process_time() - made:.2f} s, peak so far {peak:.0f} MiB"
        )


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[bar.name for bar in BARS])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with mnist/ and cifar10.zip")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables into this page")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    limits = Limits(**load(ROOT / "params.yaml").evaluate.memorization.model_dump())
    if chosen.speed:
        speed(limits, chosen.data)
        return
    check(chosen.write, *(f"memorization {NAMES[name]}" for name in chosen.sets))
    good = True
    for images in sets(chosen):
        lines, met = table(images, limits, chosen)
        good &= met
        publish(lines, f"memorization {images.name}", chosen.write)
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
