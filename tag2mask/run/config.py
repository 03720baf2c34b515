"""The base of every stage's typed configuration section."""

from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tag2mask.errors import UserError


class Section(BaseModel):
    """One section of the configuration: unknown keys are refused, values never change after loading.

    Strings are coerced strictly ("0.5" to a float, "yes" to a bool), because `--config 'a={b: 1}'` hands nested
    values over as strings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Learning(Section):
    """A section of a stage that learns: how its batches are computed, which says nothing of what is learned."""

    ONLY_TEST: ClassVar[frozenset[str]] = frozenset()  # keys that training does not read but where `taught_by` says so

    accumulate: int = Field(
        1,
        ge=1,
        description="parts of a batch that a device computes one after another to take one step, so that a small one "
        "holds the papers' batches; live batch norm sees a part at a time",
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="bf16: a GPU trains in mixed precision (torch's autocast); a CPU always in float32"
    )

    @classmethod
    def taught_by(cls, values: dict) -> set[str]:
        """The keys of a section's `values` that its training reads: changing another trains nothing anew."""
        return values.keys() - cls.ONLY_TEST

    def computing(self) -> dict[str, Any]:
        """These keys as the loop's Task takes them."""
        return {"accumulate": self.accumulate, "bf16": self.precision == "bf16"}


SectionType = TypeVar("SectionType", bound=Section)


def parse(model: type[SectionType], values: Any, *, where: str) -> SectionType:
    """A `model` made of the dict `values`, or a UserError of one sentence that names the key and what is allowed.

    where : str, the place in the configuration, for the message.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(describe(error, model, where)) from None


def describe(error: ValidationError, model: type[Section], where: str) -> str:
    """The first problem of a pydantic ValidationError as one sentence: the key and what is allowed there."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in (where, *first["loc"]) if str(part))
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for part in first["loc"][:-1]:
            field = owner.model_fields.get(str(part)) if hasattr(owner, "model_fields") else None
            owner = field.annotation if field is not None else None
        known = ", ".join(sorted(getattr(owner, "model_fields", {}))) or "none"
        return f"{path} is not a known key; allowed here: {known}."
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = f" (given: {given!r})" if not isinstance(given, dict) else ""
    return f"{path}: {message}{shown}."


def ordered(value: Any) -> Any:
    """Dicts with their keys sorted at every depth: a mere reorder of YAML keys reruns nothing."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(one) for one in value] if isinstance(value, list | tuple) else value


def mapping(value: Any, where: str) -> dict:
    """A section as a dict, an empty one for nothing; UserError for anything else. where : its place in the file."""
    if value is not None and not isinstance(value, dict):
        name = where.split(".")[-1]
        raise UserError(f"{where}: keys and values are needed, as {name}: {{key: value}}, not {value!r}.")
    return dict(value or {})


def strings(value: Any, where: str) -> list[str]:
    """A list of names; `--config show=a` or `show=[a,b]` may hand over one string."""
    if not isinstance(value, str | list | tuple):
        raise UserError(f"{where}: a list of recipes is needed, as [transfer, full], not {value!r}.")
    return [value] if isinstance(value, str) else list(value)
