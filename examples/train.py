"""Train a small CNN on a dataset and print its accuracy: `python -m examples.train [DATASET_H5]`, on any CPU."""

import sys

import torch
from torch import nn

from imageset.reader import ImageSet, loader

EPOCHS = 12
BATCH_SIZE = 64
LEARNING_RATE = 3e-3
SEED = 0


def network(channels: int, classes: int) -> nn.Module:
    """Return a CNN of four blocks, each of which halves the image. Then it averages, so images may have any size."""
    layers: list[nn.Module] = [nn.Conv2d(channels, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU()]
    for inputs, outputs in ((16, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(128, classes))


def train(model: nn.Module, dataset: ImageSet) -> None:
    """Train for EPOCHS epochs, and print the mean loss of each."""
    batches = loader(dataset, BATCH_SIZE, shuffle=True, seed=SEED, drop_last=True)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, EPOCHS * len(batches))
    for epoch in range(EPOCHS):
        total = 0.0
        for images, labels in batches:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total / len(batches):.3f}", file=sys.stderr)


@torch.inference_mode()
def accuracy(model: nn.Module, dataset: ImageSet) -> float:
    """Return the share of images whose class the model predicts."""
    model.eval()
    right = [int((model(images).argmax(1) == labels).sum()) for images, labels in loader(dataset, BATCH_SIZE)]
    return sum(right) / len(dataset)


def main(path: str = "data/dataset.h5") -> None:
    """Train on the train subset and test on the test subset."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    photos, test_photos = (ImageSet(path, subset, normalize=True) for subset in ("train", "test"))
    model = network(photos.image_shape[-1], photos.num_labels)
    train(model, photos)
    print(f"accuracy {accuracy(model, test_photos):.4f} on {len(test_photos)} test photos, {photos.num_labels} classes")


if __name__ == "__main__":
    main(*sys.argv[1:])
