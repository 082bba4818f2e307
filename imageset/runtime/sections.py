"""The models of all sections of params.yaml, in the file's order: which values are accepted.

They hold plain values. What is computed from a section, such as an image's shape, belongs to the wing that uses it, so
that nothing here can change a byte of an output.
"""

import datetime
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], Strict(False)]  # from, to; YAML has lists, not tuples
Text = Annotated[str, Field(pattern=r"\S")]
Line = Annotated[str, Field(pattern=r"^[^\r\n]*\S[^\r\n]*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Channel = Annotated[int, Field(ge=0, le=255)]
LARGEST_PHOTO = 178_956_970  # pixels: Pillow opens no larger one, twice its Image.MAX_IMAGE_PIXELS
PhotoPixels = Annotated[int, Field(ge=1, le=LARGEST_PHOTO)]
Color = Literal["grayscale", "rgb"]
Fit = Literal["stretch", "pad", "crop"]
Precision = Literal["float32", "bfloat16", "int8"]
Device = Literal["cpu", "cuda"]
Format = Literal["jpeg", "png", "webp", "gif", "avif", "heic"]
Word = TypeVar("Word", bound=str)


class Section(BaseModel):
    """Base of a section: no unknown key, no silent conversion, no infinity, no change after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def require_different(names: list[Word]) -> list[Word]:
    """Return names. Raises ValueError where one is there more than once."""
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{repeated[0]} is there more than once: write it once")
    return names


class SourceParams(Section):
    """Section `source`: which rows of the database the dataset is made of."""

    as_of: str | None
    limit: int | None = Field(ge=1)
    photos_per_listing: int = Field(ge=1, le=32_767)
    columns: list[Name]
    group_by: Name | None

    @field_validator("as_of", mode="before")
    @classmethod
    def is_utc_timestamp(cls, value: object) -> object:
        if value is not None and not (isinstance(value, str) and is_utc(value)):
            raise ValueError('expected null or a quoted UTC timestamp such as "2026-01-31T00:00:00Z"')
        return value

    @field_validator("columns")
    @classmethod
    def are_different(cls, value: list[str]) -> list[str]:
        return require_different(value)


class IngestParams(Section):
    """Section `ingest`: which photos are fetched into the bucket."""

    enabled: bool
    max_bytes: int = Field(ge=1)
    max_pixels: PhotoPixels
    formats: list[Format] = Field(min_length=1)
    refused_robots_tags: list[str]
    robots: Literal["ignore", "obey"]
    unreachable: Literal["fail", "reject"]
    max_rejected_share: Share

    @field_validator("formats")
    @classmethod
    def are_different(cls, value: list[Format]) -> list[Format]:
        return require_different(value)


class ModelParams(Section):
    """Section `model`: the weights of the background-removal network."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    allow_non_commercial: bool


class MasksParams(Section):
    """Section `masks`: how the garment is found in a photo."""

    background: Literal["remove", "keep"]
    side: int | None = Field(ge=64, le=2048, multiple_of=32)
    precision: Precision
    device: Device
    use_alpha: bool

    @model_validator(mode="after")
    def fits_the_device(self) -> Self:
        if self.device == "cuda" and self.precision != "float32":
            raise ValueError(f"precision {self.precision} is for device cpu: set precision to float32")
        return self


class EmbedParams(Section):
    """Section `embed`: whether photos get embeddings."""

    enabled: bool


class PreprocessParams(Section):
    """Section `preprocess`: how a photo and its mask become pixels."""

    fill: Annotated[tuple[Channel, Channel, Channel], Strict(False)]
    fit: Fit
    color: Color
    image_side: int = Field(ge=8, le=4096)
    min_foreground: Share
    max_foreground: Share
    max_pixels: PhotoPixels
    min_sharpness: Share | None
    min_brightness: float | None = Field(ge=0, le=255)
    max_brightness: float | None = Field(ge=0, le=255)
    min_side: int | None = Field(ge=1)
    max_aspect_ratio: float | None = Field(ge=1)
    max_rejected_share: Share

    @model_validator(mode="after")
    def leaves_room_for_brightness(self) -> Self:
        darkest, lightest = self.min_brightness, self.max_brightness
        if darkest is not None and lightest is not None and darkest > lightest:
            raise ValueError(f"min_brightness has to be max_brightness at the most; they are {darkest} and {lightest}")
        return self

    @model_validator(mode="after")
    def leaves_room_for_foreground(self) -> Self:
        if self.min_foreground > self.max_foreground:
            least, most = self.min_foreground, self.max_foreground
            raise ValueError(f"min_foreground has to be max_foreground at the most; they are {least} and {most}")
        return self


class DuplicatesParams(Section):
    """Section `duplicates`: which photos are near-duplicates."""

    distance: int = Field(ge=0, le=16)
    likeness: Share
    max_products: int = Field(ge=1)
    max_rejected_share: Share


class LeakageParams(Section):
    """Section `leakage`: how many photos are copied to measure what the search for duplicates finds."""

    planted: int = Field(ge=0, le=10_000)


class CatalogParams(Section):
    """Section `catalog`: which class a photo has."""

    label_conflict: Literal["latest", "drop"]
    keep: Literal["all", "best"]
    min_photos: int = Field(ge=1)
    rare: Literal["drop", "merge"]


class SplitParams(Section):
    """Section `split`: the shares of the subsets."""

    test_share: float = Field(ge=0, lt=1)
    validation_share: float = Field(ge=0, lt=1)
    seed: int

    @model_validator(mode="after")
    def leaves_photos_to_train_on(self) -> Self:
        if self.test_share + self.validation_share >= 1:
            raise ValueError("test_share and validation_share together have to be below 1")
        return self


class AugmentParams(Section):
    """Section `augment`: the augmented copies of training photos."""

    copies: int = Field(ge=1, le=32_767)
    balance: Literal["none", "to_median", "to_max"]
    max_copies: int = Field(ge=1, le=32_767)
    seed: int
    flip_probability: Share
    rotate_probability: Share
    rotate_degrees: Range
    translate_probability: Share
    translate_share: Range
    blur_probability: Share
    blur_radius: Range
    noise_probability: Share
    noise_stddev: Range

    @model_validator(mode="after")
    def ranges_ascend(self) -> Self:
        for name in ("rotate_degrees", "translate_share", "blur_radius", "noise_stddev"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} = [{low}, {high}]: the first number has to be the lower one")
        if min(self.blur_radius[0], self.noise_stddev[0]) < 0:
            raise ValueError("blur_radius and noise_stddev have to be 0 or more")
        if max(self.blur_radius[1], self.noise_stddev[1]) > 255 or max(map(abs, self.translate_share)) > 1:
            raise ValueError("blur_radius and noise_stddev have to be 255 at most, translate_share between -1 and 1")
        return self


class BuildParams(Section):
    """Section `build`: the order and the storage of the rows."""

    seed: int
    compression: Literal["none", "gzip"]

    @field_validator("compression", mode="before")
    @classmethod
    def is_written(cls, value: object) -> object:
        if value == "lzf":  # written by earlier versions
            raise ValueError("lzf is no longer written. Use gzip: reading gains as much by it. See docs/dataset.md")
        return value


class ReportParams(Section):
    """Section `report`: what the report and the page show."""

    sample_photos: int = Field(ge=1, le=1000)
    page_photos: int = Field(ge=1, le=100_000)


class CardParams(Section):
    """Section `card`: what a person has to say of the dataset, for its card. None: not filled in."""

    name: Line | None
    license: str | None = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]*$")
    source: Text | None
    personal_data: Text | None
    takedown: Text | None
    contact: Text | None
    citation: Text | None


class Params(Section):
    """params.yaml whole."""

    source: SourceParams
    ingest: IngestParams
    model: ModelParams
    masks: MasksParams
    embed: EmbedParams
    preprocess: PreprocessParams
    duplicates: DuplicatesParams
    leakage: LeakageParams
    catalog: CatalogParams
    split: SplitParams
    augment: AugmentParams
    build: BuildParams
    report: ReportParams
    card: CardParams


def is_utc(text: str) -> bool:
    """Return whether text is an ISO 8601 timestamp that says it is UTC."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.utcoffset() == datetime.timedelta(0)
