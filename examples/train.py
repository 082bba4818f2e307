"""Train a small CNN on a dataset, on any CPU: `python -m examples.train [DATASET_H5 [WEIGHTS_PT]]`. A run that was
stopped goes on where it was, within ten epochs, when the same command is given again."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from imageset.reader import Augment, ImageSet, loader

IMAGES = 30_000  # that it learns from: few photos come more often than many
BATCH_SIZE = 32
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1  # answers are less sure, and better where photos are few
EPOCHS_PER_SAVE = 10
SEED = 0
CHANGES = Augment(flip=0.5, shift=0.1, rotate=12, brightness=0.15, erase=0.5)


def make_network(side: int, channels: int, classes: int) -> nn.Module:
    """Return a CNN of five blocks. Its first makes images smaller by a step of pixels, the more the larger they are."""
    step, pool = max(2, side // 64), nn.MaxPool2d(2, ceil_mode=True)
    layers: list[nn.Module] = [nn.Conv2d(channels, 16, 2 * step + 1, step, step), nn.BatchNorm2d(16), nn.ReLU()]
    for inputs, outputs in ((16, 32), (32, 64), (64, 128), (128, 256)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), pool]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, classes))


def train(model: nn.Module, photos: ImageSet, weights: Path) -> None:
    """Train, and write the weights now and then; first go on from those that a stopped run has left."""
    size = min(BATCH_SIZE, len(photos))
    batches = loader(photos, size, shuffle=True, seed=SEED, drop_last=True, transform_batch=CHANGES)
    epochs = -(-IMAGES // len(photos))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, epochs * len(batches))
    learner: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule, "batches": batches}
    found = torch.load(weights) if weights.exists() else {}
    if found.get("content_digest") == photos.content_digest and found["batches"]["epoch"] < epochs:
        for name, part in learner.items():
            part.load_state_dict(found[name])
    rates = photos.class_weights("inverse")
    for epoch in range(batches.epoch, epochs):
        total = 0.0
        for images, labels in batches:
            loss = nn.functional.cross_entropy(model(images), labels, rates, label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"\repoch {epoch + 1} of {epochs}: loss {total / len(batches):.3f}", end="", file=sys.stderr, flush=True)
        if epoch % EPOCHS_PER_SAVE == 0 or epoch + 1 == epochs:
            state = {name: part.state_dict() for name, part in learner.items()}
            torch.save({"content_digest": photos.content_digest, "classes": photos.classes, **state}, f"{weights}.new")
            Path(f"{weights}.new").replace(weights)
    print(file=sys.stderr)


@torch.inference_mode()
def answer(model: nn.Module, photos: ImageSet) -> torch.Tensor:
    """Return the label that the model gives each photo, int64 (N,)."""
    model.eval()
    return torch.cat([(model(images) + model(images.flip(3))).argmax(1) for images, *_ in loader(photos, BATCH_SIZE)])


def show_classes(photos: ImageSet, test_photos: ImageSet, right: torch.Tensor) -> None:
    """Print the classes with the smallest share of right answers; `right` is bool (N,), of the test photos."""
    tested = test_photos.class_counts
    found = torch.bincount(test_photos.labels[right], minlength=len(tested))
    order = sorted(tested.nonzero().flatten().tolist(), key=lambda label: (found[label] / tested[label], label))
    print(f"{'class, the worst first':30} {'train':>5} {'test':>5} {'right':>5}")
    for label in order[:12]:
        print(f"{photos.classes[label]:30.30} {photos.class_counts[label]:5} {tested[label]:5} {found[label]:5}")


def main(path: str = "data/dataset.h5", weights: str = "classifier.pt") -> None:
    """Train on the train subset, test on the test subset, and print how good that is beside simple answers."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    photos, test_photos = (ImageSet(path, name, normalize=True, augmented=False) for name in ("train", "test"))
    model = make_network(min(photos.image_shape[:2]), photos.image_shape[-1], photos.num_labels)
    train(model, photos, Path(weights))
    right, learned = (answer(model, each) == each.labels for each in (test_photos, photos))
    show_classes(photos, test_photos, right)
    print(f"accuracy {right.float().mean():.4f} on {len(test_photos)} test photos, {photos.num_labels} classes")
    print(f"         {learned.float().mean():.4f} on the {len(photos)} training photos")
    if (baseline := Path(path).parent.parent / "reports/baseline.json").exists():
        print(f"         {json.loads(baseline.read_text())['accuracy']:.4f} on the test photos by stage baseline")
    floor = (test_photos.labels == photos.class_counts.argmax()).float().mean()
    print(f"         {floor:.4f} on them where each answer is the commonest class\n{weights} has the weights")


if __name__ == "__main__":
    main(*sys.argv[1:])
